"""The wheel: what is in it, and that it works in an environment that has never seen the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], ROOT)
    (built,) = out.glob("leyden-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment: Leyden from the wheel, all else from this environment's folder.

    Python reads no .pth files in a folder that a .pth file names, so the editable Leyden here stays unseen.
    """
    home = tmp_path_factory.mktemp("venv")
    run([sys.executable, "-m", "venv", "--without-pip", str(home)], home)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    run([*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)], home)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python.parent


def run(words: list[str], folder: Path) -> str:
    """What a command prints; it must succeed. It sees nothing of the checkout and has a cache of its own."""
    hidden = {"PYTHONPATH", "VIRTUAL_ENV"}
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_options_the_plugin_and_every_module(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    options = {f"leyden/conf/{p.relative_to(ROOT / 'conf')}" for p in (ROOT / "conf").rglob("*.yaml")}
    modules = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src").rglob("*.py")}
    assert len(options) > 60
    assert len(modules) > 60
    assert options <= names
    assert modules <= names
    assert "hydra_plugins/leyden_options/__init__.py" in names
    strangers = {name for name in names - options - modules if ".dist-info/" not in name}
    assert strangers <= {"leyden/py.typed"}


def test_the_installed_command_finds_its_options(installed: Path, tmp_path: Path) -> None:
    where = run([str(installed / "python"), "-c", "import leyden; print(leyden.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    listed = run([str(installed / "leyden"), "list", "experiment"], tmp_path)
    for path in (ROOT / "conf" / "experiment").glob("*.yaml"):
        assert f" {path.stem} " in listed
    composed = run([str(installed / "leyden"), "train", "experiment=mnist_keras", "--cfg", "job"], tmp_path)
    assert "leyden.nets.image.KerasCNN" in composed


@pytest.mark.slow
def test_the_installed_command_trains_the_default(installed: Path, tmp_path: Path) -> None:
    run([str(installed / "leyden"), "train", "trainer=cpu", "trainer.max_epochs=1", "threads=1"], tmp_path)
    (result,) = tmp_path.glob("runs/default/digits-cnn-seed1-*/result.json")
    stored = json.loads(result.read_text())
    assert stored["status"] == "complete"
    assert stored["metrics"]["test"]["n"] == 359  # a fifth of 1,797
    shown = run([str(installed / "leyden"), "evaluate", str(result.parent), "--json"], tmp_path)
    assert json.loads(shown) == stored["metrics"]
