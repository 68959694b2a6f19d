"""User errors: one message with the problem and what to type, exit status 2, and no files written."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from leyden.callbacks.checkpoint import Checkpoint
from leyden.cli.main import main
from leyden.data.array_files import ArrayWriter

QUICK = ("trainer=cpu", "trainer.max_epochs=1", "batch_size=8", "threads=1", "logger=none")
RNG = np.random.default_rng(0)


class Case(NamedTuple):
    """What is typed after `leyden`, what the message must hold, and what is made in the working folder before."""

    words: str
    expected: tuple[str, ...]
    make: Callable[[], object] = tuple


def named(cases: list[Case]) -> list[object]:
    return [pytest.param(case, id=f"{n}:{case.words[:60]}") for n, case in enumerate(cases)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and no module of an earlier one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)


def content() -> dict[str, bytes]:
    """Every file and folder here, and what is in it."""
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in sorted(Path().rglob("*"))}


def assert_error(words: list[str], expected: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    before = content()
    capsys.readouterr()
    status = main(words)
    said = capsys.readouterr()
    assert status == 2, said
    assert said.err.startswith("leyden: "), said.err
    assert said.err.count("leyden: ") == 1
    assert "Traceback" not in said.err + said.out
    for part in expected:
        assert part in said.err
    assert content() == before, "a refused command writes nothing"


# --- the command line ----------------------------------------------------------------------------------------

COMMANDS = [
    Case("trian", ("'trian'", "did you mean 'train'")),
    Case("Train", ("'Train'", "did you mean 'train'")),
    Case("list nonsense", ("nonsense", "There are: augment, callbacks")),
    Case("list modle", ("modle", "did you mean 'model'")),
    Case("list --config-dir=nowhere", ("--config-dir nowhere", "no such folder")),
    Case("data data=mnits", ("data=mnits", "did you mean 'mnist'")),
    Case("data --picture=a.txt", ("--picture a.txt", ".png, .svg or .pdf")),
    Case("predict somewhere", ("required: files", "leyden predict --help")),
    Case("predict somewhere a.png --top 0", ("--top 0", "at least 1")),
    Case("predict somewhere a.png --tpo 3", ("--tpo", "did you mean '--top'")),
    Case("predict somewhere a.png --format xml", ("--format", "'xml'", "'json'")),
    Case("evaluate", ("required: RUN", "leyden evaluate --help")),
    Case("train --multi-run seed=1,2", ("--multi-run", "did you mean '--multirun'")),
    Case(
        "train --config-dir mine",
        ("--config-dir mine", "did you mean 'mines'"),
        lambda: Path("mines").mkdir(),
    ),
    Case("train model=cnnn", ("model=cnnn", "did you mean 'cnn'")),
    Case("train model=CNN", ("model=CNN", "did you mean 'cnn'")),
    Case("train model=3", ("model=3", "name of an option", "cnn, cnn_deep")),
    Case("train data=mnits", ("data=mnits", "did you mean 'mnist'")),
    Case("train experiment=mnist", ("experiment=mnist", "did you mean 'mnist_cnn'")),
    Case("train loss=focl", ("loss=focl", "did you mean 'focal'")),
    Case("train optimizer=adm", ("optimizer=adm", "did you mean 'adam'")),
    Case("train scheduler=cosin", ("scheduler=cosin", "did you mean 'cosine'")),
    Case("train split=stratify", ("split=stratify", "did you mean 'stratified'")),
    Case("train sampling=balance", ("sampling=balance", "did you mean 'balanced'")),
    Case("train augment=mixpu", ("augment=mixpu", "did you mean 'mixup'")),
    Case("train callbacks=early", ("callbacks=early", "did you mean 'early_stopping'")),
    Case("train logger=tensorbord", ("logger=tensorbord", "did you mean 'tensorboard'")),
    Case("train trainer=gpus", ("trainer=gpus", "did you mean 'gpu'")),
    Case("train modle=cnn", ("modle", "did you mean 'model=cnn'")),
    Case("train sede=3", ("sede", "did you mean 'seed=3'")),
    Case("train ++sede=3", ("sede", "did you mean 'seed=3'")),
    Case("train batchsize=4", ("batchsize", "did you mean 'batch_size=4'")),
    Case("train seed", ("'seed' is not of the form key=value",)),
    Case("train -m seed=1,2 --jobs 60000", ("--jobs 60000 with threads=1: 60,000 at once", "at most")),
    Case("train -m sweep=optuna seed=1,2 --jobs 60000", ("--jobs 60000 with threads=1: 60,000 at once",)),
    Case("train =3", ("'=3' is not of the form key=value",)),
    Case("train model.net.widths=[1,2", ("'model.net.widths=[1,2' cannot be parsed", "'[1,2'", "brackets")),
    Case("train seed=1,2", ("seed=1,2", "add -m")),
    Case("train model.net.widths=64,32", ("add -m", "'model.net.widths=[64,32]'")),
    Case("train data=planted_text model=lstm augment=mixup", ("augment.mixup", "not for text")),
    Case("train model=cnn model=mlp", ("model is given twice, model=cnn and model=mlp", "-m model=")),
    Case("train data/tokenizer=wrd", ("data/tokenizer", "+data/tokenizer=")),
    Case(
        "train data=planted_text model=lstm data/tokenizer=wrd", ("data/tokenizer=wrd", "did you mean 'word'")
    ),
]


@pytest.mark.parametrize("case", named(COMMANDS))
def test_invalid_command_lines(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.make()
    assert_error(case.words.split(), case.expected, capsys)


# --- keys, types, ranges -------------------------------------------------------------------------------------

VALUES = [
    Case("model.net.widht=64", ("model.net.widht", "did you mean 'model.net.widths=64'")),
    Case("optimizer.lrr=.1", ("optimizer.lrr", "did you mean 'optimizer.lr=0.1'")),
    Case("trainer.max_epoch=3", ("trainer.max_epoch", "did you mean 'trainer.max_epochs=3'")),
    Case("data.sorce.root=x", ("data.sorce", "did you mean 'data.source'")),
    Case("data.source.zzz=y", ("data.source.zzz: there is no such argument; there are none",)),
    Case("augment.flip.p=1", ("augment.flip", "augment=...", "leyden list augment")),
    Case(
        "callbacks=early_stopping callbacks.early_stopping.patiense=3",
        ("did you mean 'callbacks.early_stopping.patience=3'",),
    ),
    Case("model.net.num_outputs=10", ("model.net.num_outputs", "leave it out")),
    Case("model.net.num_classes=10", ("model.net.num_classes", "leave it out")),
    Case("trainer.logger=true", ("trainer.logger", "leave it out")),
    Case("batch_size=abc", ("batch_size=abc", "integer")),
    Case("batch_size=0", ("batch_size=0", "greater than or equal to 1")),
    Case("seed=1.5", ("seed=1.5", "integer")),
    Case("force=maybe", ("force=maybe", "boolean")),
    Case("checkpoint_minutes=0", ("checkpoint_minutes=0", "greater than 0")),
    Case("data.on_bad=skpi", ("data.on_bad=skpi", "did you mean 'skip'")),
    Case("name=", ("name=", "at least 1 character")),
    Case("name=../mine", ("name=../mine", "without slashes")),
    Case("runs=", ("runs=", "at least 1 character")),
    Case("init.freeze=net.head", ("init.freeze=net.head", "a list: [net.head]")),
    Case("model.net.widths=64", ("model.net.widths=64", "a list: [64]")),
    Case("model.net.dropout=1.5", ("model.net.dropout=1.5", "less than 1")),
    Case("model.net=3", ("model.net=3", "{key: value}")),
    Case("optimizer.lr=fast", ("optimizer.lr=fast", "number")),
    Case("optimizer.lr='0.1'", ("optimizer.lr='0.1'", "number")),
    Case("optimizer.lr=-1", ("optimizer.lr=-1", "greater than or equal to 0")),
    Case("optimizer.lr=nan", ("optimizer.lr=NaN", "finite")),
    Case("optimizer.betas=[0.9]", ("optimizer.betas=[0.9]", "tuple[float")),
    Case("optimizer.eps=-1", ("optimizer: Invalid epsilon value: -1",)),
    Case("optimizer=sgd optimizer.momentum=1.5", ("optimizer.momentum=1.5", "less than 1")),
    Case("loss.label_smoothing=2", ("loss.label_smoothing=2", "less than 1")),
    Case("scheduler=step scheduler.milestones=[1]", ("scheduler", "milestones", "factors")),
    Case("split.val=.6 split.test=.6", ("val=0.6 and test=0.6", "below 1")),
    Case("split=kfold split.fold=7", ("fold 7 of 5", "0..4")),
    Case("split=leave_one_group_out", ("split.test_group must be given", "split.test_group=...")),
    Case("monitor=val/accuarcy", ("monitor=val/accuarcy", "did you mean 'val/accuracy'")),
    Case("trainer.max_epochs=many", ("trainer.max_epochs=many", "integer")),
    Case("trainer.max_epochs=0", ("trainer.max_epochs=0", "greater than or equal to 1")),
    Case("trainer.max_epochs=-1", ("trainer.max_epochs=-1", "greater than or equal to 1")),
    Case("trainer.accumulate_grad_batches=0", ("trainer.accumulate_grad_batches=0", "equal to 1")),
    Case("trainer.accumulate_grad_batches=3", ("batch_size=64", "such as 66")),
    Case("trainer.limit_val_batches=0", ("trainer.limit_val_batches=0", "greater than 0")),
    Case("trainer.precision=16-mixd", ("trainer.precision=16-mixd", "did you mean '16-mixed'")),
    Case("trainer.accelerator=gpuu", ("trainer", "gpuu", "trainer=cpu")),
    Case("trainer.devices=0", ("trainer", "devices=0")),
    Case("trainer.strategy=dpp", ("trainer", "dpp", "ddp")),
    Case(
        "optimizer._target_=torch.optim.Adan", ("optimizer._target_=torch.optim.Adan", "did you mean 'Adam'")
    ),
    Case("split._target_=Stratified", ("split._target_=Stratified", "package.module.Name")),
    Case("model=lstm", ("data=digits is image", "model=lstm is for text", "leyden list model")),
    Case("data=planted_text", ("data=planted_text is text", "model=cnn is for image", "model=...")),
    Case("model=logmel_cnn", ("model=logmel_cnn is for audio",)),
    Case("augment=spec_augment", ("augment.shift is for audio", "leyden list augment")),
    Case("data=planted_text model=lstm ~data/tokenizer", ("data.tokenizer", "+data/tokenizer=word")),
    Case("+data/tokenizer=word", ("data.tokenizer", "image takes no tokenizer")),
    Case("data=image_folder", ("data.source.root must be given", "data.source.root=...")),
    Case("init.from=nowhere", ("init.from=nowhere", "neither a weight file nor a run")),
    Case(
        "init.from=weights.pt",
        ("weights.pt cannot be read as weights",),
        lambda: Path("weights.pt").write_text("x"),
    ),
    Case("init.freeze=[net.x*]", ("init.freeze", "'net.x*' matches no parameter", "net.head.*")),
    Case("threads=99999999999999", ("threads=99999999999999", "less than or equal to 65536")),
    Case("threads=60000", ("threads=60000: 60,000 at once", "at most")),
    Case("sampling=deferred_balanced sampling.first=-1", ("sampling.first=-1", "SamplingPolicy")),
]


@pytest.mark.parametrize("case", named(VALUES))
def test_invalid_values(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.make()
    assert_error(["train", *case.words.split()], case.expected, capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert_error(["train", "trainer=gpu"], ("trainer: ", "gpu", "trainer=cpu"), capsys)


# --- options of one's own ------------------------------------------------------------------------------------

NETS = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes: int, width: int = 8) -> None:
        super().__init__()

class Broken(nn.Module):
    def __init__(self, num_classes: int) -> None:
        raise RuntimeError("no such thing")
"""
MODEL = """name: mine
module: {_target_: leyden.modules.classification.Classifier}
frontend: {_target_: leyden.data.transforms.image.Normalize}
net: {_target_: my_nets.Net, width: 8}
"""
EXPERIMENT = "# @package _global_\ndefaults:\n  - override /model: mlp\nseed: 3\n"


def own(text: str, group: str = "model") -> Callable[[], None]:
    """Makes the option `mine` of a group, and the module of one's own."""

    def make() -> None:
        folder = Path("options") / group
        folder.mkdir(parents=True)
        (folder / "mine.yaml").write_text(text)
        Path("my_nets.py").write_text(NETS)

    return make


def model(old: str, new: str) -> Callable[[], None]:
    assert old in MODEL
    return own(MODEL.replace(old, new))


def experiment(old: str, new: str) -> Callable[[], None]:
    assert old in EXPERIMENT
    return own(EXPERIMENT.replace(old, new), "experiment")


OWN = [
    Case("model=mine", ("model.net.widht", "did you mean 'model.net.width=8'"), model("width", "widht")),
    Case("model=mine", ("model.net.width=wide", "integer"), model("width: 8", "width: wide")),
    Case("model=mine", ("my_nets.Nett", "did you mean 'Net'"), model("my_nets.Net", "my_nets.Nett")),
    Case("model=mine", ("'my_netts'", "did you mean 'my_nets'"), model("my_nets.Net", "my_netts.Net")),
    Case(
        "model=mine",
        ("leyden.modules.classificatio", "did you mean 'leyden.modules.classification'"),
        model("s.classification.C", "s.classificatio.C"),
    ),
    Case(
        "model=mine",
        ("model.net:", "_target_", "got _targt_"),
        model("{_target_: my_nets.Net", "{_targt_: a"),
    ),
    Case("model=mine", ("model.nett", "did you mean 'model.net'"), model("net: {", "nett: {")),
    Case("model=mine", ("model.net.num_classes", "leave it out"), model("width: 8", "num_classes: 8")),
    Case("model=mine", ("model.net.width", "'nothing'"), model("width: 8", "width: '${nothing}'")),
    Case("model=mine", ("mine.yaml:5", "invalid YAML"), model("width: 8}", "width: 8")),
    Case("model=mine", ("mine.yaml:5", "duplicate key name"), own(MODEL + "name: again\n")),
    Case("model=mine", ("model.name",), own("")),
    Case("model=mine", ("'model/mine'", "'model/nothing/x'"), own(f"defaults: [nothing: x]\n{MODEL}")),
    Case(
        "model=mine",
        ("model.net: my_nets.Broken fails: RuntimeError: no such thing", "my_nets.py:10"),
        model("my_nets.Net, width: 8", "my_nets.Broken"),
    ),
    Case("experiment=mine", ("seede", "did you mean 'seed=3'"), experiment("seed", "seede")),
    Case("experiment=mine", ("seed=three", "integer"), experiment("3", "three")),
    Case(
        "experiment=mine",
        ("trainer.max_epoch", "did you mean"),
        experiment("seed: 3", "trainer: {max_epoch: 3}"),
    ),
    Case(
        "experiment=mine",
        ("optimizer._target_=torch.optim.Adan", "did you mean 'Adam'"),
        experiment("seed: 3", "optimizer: {_target_: torch.optim.Adan}"),
    ),
    Case(
        "experiment=mine",
        ("experiment/mine", "modle", "did you mean 'model'"),
        experiment("/model", "/modle"),
    ),
    Case("experiment=mine", ("model=mpl", "did you mean 'mlp'"), experiment("mlp", "mpl")),
    Case("experiment=mine", ("experiment/mine", "'override /model: ...'"), experiment("/model", "model")),
    Case(
        "experiment=mine", ("experiment/mine", "# @package _global_"), experiment("# @package _global_\n", "")
    ),
    Case("experiment=mine", ("experiment=mine", "# @package _global_"), own("seed: 3\n", "experiment")),
    Case("experiment=mine", ("mine.yaml:4", "invalid YAML"), experiment("seed: 3", "\tseed: 3")),
    Case(
        "experiment=mine",
        ("experiment/mine", "must be a list"),
        own("defaults: {model: mlp}\n", "experiment"),
    ),
    Case("modell=mine", ("modell", "did you mean 'model'"), own(MODEL, "modell")),
]


@pytest.mark.parametrize("case", named(OWN))
def test_invalid_user_options(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.make()
    assert_error(["train", "--config-dir=options", *case.words.split()], case.expected, capsys)


def test_a_user_option_with_the_name_of_leydens(capsys: pytest.CaptureFixture[str]) -> None:
    own(MODEL)()
    Path("options/model/mine.yaml").rename("options/model/cnn.yaml")
    assert_error(["train", "--config-dir=options"], ("options/model/cnn.yaml", "rename yours"), capsys)


# --- data ----------------------------------------------------------------------------------------------------


def pictures(*classes: str, n: int = 10, size: tuple[int, int] = (12, 12), ending: str = "png") -> None:
    """n pictures of noise in each of the folders pics/CLASS."""
    for name in classes:
        folder = Path("pics") / name
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(n):
            noise = RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / f"{i}.{ending}")


def truncated() -> None:
    pictures("cat", "dog", ending="jpg", size=(40, 40))
    file = Path("pics/cat/3.jpg")
    file.write_bytes(file.read_bytes()[:300])


def clips(bad: Callable[[Path], object]) -> Callable[[], None]:
    """Eight recordings of two classes, of which calls/up/3.wav is bad."""

    def make() -> None:
        for name in ("down", "up"):
            (Path("calls") / name).mkdir(parents=True)
            for i in range(4):
                noise = RNG.normal(0, 0.1, 800).astype(np.float32)
                soundfile.write(Path("calls") / name / f"{i}.wav", noise, 8000, subtype="FLOAT")
        bad(Path("calls/up/3.wav"))

    return make


def silent_of(value: float) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, np.full(800, value, np.float32), 8000, subtype="FLOAT")


TEXTS = "".join(f"good film {i},pos\nbad film {i},neg\n" for i in range(15))


def table(more: bytes = b"", header: str = "text,label\n") -> Callable[[], None]:
    """texts.csv with thirty rows and more."""
    return lambda: Path("texts.csv").write_bytes(f"{header}{TEXTS}".encode() + more) and None


def manifest() -> None:
    Path("files.csv").write_text("path,label\na.png,cat\nb.png,dog\n")


IMAGES = "data=image_folder data.source.root=pics model=mlp"
SOUNDS = "data=audio_folder data.source.root=calls model=logmel_cnn"
WORDS = "data=text_table data.source.path=texts.csv model=lstm"
DATA = [
    Case(
        "data=image_folder data.source.root=pcis model=mlp",
        ("pcis", "did you mean 'pics'"),
        lambda: pictures("cat"),
    ),
    Case(IMAGES, ("data.source.root", "there is no folder pics")),
    Case(IMAGES, ("pics holds no files", "CLASS/FILE"), lambda: Path("pics").mkdir()),
    Case(IMAGES, ("pics/cow", "without a file"), lambda: (pictures("cat", "dog"), Path("pics/cow").mkdir())),
    Case(IMAGES, ("pics", "only one class", "'cat'"), lambda: pictures("cat")),
    Case(
        IMAGES,
        ("test split", "'cow'", "test/cow/0.png", "'cat', 'dog'"),
        lambda: pictures("train/cat", "train/dog", "test/cat", "test/cow"),
    ),
    Case(IMAGES, ("cat/3.jpg", "data.on_bad=skip"), truncated),
    Case(
        IMAGES,
        ("cat/1.png: is no known image format", "data.on_bad=skip"),
        lambda: (pictures("cat", "dog"), Path("pics/cat/1.png").write_text("a picture")),
    ),
    Case(
        IMAGES,
        ("12x12", "20x14", "data.source.size=12"),
        lambda: (pictures("cat", "dog"), pictures("cow", size=(20, 14))),
    ),
    Case(
        f"{IMAGES} batch_size=8 monitor=val/auroc",
        ("monitor=val/auroc is undefined", "only one class, 'cat' (n=10)", "val/loss, val/accuracy"),
        lambda: pictures("train/cat", "train/dog", "val/cat", "test/cat", "test/dog"),
    ),
    Case(f"{IMAGES} split=grouped", ("no groups", "split=stratified"), lambda: pictures("cat", "dog")),
    Case(
        f"{IMAGES} split=given", ("no split of its own", "split=stratified"), lambda: pictures("cat", "dog")
    ),
    Case("data=image_manifest data.source.csv=files.csv", ("2 files", "files.csv:2: a.png"), manifest),
    Case(
        SOUNDS,
        ("up/3.wav: is empty (0 bytes)", "data.on_bad=skip"),
        clips(lambda path: path.write_bytes(b"")),
    ),
    Case(SOUNDS, ("up/3.wav: has NaN", "data.on_bad=skip"), clips(silent_of(np.nan))),
    Case(SOUNDS, ("up/3.wav", "data.on_bad=skip"), clips(lambda path: path.write_text("a song"))),
    Case(WORDS, ("texts.csv has no column 'text'", "did you mean 'txt'"), table(header="txt,label\n")),
    Case(WORDS, ("data.source.label_column", "did you mean 'lable'"), table(header="text,lable\n")),
    Case(WORDS, ("texts.csv:32", "'label' is empty"), table(b"an opinion,\n")),
    Case(WORDS, ("texts.csv:32", "has 1 cells, the header has 2"), table(b"an opinion\n")),
    Case(WORDS, ("texts.csv:32: is not UTF-8", "data.on_bad=skip"), table(b"caf\xe9,pos\n")),
    Case(WORDS, ("texts.csv:32: has no text", "data.on_bad=skip"), table(b" ,pos\n")),
    Case(WORDS, ("texts.csv: is empty", "header"), lambda: Path("texts.csv").touch()),
    Case(
        WORDS.replace(".csv", ".xls"),
        ("texts.xls", ".csv, .tsv and .jsonl"),
        lambda: Path("texts.xls").touch(),
    ),
    Case("data=mnist data.source.download=false", ("MNIST/raw", "data_root")),
    Case("data=fsdd model=logmel_cnn", ("data/fsdd/recordings", "data_root")),
]


@pytest.mark.parametrize("case", named(DATA))
def test_invalid_data(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.make()
    assert_error(["train", *case.words.split()], case.expected, capsys)


def test_a_batch_larger_than_the_data_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    pictures("cat", "dog")
    few = [*IMAGES.split(), *QUICK, "batch_size=64"]
    assert main(["train", *few]) == 0
    assert "batch_size=64: an epoch has only 14 training samples" in capsys.readouterr().out
    (result,) = Path("runs").rglob("result.json")
    cost = json.loads(result.read_text())["cost"]
    assert cost["steps"] == 1
    assert cost["samples_per_second"] * cost["seconds"] == pytest.approx(14, rel=0.2)
    assert (
        main(["train", *few, "trainer.accumulate_grad_batches=4", "seed=2"]) == 0
    )  # 12 of 14: four slices of three


def test_a_class_of_one_sample_is_valid() -> None:
    pictures("cat", "dog", n=12)
    pictures("lynx", n=1)
    assert main(["train", *IMAGES.split(), *QUICK]) == 0


# --- runs ----------------------------------------------------------------------------------------------------

SMALL = ("data=planted_images", "data.source.samples=60", "data.source.size=12", "model=mlp", *QUICK)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, in another folder."""
    runs = tmp_path_factory.mktemp("finished")
    assert main(["train", *SMALL, f"runs={runs}"]) == 0
    (found,) = runs.glob("default/*")
    return found


@pytest.fixture
def run(finished: Path) -> Path:
    """A copy of it in the working folder, to be damaged."""
    target = Path("runs/default") / finished.name
    shutil.copytree(finished, target)
    return target


RUN_COMMANDS = pytest.mark.parametrize("command", ["evaluate", "predict"])


@RUN_COMMANDS
@pytest.mark.parametrize(
    ("name", "damage", "expected"),
    [
        ("config.yaml", b"a: [", "config.yaml is damaged"),
        ("config.yaml", b"", "config.yaml is damaged"),
        ("spec.json", b'{"modality', "spec.json is damaged"),
        ("manifest.json", b"[]", "manifest.json is damaged"),
        ("checkpoints/best.ckpt", b"x", "best.ckpt cannot be read as weights"),
    ],
)
def test_a_damaged_run(
    command: str, name: str, damage: bytes, expected: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).write_bytes(damage)
    Path("a.png").touch()
    assert_error([command, str(run), *(["a.png"] if command == "predict" else [])], (expected,), capsys)


@RUN_COMMANDS
def test_no_run(command: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["a.png"] if command == "predict" else []
    expected = ("no run with this name or fingerprint under runs", "did you mean")
    assert_error([command, f"{run}x", *files], (*expected, f"'{run}'"), capsys)
    assert_error([command, f"{run.name[:-1]}x", *files], (*expected, f"'{run.name}'"), capsys)
    assert_error([command, "", *files], ("an empty text means no run",), capsys)
    shutil.copytree(run, run.with_name("other-abc"))
    assert_error([command, "runs", *files], ("2 runs match, expected one:\n  ", f"  {run}\n"), capsys)
    shutil.rmtree(run.with_name("other-abc"))


@RUN_COMMANDS
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (
            "failed",
            "it failed (ValueError: it broke); remove the cause (`leyden doctor {run}` may name one), then: {}",
        ),
        ("interrupted", "finish it first: {}"),
        ("complete", "it was removed; to train it again: {} force=true"),
        ("running", "it is still training"),
    ],
)
def test_a_run_without_weights(
    command: str, state: str, expected: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command to type is the run's own."""
    shutil.rmtree(run / "checkpoints")
    stored = json.loads((run / "result.json").read_text())
    error = {"type": "ValueError", "message": "it broke\nat night", "where": "a.py:1"}
    known = {"status": state, "command": ["leyden", "train", "name=a b"], "error": error}
    (run / "result.json").write_text(json.dumps({**stored, **known}))
    files = ["a.png"] if command == "predict" else []
    advice = expected.format("leyden train 'name=a b'", run=run)
    said = f"{run} has no best checkpoint: {advice}"
    held = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(); sys.stdin.read()"
    if state != "running":
        assert_error([command, str(run), *files], (said + "\n",), capsys)
        return
    words = [sys.executable, "-c", held, str(run / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert_error([command, str(run), *files], (said,), capsys)
        other.communicate()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("no.png", ("there is no file no.png", "did you mean 'on.png'")),
        ("pics", ("pics is a folder", "pics/*")),
        ("on.png", ("on.png: is no known image format",)),
    ],
)
def test_files_to_predict(
    words: str, expected: tuple[str, ...], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("on.png").write_text("a picture")
    Path("pics").mkdir()
    assert_error(["predict", str(run), words], expected, capsys)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sede=3", ("sede", "did you mean 'seed=3'")),
        ("seed", ("'seed' is not of the form key=value",)),
        ("data.source.root=[a", ("'data.source.root=[a' cannot be parsed",)),
        ("data=mnist", ("data=mnist", "a finished run keeps its options", "data.source.root=")),
        ("data.source.size=14", ("image_size 14, 14", "12, 12", "type data.source.size=12")),
        ("optimizer.lr=0.1", ("optimizer.lr: has no effect", "data, split")),
    ],
)
def test_overrides_of_an_evaluation(
    words: str, expected: tuple[str, ...], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_error(["evaluate", str(run), words], expected, capsys)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (b'{"schema": 99, "status": "complete"}', ("schema version 99", "use the leyden that wrote it")),
        (b'{"schema": 1, "sta', ("result.json is damaged", "move the run's folder away")),
        (b"[]", ("result.json is damaged (expected a mapping, found list)",)),
        (b'{"schema": 1}', ("result.json is damaged", "status")),
        (b"\xff\xfe", ("result.json is damaged",)),
    ],
)
def test_a_stored_result_that_cannot_be_read(
    stored: bytes, expected: tuple[str, ...], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "result.json").write_bytes(stored)
    assert_error(["train", *SMALL], expected, capsys)


def test_weights_from_a_folder_that_is_not_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = ("neither a weight file nor a run", f"did you mean '{run}'")
    assert_error(["train", *SMALL, f"init.from={run}x"], expected, capsys)
    shutil.copytree(run, run.with_name(f"{run.name}0"))
    several = ("2 runs match, expected one", str(run), f"{run}0")
    assert_error(["train", *SMALL, f"init.from={run.name[:8]}"], several, capsys)


def test_weights_from_a_run_by_its_fingerprint_or_last(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The configuration names the folder: `last` is another run tomorrow."""
    for seed, name in ((2, "last"), (3, run.name[-10:]), (4, f"'{run.name[-10:-5]}'")):
        run.touch()
        assert main(["train", *SMALL, f"init.from={name}", f"seed={seed}"]) == 0
        assert f"tensors taken from {run}/checkpoints/best.ckpt" in capsys.readouterr().out
        (made,) = run.parent.glob(f"*-seed{seed}-*")
        assert json.loads((made / "result.json").read_text())["config"]["init"]["from"] == str(run)


# --- the disk ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["runs", "cache"])
def test_a_folder_below_a_file(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    assert_error(["train", *SMALL, f"{key}=file/x"], ("file/x", "Not a directory", f"{key}=..."), capsys)


@pytest.mark.parametrize(
    ("place", "name"),
    [(os, "fsync"), (Checkpoint, "save"), (ArrayWriter, "append")],
    ids=["run", "weights", "cache"],
)
def test_a_full_disk(
    place: object, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(place, name, full)
    seed = {"fsync": 11, "save": 12, "append": 13}[name]
    words = ["train", *SMALL, f"data.source.seed={seed}"]
    assert_error(words, ("No space left on device", "runs=... or cache=..."), capsys)


# --- not a mistake in what was typed: the run itself fails ---------------------------------------------------

FRAGILE = """
from pathlib import Path
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.head = nn.Linear(in_channels * image_size[0] * image_size[1], num_classes)

    def forward(self, x):
        if Path("broken").exists():
            raise RuntimeError("it broke [here] at [/x]")
        return self.head(x.flatten(1))
"""


def test_a_run_that_fails_is_recorded_and_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    model("my_nets.Net, width: 8", "my_nets.Net")()
    Path("my_nets.py").write_text(FRAGILE)
    Path("broken").touch()
    words = ["train", "--config-dir=options", *SMALL[:3], "model=mine", *QUICK]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith("leyden: the run failed: RuntimeError: it broke [here] at [/x]")
    assert "Traceback" not in said
    (run,) = Path("runs/default").iterdir()
    stored = json.loads((run / "result.json").read_text())
    assert stored["status"] == "failed"
    assert stored["error"]["type"] == "RuntimeError"
    assert stored["error"]["message"] == "it broke [here] at [/x]"
    assert stored["error"]["where"].endswith("my_nets.py:12")
    assert "Traceback" in (run / "error.txt").read_text()
    assert str(run / "error.txt") in said

    Path("broken").unlink()
    assert main(words) == 0
    assert json.loads((run / "result.json").read_text())["status"] == "complete"
    assert not (run / "error.txt").exists()
