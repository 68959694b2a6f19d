"""Shared by all tests: a cache of their own, one thread, a quiet and safe place to work in."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from words import last_of_each

# Before torch is imported: two cores shared by parallel tests go slow when each takes both.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of columns: that of the session, never the user's."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("LEYDEN_CACHE")
    os.environ["LEYDEN_CACHE"] = str(folder)
    yield folder
    os.environ.pop("LEYDEN_CACHE") if before is None else os.environ.update(LEYDEN_CACHE=before)


@pytest.fixture(scope="session", autouse=True)
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key by which runs are recognised: one of the session, never the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def saved_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The optimizer steps at which runs of the test save a state, as they do."""
    from leyden.callbacks import checkpoint

    steps: list[int] = []
    original = checkpoint.Checkpoint.save

    def noted(self: checkpoint.Checkpoint, trainer: Any) -> None:
        steps.append(trainer.global_step)
        original(self, trainer)

    monkeypatch.setattr(checkpoint.Checkpoint, "save", noted)
    return steps


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Overrides of a run of a second, in a working folder of its own: `tiny("seed=2")`."""
    monkeypatch.chdir(tmp_path)

    def overrides(*more: str) -> list[str]:
        small = ["data=planted_images", "data.source.samples=240", "data.source.size=12", "model=mlp"]
        quick = ["trainer=cpu", "trainer.max_epochs=2", "batch_size=16", "threads=1", "logger=none"]
        return last_of_each([*small, *quick, *more])

    return overrides
