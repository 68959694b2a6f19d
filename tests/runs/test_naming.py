"""Folders of runs: named after what was chosen, identified by their fingerprint."""

from collections.abc import Callable
from pathlib import Path

import pytest

from leyden.runs.naming import chosen, folder_name
from leyden.training.job import train


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], []),
        (["data=digits", "model=cnn", "seed=3", "threads=1", "trainer=cpu", "runs=x", "--config-dir=a"], []),
        (["loss=focal", "optimizer.lr=0.01"], ["focal", "lr0.01"]),
        (["optimizer.lr=0.01", "loss=focal"], ["focal", "lr0.01"]),  # in whatever order
        (["imbalance=auto", "scheduler=none"], ["imbalance_auto", "scheduler_none"]),
        (["data.source.root=/my/pictures/", "+data/tokenizer=word"], ["root_pictures", "word"]),
        (["model.net.widths=[64,32]", "name='a b'"], ["widths64_32"]),
        (["continue=runs/default/x-1", "trainer.max_epochs=6"], ["continued", "max_epochs6"]),
        (
            [f"model.net.argument_{i}=12345" for i in range(9)],
            ["argument_012345", "argument_112345", "7more"],
        ),
    ],
)
def test_what_was_chosen(words: list[str], expected: list[str]) -> None:
    assert chosen(words) == expected


def test_a_run_is_found_by_its_fingerprint(tmp_path: Path) -> None:
    parent = tmp_path / "default"
    words = ["optimizer.lr=0.01"]
    assert folder_name("a", words, "f00d", parent) == "a-lr0.01-f00d"
    (parent / "a-f00d").mkdir(parents=True)  # of an earlier version
    assert folder_name("a", words, "f00d", parent) == "a-f00d"
    assert folder_name("b", words, "f00d", parent) == "b-lr0.01-f00d"  # a name that was typed
    (parent / "a-lr0.01-f00d").mkdir()
    assert folder_name("a", words, "f00d", parent) == "a-lr0.01-f00d"


def test_other_words_for_the_same_configuration_find_the_run(
    tiny: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(tiny("optimizer.lr=0.001"))  # the default
    assert "-seed1-" in first.folder.name
    assert "-lr0.001-" in first.folder.name
    assert train(tiny()).folder == first.folder
    assert "finished before" in capsys.readouterr().out
