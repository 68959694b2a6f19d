"""The names of arguments as the source has them, against those that importing finds."""

import re
from pathlib import Path

import pytest

from leyden.config.compose import conf_dir
from leyden.config.signatures import parameters_of
from leyden.config.static_signatures import argument_names
from leyden.config.validate import import_target


def test_names_read_from_source_are_those_of_the_signatures() -> None:
    texts = [file.read_text(encoding="utf-8") for file in conf_dir().rglob("*/*.yaml")]
    targets = {name for text in texts for name in re.findall(r"_target_: ([\w.]+)", text)}
    assert len(targets) > 60
    for name in targets:
        known = [n for n, p in parameters_of(import_target(name, "")).items() if p.kind is not p.VAR_KEYWORD]
        assert argument_names(name) == known, name


def test_names_of_relative_imports_parents_and_what_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "static_pkg"
    (package / "inner").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "inner" / "__init__.py").write_text("from .nets import Net as Public\nfrom . import loop\n")
    (package / "inner" / "nets.py").write_text(
        "from ..base import Base\n"
        "class Net(Base):\n    def __init__(self, width, *, depth=1, **kwargs): ...\n"
        "def make(a, /, b, **rest): ...\n"
    )
    (package / "base.py").write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar, NamedTuple\n"
        "class Base:\n    def __init__(self, scale): ...\n"
        "@dataclass(frozen=True)\nclass Parts:\n    kind: ClassVar[str] = ''\n    first: int\n"
        "class Pair(NamedTuple):\n    left: int\n    right: int = 0\n"
        "from static_pkg.base import Round\n"
    )
    assert argument_names("static_pkg.inner.Public") == ["width", "depth", "scale"]
    assert argument_names("static_pkg.inner.nets.make") == ["a", "b"]
    assert argument_names("static_pkg.base.Parts") == ["first"]
    assert argument_names("static_pkg.base.Pair") == ["left", "right"]
    for lost in (
        "static_pkg.base.Round",
        "static_pkg.base.Nothing",
        "static_pkg.gone.X",
        "gone.X",
        "len",
        "math.sin",
    ):
        assert argument_names(lost) == [], lost
