"""A user's own net, data, loss and loop, in a folder and in a package: the files of docs/extending.md."""

import csv
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pages
from leyden.cli.main import main
from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.inference.evaluate import evaluate
from leyden.inference.predictor import predict
from leyden.runs.fingerprint import identity
from leyden.training import build
from leyden.training.job import train
from leyden.utils.errors import UserError
from words import last_of_each

PAGE = "extending.md"
CONF = "my_lab/conf"
QUICK = ["trainer=cpu", "trainer.max_epochs=1", "threads=1", "logger=none"]
Tiny = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test finds its own my_net: neither the path to another's nor the module itself stays."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    forget()


def forget() -> None:
    """No module of the lab is loaded, as in a new process."""
    for name in [n for n in sys.modules if n.startswith(("my_", "helper"))]:
        del sys.modules[name]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, written where the test is."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    for words in pages.commands(PAGE):
        if words[0] == "python":
            runpy.run_path(words[1])
    return tmp_path / "my_lab"


def write(root: Path) -> None:
    for name, content in pages.files(PAGE).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")


def written(*overrides: str) -> Path:
    """The folder of a run with options of the lab, trained as the command does it."""
    outcome = train(last_of_each([*QUICK, *overrides]), [CONF])
    assert outcome.status == "complete", outcome.message
    return outcome.folder


def test_the_page_has_enough_to_run() -> None:
    assert len(pages.files(PAGE)) == 30
    assert len(pages.commands(PAGE)) == 20


def test_own_values_are_checked_like_ours(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, told in (
        ("model.net.width=0", "greater than or equal to 1"),
        ("model.net.wdth=8", "'model.net.width=8'"),
    ):
        assert main(["train", "--config-dir", CONF, "model=my_net", wrong]) == 2
        assert told in capsys.readouterr().err
    assert main(["train", "--config-dir", CONF, "model=my_nett"]) == 2
    assert "did you mean 'my_net'" in capsys.readouterr().err
    assert main(["train", "--config-dir", "my_lab/cnf"]) == 2
    assert "my_lab/cnf" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_the_list_shows_own_options_their_line_and_their_place(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "--config-dir", CONF]) == 0
    shown = capsys.readouterr().out
    for name, line in (
        ("my_net", "My net: one hidden layer over the pixels."),
        ("stripes", "Pictures of stripes that lie or stand, made by a formula."),
        ("margin", "Multi-class hinge: the right class must lead by a margin."),
        ("centres", "Nearest of learned class centres"),
    ):
        (row,) = [r for r in shown.splitlines() if r.split()[:1] == [name] and line[:20] in r]
        assert "my_lab/conf" in row, row
    (ours,) = [r for r in shown.splitlines() if r.split()[:1] == ["keras_cnn"]]
    assert "my_lab" not in ours


# --- a modality of one's own ---


def test_signals_of_files_are_learned_predicted_and_refused_by_name(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (words,) = [c for c in pages.commands(PAGE) if c[1] == "train" and "data=signal_folder" in c]
    folder = written(*words[4:])
    assert (
        json.loads((folder / "result.json").read_text())["metrics"]["test"]["values"]["accuracy"]["value"]
        > 0.9
    )
    files = [f"waves/{kind}/{number}.npy" for kind in ("slow", "fast") for number in range(20)]
    _, predictions = predict(folder, files)
    assert [p.answer["classes"][0] for p in predictions].count("slow") == pytest.approx(20, abs=3)
    np.save("waves/slow/7.npy", np.zeros(64, np.float32))
    Path("waves/fast/3.npy").write_bytes(b"no array")
    capsys.readouterr()
    assert main(["data", "--config-dir", CONF, *words[4:6]]) == 2
    said = capsys.readouterr().err
    assert "7.npy: has shape (64,); expected (channels, steps)" in said
    assert "3.npy: " in said


# --- a LightningModule that knows nothing of Leyden's ---


def test_of_an_own_loop_the_training_step_is_profiled(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config-dir", CONF, "experiment=stripes", "trainer=cpu", "threads=1"]
    assert main(["profile", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["flops"] is None
    assert found["training_flops"] > 0
    assert sum(layer["flops"] for layer in found["layers"]) == pytest.approx(
        found["training_flops"], rel=0.01
    )
    assert main(["profile", *words]) == 0
    assert "forward" not in capsys.readouterr().out
    assert main(["check", "model", *words]) == 2
    assert "has no prepare" in capsys.readouterr().err


def test_an_own_loop_is_recorded_evaluated_and_predicts(lab: Path, tmp_path: Path) -> None:
    folder = written("experiment=stripes", "trainer.max_epochs=3", "logger=tensorboard")
    result = json.loads((folder / "result.json").read_text())
    assert set(result["metrics"]["val"]["scalars"]) == {"distance", "hits"}
    assert result["metrics"]["test"]["scalars"]["hits"] > 0.9
    assert result["best"]["value"] == pytest.approx(result["metrics"]["val"]["scalars"]["hits"])
    assert len(history(folder, "val/hits")) == 3
    assert evaluate(folder) == result["metrics"]

    config = check(compose(["data=stripes", "data.source.samples=8"], [CONF]))
    source = build.experiment(config).data.source
    files = [picture(tmp_path / f"{row}.png", source.decode(row)) for row in range(8)]
    _, predictions = predict(folder, files)
    answers = [p.answer["classes"][0] for p in predictions]
    assert answers == ["lying", "standing"] * 4


def history(folder: Path, column: str) -> list[str]:
    """A column of metrics.csv."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def picture(path: Path, values: np.ndarray) -> str:
    Image.fromarray(values[0]).save(path)
    return str(path)


@pytest.mark.parametrize("monitor", ["val/distance", "val/hits"])
def test_an_own_monitor_has_the_direction_that_the_module_declares(lab: Path, monitor: str) -> None:
    folder = written(
        "experiment=stripes",
        f"monitor={monitor}",
        "trainer.max_epochs=4",
        "model.module.lr=0.3",
        "batch_size=16",
    )
    values = [float(value) for value in history(folder, monitor)]
    best = json.loads((folder / "result.json").read_text())["best"]["value"]
    assert best == pytest.approx((min if monitor == "val/distance" else max)(values))
    assert min(values) < max(values)


def test_a_monitor_that_the_module_never_logs_is_named(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--config-dir", CONF, "experiment=stripes", *QUICK, "monitor=val/hit"]
    assert main(words) == 2
    assert "did you mean 'val/hits'" in capsys.readouterr().err
    assert not list(Path("runs").rglob("config.yaml"))  # refused: nothing is left behind


def test_a_module_that_derives_from_ours_takes_its_arguments_too(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "my_derived.py").write_text(
        "from leyden.modules.classification import Classifier\n\n\n"
        "class Scaled(Classifier):\n"
        "    def __init__(self, scale: float = 1.0, **kwargs) -> None:\n"
        "        super().__init__(**kwargs)\n"
        "        self.scale = scale\n\n"
        "    def losses(self, logits, batch):\n"
        "        return self.scale * super().losses(logits, batch)\n"
    )
    base = ["model=my_net", "data=stripes", "model.module._target_=my_derived.Scaled"]
    folder = written(*base, "model.module.scale=2.0", "model.module.l1=1e-4")
    assert evaluate(folder)["test"] == json.loads((folder / "result.json").read_text())["metrics"]["test"]
    for wrong, told in (
        ("model.module.l2=1", "there is no such argument"),
        ("model.module.l1=x", "l1=x: "),
    ):
        assert main(["train", "--config-dir", CONF, *base, wrong]) == 2
        assert told in capsys.readouterr().err


def test_what_an_own_loop_leaves_aside_is_said_in_training_and_only_there(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written("experiment=stripes")
    said = " ".join(capsys.readouterr().out.split())
    assert "Centres asks for no loss, optimizer, schedule" in said
    assert "val/hits: more is taken for better" in said
    assert main(["evaluate", str(folder), "--json"]) == 0
    json.loads(capsys.readouterr().out)
    written("experiment=stripes", "monitor=val/distance")
    assert "more is taken" not in capsys.readouterr().out
    written("model=my_net", "data=stripes")
    assert "asks for no" not in capsys.readouterr().out


class Killed(BaseException):
    """As sudden as a SIGKILL, but the test goes on."""


def test_a_broken_own_loop_resumes_exactly(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["experiment=stripes", "trainer.max_epochs=3", "batch_size=32", "checkpoint_minutes=1e-9"]
    straight = written(*options)

    import my_module

    with monkeypatch.context() as patch:
        original = my_module.Centres.training_step

        def broken(self: object, batch: object, batch_idx: int) -> object:
            if self.global_step == 9:  # type: ignore[attr-defined]
                raise Killed
            return original(self, batch, batch_idx)

        patch.setattr(my_module.Centres, "training_step", broken)
        with pytest.raises(Killed):
            train(last_of_each([*QUICK, *options, "runs=broken"]), [CONF])
    resumed = written(*options, "runs=broken")
    # Lightning's own mean over an epoch (train/loss) starts anew in the middle; what is validated does not.
    assert history(resumed, "val/distance") == history(straight, "val/distance")
    a, b = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=False) for f in (straight, resumed))
    assert all(torch.equal(a["state_dict"][k], b["state_dict"][k]) for k in a["state_dict"])


@pytest.mark.parametrize("data", ["planted_text", "planted_audio"])
def test_an_own_loop_takes_batches_of_any_modality(data: str, lab: Path) -> None:
    code = (lab / "my_module.py").read_text()
    code = code.replace('modality = "image"', 'modality = "any"').replace(
        "in_channels * image_size[0] * image_size[1]", "1"
    )
    code = code.replace("batch.input.values / 255", "batch.input.values.float().mean(1, keepdim=True) / 1000")
    (lab / "my_module.py").write_text(code)
    folder = written(
        "model=centres", f"data={data}", "data.source.samples=80", "batch_size=16", "monitor=val/hits"
    )
    assert json.loads((folder / "result.json").read_text())["status"] == "complete"


def test_a_loop_that_cannot_predict_says_so(lab: Path) -> None:
    code = (lab / "my_module.py").read_text()
    (lab / "my_module.py").write_text(
        code.replace("def forward", "def scores").replace("self(batch)", "self.scores(batch)")
    )
    folder = written("experiment=stripes")
    with pytest.raises(UserError, match=r"Centres\.forward\(batch\) must give \(B, 2\)"):
        list(predict(folder, [picture(Path("a.png"), np.zeros((1, 12, 12), np.uint8))]))


def test_a_run_finds_its_code_from_another_folder(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written("model=my_net", "data=stripes").resolve()
    expected = evaluate(folder)
    forget()
    sys.path[:] = [p for p in sys.path if str(tmp_path) not in p]
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    assert evaluate(folder) == expected


# --- identity ---


def of(overrides: list[str], conf: str = CONF) -> str:
    forget()
    config = check(compose(overrides, [conf]))
    return identity(config, build.experiment(config).data.fingerprint)


@pytest.mark.parametrize("file", ["my_net.py", "my_data.py", "my_loss.py"])
def test_edited_code_is_another_run(file: str, lab: Path) -> None:
    options = ["model=my_net", "data=stripes", "loss=margin"]
    before = of(options)
    assert of(options) == before
    path = lab / file
    path.write_text(path.read_text() + "\n# edited\n")
    assert of(options) != before


def test_an_edited_helper_of_own_code_is_another_run(lab: Path) -> None:
    (lab / "helper.py").write_text("WIDTH = 8\n")
    (lab / "my_net.py").write_text("from helper import WIDTH\n" + (lab / "my_net.py").read_text())
    before = of(["model=my_net"])
    (lab / "helper.py").write_text("WIDTH = 9\n")
    assert of(["model=my_net"]) != before
    (lab / "unrelated.py").write_text("WIDTH = 8\n")
    (lab / "helper.py").write_text("WIDTH = 8\n")
    assert of(["model=my_net"]) == before


def test_moved_code_is_the_same_run(lab: Path, tmp_path: Path) -> None:
    options = ["model=my_net", "data=stripes", "loss=margin"]
    before = of(options)
    shutil.move(lab, tmp_path / "elsewhere")
    sys.path[:] = [p for p in sys.path if "my_lab" not in p]
    assert of(options, "elsewhere/conf") == before


# --- an installed package ---


def test_an_installed_package_needs_no_config_dir(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    inside = tmp_path / "my_package" / "my_package"
    for folder in (inside, inside / "conf"):
        (folder / "__init__.py").touch()
    site = tmp_path / "site"
    install = [
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--target",
        str(site),
    ]
    subprocess.run([sys.executable, "-m", *install, str(tmp_path / "my_package")], check=True)
    shutil.rmtree(tmp_path / "my_package")
    monkeypatch.syspath_prepend(site)

    assert main(["list", "model"]) == 0
    (row,) = [r for r in capsys.readouterr().out.splitlines() if r.split()[:1] == ["packed"]]
    assert "Logistic regression, from my package." in row
    assert "(my_package)" in row
    assert train(tiny("model=packed")).status == "complete"
