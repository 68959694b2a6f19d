"""The examples in docstrings give what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import leyden

SOURCE = Path(leyden.__file__).parent
WITH_EXAMPLES = sorted(path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


def test_there_are_examples() -> None:
    assert len(WITH_EXAMPLES) >= 15


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_the_examples_hold(path: Path) -> None:
    name = ".".join(("leyden", *path.relative_to(SOURCE).with_suffix("").parts))
    done = doctest.testmod(import_module(name))
    assert done.attempted
    assert not done.failed
