"""The public functions of the package: docs/python.md is run from top to bottom, imports stay light."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import leyden
from leyden.inference.model import Model

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
QUICK = ["data=digits", "model=mlp", "trainer.max_epochs=1", "threads=1", "logger=none"]


def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 7
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert "mlp" in printed  # the message of the misspelt model
    assert "test/accuracy 0.01 " in printed
    assert (
        len(list(Path("runs").rglob("result.json"))) == 3 - 1
    )  # a rate of 0.001 is the default: the first run


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, leyden\n"
        "heavy = {'torch', 'lightning', 'numpy', 'hydra', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "leyden.runs, leyden.UserError, leyden.__version__\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def test_the_package_of_runs_is_also_the_function(tmp_path: Path) -> None:
    import leyden.runs.query

    assert leyden.runs.query.UNSET == "-"
    assert leyden.runs(tmp_path) == []


def test_a_name_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'fit'; there are .*train"):
        leyden.fit  # noqa: B018


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("run")
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    outcome = leyden.train([*QUICK, f"runs={folder}"])
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
    return leyden.load(outcome.folder)


def test_a_thread_trains_without_handlers(tmp_path: Path) -> None:
    """Python sets signal handlers in the main thread alone."""
    with ThreadPoolExecutor() as pool:
        outcome = pool.submit(leyden.train, [*QUICK, f"runs={tmp_path}", "seed=2"]).result()
    assert outcome.status == "complete"


def test_arrays_of_images_are_predicted_one_by_one_and_together(model: Model) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8)).astype(np.uint8)
    together = model.predict(images)
    for found, image in zip(together, images, strict=True):
        (alone,) = model.predict(image)
        assert alone["classes"] == found["classes"]
        assert alone["probabilities"] == pytest.approx(found["probabilities"], abs=1e-6)
    assert len(model.predict(images[0, 0])) == 1  # (H, W)
    assert model.predict(images[:, 0]) == together  # (N, H, W)
    assert set(together[0]["classes"]) <= set(model.class_names)
    assert not model.net.training


def test_inputs_of_another_shape_are_refused(model: Model) -> None:
    with pytest.raises(leyden.UserError, match=r"8"):
        model.predict(np.zeros((3, 20, 20), np.uint8))
    with pytest.raises(leyden.UserError, match=r"uint8"):
        model.predict(np.zeros((8, 8), np.float32))
    with pytest.raises(leyden.UserError, match=r"nothing\.png"):
        model.predict("nothing.png")


def test_a_run_is_found_by_the_beginning_of_its_name(model: Model) -> None:
    runs = model.run.run.folder.parents[1]
    assert leyden.load("digits-mlp", runs).class_names == model.class_names
