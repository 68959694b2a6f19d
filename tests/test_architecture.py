"""The house of docs/architecture.md: who may import whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import leyden

ROOT = Path(leyden.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# folder or file -> what of Leyden it may import (prefixes); nothing else
ALLOWED = {
    "nets": ("leyden.nets", "leyden.errors"),
    "objectives": ("leyden.objectives",),
    "data/sampling.py": ("leyden.errors", "leyden.data.policies"),
    "data/policies.py": (),
    "data/ledger.py": ("leyden.errors",),
    "operating": ("leyden.operating", "leyden.errors", "leyden.metrics"),
    "data/transforms": ("leyden.batch", "leyden.errors", "leyden.data.transforms"),
    "modules": ("leyden.batch", "leyden.metrics", "leyden.modules"),
    "metrics": ("leyden.metrics",),
    "reporting": ("leyden.reporting", "leyden.errors", "leyden.metrics", "leyden.run", "leyden.files"),
    "batch.py": (),
    "errors.py": (),
}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_enough_modules_are_seen() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("place", ALLOWED)
def test_arrows_run_one_way(place: str) -> None:
    files = [p for p in MODULES if p.relative_to(ROOT).as_posix().startswith(place)]
    assert files, place
    for path in files:
        for name in imports(path):
            own = name.startswith("leyden.")
            assert not own or name.startswith(ALLOWED[place]), f"{path.relative_to(ROOT)} imports {name}"


def test_only_build_instantiates() -> None:
    users = {p.name for p in MODULES if "hydra.utils" in set(imports(p))}
    assert users == {"build.py"}


def test_only_the_data_layer_has_a_datamodule() -> None:
    users = {p.name for p in MODULES if "(LightningDataModule)" in p.read_text(encoding="utf-8")}
    assert users == {"datamodule.py"}


@pytest.mark.parametrize(
    "place", ["reporting", "cli.py", "compose.py", "listing.py", "completion.py", "runs.py", "removal.py"]
)
def test_what_must_start_fast_imports_no_torch(place: str) -> None:
    names = [
        ".".join(("leyden", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for p in MODULES
        if p.relative_to(ROOT).as_posix().startswith(place)
    ]
    code = f"import sys; [__import__(n) for n in {names}]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
