"""Where modules are found: of the working folder, often somebody else's data, only what a configuration names."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

import pytest

from leyden.utils import own_code
from leyden.utils.runtime import module_path, safe_path

# Modules that libraries look for and do without.
OPTIONAL = ("tabulate", "gmpy2", "tensorflow", "tree", "colorama", "simplejson", "zstandard", "dill", "flint")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with own code, a package of own code, and what nobody asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "path", [path for path in sys.path if path and not path.startswith(own_code._PREFIX)]
    )
    monkeypatch.setattr(own_code, "_names", set())
    files = {
        "own_a.py": "def f():\n    import own_b\n    return own_b\n",
        "own_b.py": "from own_pkg.part import VALUE\n",
        "own_pkg/__init__.py": "from . import other\n",
        "own_pkg/part.py": "VALUE = 3\n",
        "own_pkg/other.py": "",
        "own_broken.py": "def (",
        "hydra_plugins/stray/__init__.py": "raise SystemExit('a plugin was imported')",
        **{f"{name}.py": "" for name in ("own_stray", "numpy", *OPTIONAL)},
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    own_code.add([tmp_path])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def test_nothing_is_found_that_nobody_asked_for() -> None:
    assert own_code.folders() == [Path.cwd()]
    assert [name for name in ("own_a", "own_stray", "own_pkg") if find_spec(name)] == []
    found = {name: spec.origin for name in OPTIONAL if (spec := find_spec(name))}
    assert not [path for path in found.values() if str(path).startswith(os.getcwd())]  # noqa: PTH109


def test_what_is_asked_for_is_found_with_all_it_imports() -> None:
    own_code.allow("own_a")
    import own_a  # type: ignore[import-not-found]

    assert own_a.f().VALUE == 3
    assert find_spec("own_stray") is None


def test_a_module_of_a_package_and_one_that_cannot_be_parsed() -> None:
    own_code.allow("own_pkg.part")
    own_code.allow("own_broken")
    assert find_spec("own_pkg.part") is not None
    with pytest.raises(SyntaxError):
        __import__("own_broken")


def test_what_is_installed_comes_first() -> None:
    own_code.allow("numpy.nowhere")
    assert PathFinder.find_spec("numpy", [sys.path[-1]]) is not None, "it is there, and allowed"
    assert str(Path.cwd()) not in str(PathFinder.find_spec("numpy").origin)  # type: ignore[union-attr]


def test_a_child_process_gets_the_folders_by_its_path(here: Path) -> None:
    code = (
        "import sys, tempfile; from leyden.utils import own_code; from importlib.util import find_spec\n"
        "print(own_code.folders()[-1]); print(find_spec('own_a'))\n"
        "own_code.allow('own_a'); import own_a; print(own_a.f().VALUE, '' in sys.path)"
    )
    with safe_path():
        environment = {**os.environ, "PYTHONPATH": module_path()}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
    assert done.stdout.splitlines() == [str(here), "None", "3 False"]
    assert "PYTHONSAFEPATH" not in os.environ


@pytest.mark.parametrize(
    "words",
    [["-m", "leyden", "list", "model"], ["-m", "leyden", "train", "--cfg", "job"]],
    ids=lambda w: w[2],
)
def test_a_command_imports_no_plugin_of_the_working_folder(words: list[str]) -> None:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
