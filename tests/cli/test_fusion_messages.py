"""Mistakes with several inputs: one message that names the key or file and what to type, status 2, nothing written."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from leyden.cli.main import main

OWN = ("data=multimodal_table", "data.source.csv=own.csv", "data.source.image=photo", "data.source.text=note")
FUSION = (*OWN, "model=fusion")
IMAGES = "leyden.data.sources.image.ImageFolder"
JOIN = (
    *("data=join", "model=fusion", "+model@model.encoders.one=cnn", "+model@model.encoders.two=cnn"),
    *(f"+data.source.sources.one._target_={IMAGES}", "+data.source.sources.one.root=a"),
    *(f"+data.source.sources.two._target_={IMAGES}", "+data.source.sources.two.root=b"),
)
QUICK = ("trainer=cpu", "trainer.max_epochs=1", "batch_size=8", "threads=1", "logger=none")
RNG = np.random.default_rng(0)
Rows = list[list[str]]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (8, 8)).astype(np.uint8)).save(path)


def write(edit: Callable[[Rows], object] = len, header: str = "photo,note,age,label") -> None:
    """own.csv, 24 rows with a picture, a text, a number and a class, once edited."""
    rows = [[f"img/{i}.png", f"came {i}", str(40 + i), ("ill", "well")[i % 2]] for i in range(24)]
    edit(rows)
    Path("own.csv").write_text("\n".join([header, *map(",".join, rows)]) + "\n")


def cell(row: int, column: int, value: str) -> Callable[[], None]:
    def edit(rows: Rows) -> None:
        rows[row][column] = value

    return lambda: write(edit)


def folders(names: str = "xy", rows: int = 12, prefix: str = "b") -> None:
    """Pictures of two folders: a, whose files are a0, a1, ..., and b."""
    for root, of, own, count in (("a", "xy", "a", 12), ("b", names, prefix, rows)):
        for label in of:
            for i in range(count):
                picture(Path(root) / label / f"{own}{label}{i}.png")


def own_net() -> None:
    """A net of the user's own without features."""
    Path("conf/model").mkdir(parents=True)
    Path("nets_without_features.py").write_text(
        "from torch import nn\n\n\nclass Flat(nn.Module):\n    def __init__(self, num_outputs: int) -> None:\n"
        "        super().__init__()\n        self.last = nn.LazyLinear(num_outputs)\n\n"
        "    def forward(self, x):\n        return self.last(x.flatten(1))\n"
    )
    Path("conf/model/flat.yaml").write_text(
        "name: flat\nmodule:\n  _target_: ${task.module}\nnet:\n  _target_: nets_without_features.Flat\n"
    )


class Case(NamedTuple):
    """What is typed after `leyden train`, what the message must hold, and what is made of the files before."""

    words: tuple[str, ...]
    expected: tuple[str, ...]
    make: Callable[[], object] = tuple


CASES = {
    "a column that is not there": Case(
        (*OWN[:3], "data.source.text=notes", "model=fusion"), ("data.source.text", "'note'")
    ),
    "no column at all": Case(
        (*OWN[:2], "model=fusion"), ("no column of an input", "data.source.image=COLUMN")
    ),
    "no key in common": Case(
        (*JOIN, "+data.source.by=name"), ("by=name", "one, two have a key in common"), folders
    ),
    "a key that is no column": Case(
        (*JOIN, "+data.source.by=patient"), ("by=patient", "expected row, name"), folders
    ),
    "sources of other lengths": Case(
        (*JOIN, "+data.source.by=row"), ("one 24, two 22", "by=name"), lambda: folders(rows=11)
    ),
    "sources of other targets": Case(
        (*JOIN, "+data.source.by=row"), ("the targets of two are x, z", "x, y"), lambda: folders("xz")
    ),
    "no source": Case(
        ("data=join", "model=fusion", "data.source.sources={}"), ("expected a source for each input",)
    ),
    "two texts": Case(
        (
            *("data=join", "model=fusion", "+data.source.by=row"),
            *(
                f"+data.source.sources.{n}._target_=leyden.data.sources.text.TextTable"
                for n in ("one", "two")
            ),
            *("+data.source.sources.one.path=own.csv", "+data.source.sources.one.text_column=note"),
            *("+data.source.sources.two.path=own.csv", "+data.source.sources.two.text_column=age"),
        ),
        ("one, two are texts", "join them"),
    ),
    "a row without any input": Case(
        FUSION,
        ("own.csv:5", "has none of the inputs image, text", "data.on_bad=skip"),
        lambda: write(lambda rows: rows[3].__setitem__(slice(0, 2), ["", ""])),
    ),
    "a cell that is no number": Case(
        (*FUSION, "data.source.numbers=[age]"),
        ("own.csv:7", "'age' holds 'old'", "categories"),
        cell(5, 2, "old"),
    ),
    "a table without rows": Case(
        FUSION, ("own.csv", "has no rows"), lambda: write(lambda rows: rows.clear())
    ),
    "a picture that cannot be read": Case(
        FUSION,
        ("own.csv: 1 input cannot be used", "img/7.png", "is no known image format", "on_bad=skip"),
        lambda: Path("img/7.png").write_bytes(b"no"),
    ),
    "an input that is not there": Case(
        (*FUSION, "data.source.inputs=[sound]"), ("data.source.inputs", "'sound'", "image, text")
    ),
    "no input left": Case((*FUSION, "data.source.inputs=[]"), ("data.source.inputs=[]", "image, text")),
    "an input that is not planted": Case(
        ("data=planted_fusion", "model=fusion", "data.source.inputs=[video]"),
        ("'video'", "image, text, audio"),
    ),
    "a model for one input": Case(
        (*OWN, "model=cnn"), ("several inputs", "model=cnn", "choose model=fusion")
    ),
    "fusion of one input": Case(("data=digits", "model=fusion"), ("digits is image", "for several inputs")),
    "an encoder for another modality": Case(
        (*FUSION, "model@model.encoders.image=gru"), ("model.encoders.image", "gru is for text", "is image")
    ),
    "an input without an encoder": Case(
        (*JOIN[:2], *JOIN[4:]), ("model.encoders", "'one'", "+model@"), folders
    ),
    "weights of no encoder": Case(
        (*FUSION, "init.encoders.photo=last"), ("init.encoders.photo", "image, text")
    ),
    "weights of no run": Case((*FUSION, "init.encoders.image=nothere"), ("init.encoders.image=nothere",)),
    "a head where there is none": Case((*FUSION, "head=cosine"), ("LateFusion", "head=linear")),
    "mixup of token ids": Case((*FUSION, "augment=mixup"), ("Mixup", "token ids")),
    "a width that heads cannot share": Case(
        (*OWN, "model=fusion_attention", "model.net.heads=7"), ("width=64", "heads=7")
    ),
    "a text without a tokenizer": Case(
        (*FUSION, "~data/tokenizer"), ("the input text", "+data/tokenizer=word")
    ),
    "an encoder without features": Case(
        (*FUSION, "--config-dir", "conf", "model@model.encoders.image=flat"),
        ("the encoder of image, Flat", "features"),
        own_net,
    ),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for i in range(24):
        picture(Path(f"img/{i}.png"))
    write()


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_a_mistake_is_one_message(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.make()
    assert main(["train", *case.words, *QUICK]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("leyden: ")
    assert said.err.count("leyden: ") == 1
    assert "Traceback" not in said.err
    for part in case.expected:
        assert part in said.err, said.err
    assert not Path("runs").exists()


def test_an_input_that_cannot_be_read_is_absent_where_it_may_be_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("img/7.png").write_bytes(b"no")
    assert main(["data", *OWN, "data.on_bad=skip"]) == 0
    out = capsys.readouterr().out
    assert "image of 23 rows" in out
    assert "text of 24 rows" in out
    assert "img/7.png" in out


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on pictures and texts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        for i in range(24):
            picture(Path(f"img/{i}.png"))
        write()
        assert main(["train", *FUSION, *QUICK]) == 0
        return next(Path("runs/default").iterdir()).absolute()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("predict", "sound=a.wav"), ("sound= is no input", "image, text")),
        (("predict", "image=none.png"), ("none.png",)),
        (("predict", "img/3.png"), ("this run has the inputs image, text", "image=... text=...")),
        (("explain", "--rows", "900"), ("row 900: the table has rows 0 to 23",)),
        (("explain", "--rows", "3", "image=img/3.png"), ("files and --rows", "choose one")),
        (("explain", "--rows", "3", "--input", "waveform"), ("no input of this run is sound",)),
        (("explain", "--target", "il", "--rows", "3"), ("--target il", "'ill'")),
    ],
)
def test_a_mistake_with_a_run_is_one_message(
    words: tuple[str, ...], expected: tuple[str, ...], trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [f"data.source.csv={trained.parents[2] / 'own.csv'}"] if words[0] == "explain" else []
    capsys.readouterr()
    assert main([words[0], str(trained), *words[1:], *data]) == 2
    said = capsys.readouterr().err
    assert said.count("leyden: ") == 1
    for part in expected:
        assert part in said, said


def test_samples_of_each_input_that_can_be_drawn_have_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *OWN, "data.source.numbers=[age]", "--picture", "samples.png"]) == 0
    assert Path("samples-image.png").stat().st_size > 1000
    assert sorted(path.name for path in Path().glob("samples*")) == ["samples-image.png"]
    out = capsys.readouterr().out
    assert "24 rows with 3 inputs, 2 classes" in out
    assert "table of 24 rows: 1 column" in out


def test_near_duplicates_of_each_input_have_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(24):
        picture(Path(f"img/{i}.png"))
    rows = Path("own.csv").read_text().splitlines()
    splits = ["split", *(["train"] * 16 + ["val"] * 4 + ["test"] * 4)]
    Path("own.csv").write_text("\n".join(f"{row},{split}" for row, split in zip(rows, splits, strict=True)))
    near = np.clip(np.asarray(Image.open("img/0.png")).astype(int) + 2, 0, 255).astype(np.uint8)
    Image.fromarray(near).save("img/20.png")
    main(["check", "data", *OWN, "+data.source.split_column=split", "--picture", "pairs.png"])
    out = " ".join(capsys.readouterr().out.split())
    assert "near duplicates written to pairs-image.png" in out
    assert Path("pairs-image.png").exists()
