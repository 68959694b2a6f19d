"""Finished runs of each modality, trained at their first use."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import leyden
from leyden.inference.load import load
from leyden.interpretation.access import open_data
from small_runs import QUICK, WORDS, Opened


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Opened]:
    """A finished run by its name in WORDS, and its data; each is trained at its first use."""
    root = tmp_path_factory.mktemp("explained")

    @cache
    def made(name: str) -> Opened:
        outcome = leyden.train([*WORDS[name], *QUICK, f"runs={root}"])
        run = load(Path(outcome.folder))
        return run, open_data(run)

    return made
