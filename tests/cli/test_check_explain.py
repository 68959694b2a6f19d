"""`leyden check explain`: a run's verdict is printed and stored; architectures are trained on a generated set."""

import json
from pathlib import Path

import pytest

import leyden
from leyden.cli.main import main
from leyden.runs.explain_check import read_check

QUICK = ["logger=none", "threads=1", "trainer=cpu"]
SMALL = [
    *("data.source.size=20", "data.source.samples=900", "optimizer.lr=0.003", "trainer.max_epochs=8"),
    *("model.net.widths=[16,32]", "model.net.pooling=max"),
]


@pytest.fixture(scope="module")
def planted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    return leyden.train(["experiment=planted_images", *SMALL, *QUICK, f"runs={root}"]).folder


def test_a_run_s_verdict_is_printed_and_stored(planted_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "explain", str(planted_run), "--rows", "30"]) == 0
    out = capsys.readouterr().out
    assert "integrated gradients" in out
    assert "over 30 rows of planted_images answered rightly" in out
    stored = read_check(planted_run)
    assert stored is not None
    assert (stored.rows, stored.epochs) == (30, 0)
    assert set(stored.methods) == {"integrated_gradients", "occlusion", "grad_cam"}
    assert leyden.load(planted_run, trust=False)  # the signature and the other files are as they were

    arguments = ["check", "explain", str(planted_run), "--rows", "20", "--method", "occlusion", "--json"]
    assert main(arguments) == 0
    assert list(json.loads(capsys.readouterr().out)["methods"]) == ["occlusion"]


@pytest.mark.slow
def test_an_architecture_is_trained_on_the_generated_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a run on other data, with which the verdict is stored; and of what is typed."""
    words = ["data=digits", "model=cnn", "model.net.widths=[16,32]", "optimizer.lr=0.003"]
    folder = leyden.train([*words, *QUICK, "trainer.max_epochs=1", f"runs={tmp_path}"]).folder
    before = sorted(tmp_path.rglob("*"))
    assert main(
        ["check", "explain", str(folder), "--rows", "20", "--epochs", "6", "--method", "occlusion"]
    ) in (0, 1)
    assert f"stored with {folder}" in capsys.readouterr().out.replace("\n", "")
    stored = read_check(folder)
    assert stored is not None
    assert (stored.data, stored.epochs) == ("planted_images", 6)
    assert {*tmp_path.rglob("*")} - {*before} == {folder / "explain_check.json"}
    typed = [*words, "--rows", "20", "--epochs", "6", "--method", "occlusion"]
    assert main(["check", "explain", *typed]) in (0, 1)
    assert "stored with no run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing-here"], "nothing-here"),
        (["RUN", "model=cnn"], "give a run (RUN) or key=value, not both"),
        (["model=cnn", "--rows", "0"], "--rows and --epochs: expected 1 or more"),
        (["model=cnn", "--method", "gradcam"], "--method gradcam: did you mean"),
        (["model=cnnn"], "cnnn"),
    ],
)
def test_mistakes_are_one_message(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", "explain", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
