"""Command lines that failed once, and what `scripts/fuzz` calls a fault."""

import importlib.util
import random
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def script() -> ModuleType:
    """The module scripts/fuzz.py."""
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "scripts/fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = script()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("words", fuzz.past_failures(), ids=shlex.join)
def test_what_failed_once_is_refused_with_one_message(words: list[str], here: None) -> None:
    ended = fuzz.run_here(words)
    assert fuzz.fault(ended, expected=2) == "", ended


def test_a_valid_command_stops_before_it_writes(here: None) -> None:
    ended = fuzz.run_here(["train", "data=digits", "model=mlp", "threads=1", "trainer=cpu"])
    assert (ended.status, ended.written) == (None, ())


@pytest.mark.parametrize(
    ("status", "err", "written", "said"),
    [
        (2, "leyden: no\n", (), ""),
        (2, "leyden: no\n  a\n  b\n", (), ""),
        (2, "leyden: no\nleyden: no\n", (), "2 messages"),
        (2, "a warning\nleyden: no\n", (), "1 messages"),
        (2, "leyden: no\nmore\n", (), "several lines"),
        (2, "leyden: \x1b[31m\n", (), "control characters"),
        (2, "leyden: no\n", ("runs",), "refused, but wrote runs"),
        (1, "Traceback (most recent call last)\n", (), "a traceback"),
        (0, "", (), "exit status 0, not 2"),
        (-11, "", (), "exit status -11"),
    ],
)
def test_what_is_a_fault(status: int, err: str, written: tuple[str, ...], said: str) -> None:
    found = fuzz.fault(fuzz.Ended(status, "", err, written), expected=2)
    assert said in found
    assert bool(found) is bool(said)


@pytest.mark.slow
def test_command_lines_are_a_function_of_the_seed_and_name_options_that_exist() -> None:
    grammar = fuzz.Grammar()
    assert [grammar.command(seed) for seed in range(50)] == [grammar.command(seed) for seed in range(50)]
    assert {words[0] for words, _ in map(grammar.command, range(400)) if words} >= {
        "train",
        "runs",
        "check",
        "list",
    }


@pytest.mark.parametrize(
    ("words", "default", "holds"),
    [
        ("mean or max", "mean", lambda value: value in ("mean", "max")),
        ("true or false", "true", lambda value: value in ("true", "false")),
        ("integer, 1 or more", "3", lambda value: int(value) in (2, 3, 4, 6)),
        ("number, 0 or more", "0.5", lambda value: 0.25 <= float(value) <= 0.55),
        ("list of integers", "[1,2]", lambda value: value == "[1,2]"),
        ("number, 0 or more, or null", "0.5", lambda value: value == "null" or float(value) < 1),
    ],
)
def test_a_sound_value_is_of_the_arguments_type(
    words: str, default: str, holds: Callable[[str], bool]
) -> None:
    drawn = {fuzz.sound(fuzz.Argument("x", words, default), random.Random(seed)) for seed in range(40)}
    assert all(map(holds, drawn)), drawn
    assert len(drawn) > 1 or default.startswith("[")
