"""The files of a run's folder: the checkpoint resumed from after any damage; leftovers; atomic writes."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from leyden.callbacks.checkpoint import link
from leyden.callbacks.tensorboard import tensorboard_logger, truncate_events
from leyden.training import resume
from leyden.utils.errors import UserError
from leyden.utils.files import atomic_write, write_text


def state(step: int, best: int | None) -> dict[str, Any]:
    """A checkpoint as `resume` looks at it."""
    found = {} if best is None else {"step": best, "epoch": 1}
    content = dict.fromkeys(resume._NEEDED)
    weights = {"w": torch.full((9,), float(step))}
    callbacks = {"Checkpoint": {"best": found}}
    return {**content, "state_dict": weights, "callbacks": callbacks, "global_step": step}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """previous.ckpt of step 10, the best; last.ckpt of step 15."""
    torch.save(state(10, 10), tmp_path / "previous.ckpt")
    os.link(tmp_path / "previous.ckpt", tmp_path / "best.ckpt")
    torch.save(state(15, 10), tmp_path / "last.ckpt")
    return tmp_path


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 99)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    """One bit of the weights: torch reads it without a word."""
    content = bytearray(path.read_bytes())
    content[
        content.index(torch.full((9,), 15.0 if path.name == "last.ckpt" else 10.0).numpy().tobytes())
    ] ^= 1
    path.write_bytes(content)


def another(path: Path) -> None:
    torch.save({"state_dict": {}}, path)


def steps(folder: Path) -> dict[str, int]:
    return {p.stem: torch.load(p, weights_only=False)["global_step"] for p in sorted(folder.glob("*.ckpt"))}


@pytest.mark.parametrize("damage", [garbage, truncated, flipped, another])
def test_a_damaged_checkpoint_is_replaced_by_the_previous_one(
    folder: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / "last.ckpt")
    found = resume.find(folder)
    assert found is not None
    assert (found.step, found.path) == (10, folder / "last.ckpt")
    assert found.best["step"] == 10
    assert steps(folder) == {"best": 10, "last": 10}
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_two_damaged_checkpoints_restart_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("last", "previous"):
        garbage(folder / f"{name}.ckpt")
    assert resume.find(folder) is None
    assert capsys.readouterr().out == "last.ckpt and previous.ckpt damaged; the run starts again\n"


def test_intact_checkpoints_are_not_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = resume.find(folder)
    assert found is not None
    assert found.step == 15
    assert steps(folder) == {"best": 10, "last": 15, "previous": 10}
    assert capsys.readouterr().out == ""
    assert resume.find(folder / "nothing here") is None


def test_the_best_is_relinked_from_the_checkpoint_that_has_it(folder: Path) -> None:
    (folder / "best.ckpt").unlink()
    assert resume.find(folder) is not None
    assert steps(folder)["best"] == 10


def test_a_lost_best_checkpoint_restarts_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(state(12, 10), folder / "previous.ckpt")
    garbage(folder / "best.ckpt")
    assert resume.find(folder) is None
    assert "best.ckpt" in capsys.readouterr().out


@pytest.mark.parametrize("one", [True, False])
def test_a_best_from_a_lost_future_is_forgotten(tmp_path: Path, one: bool) -> None:
    """The newest state was the best, and is damaged: under one name, or in one file under both."""
    torch.save(state(15, 10), tmp_path / "previous.ckpt")
    torch.save(state(20, 20), tmp_path / "last.ckpt")
    os.link(tmp_path / "last.ckpt", tmp_path / "best.ckpt")
    if not one:
        (tmp_path / "last.ckpt").unlink()
    garbage(tmp_path / "last.ckpt")
    found = resume.find(tmp_path)
    assert found is not None
    assert (found.step, found.best) == (15, {})
    assert steps(tmp_path) == {"last": 15}


def test_event_files_are_cut_to_the_state(tmp_path: Path) -> None:
    for name, text in (("1", "kept and more"), ("2", "whole"), ("3", "later")):
        (tmp_path / f"events.out.tfevents.{name}").write_text(text)
    truncate_events(tmp_path, {"events.out.tfevents.1": 4, "events.out.tfevents.2": 5})
    left = {p.name[-1]: p.read_text() for p in tmp_path.iterdir()}
    assert left == {"1": "kept", "2": "whole"}


def test_event_files_sort_in_the_order_in_which_they_were_made(tmp_path: Path) -> None:
    """Two of one second differ in a process id and a count, of which ".10" sorts before ".9"."""
    made = [
        tmp_path / f"events.out.tfevents.{int(time.time())}.zz.9.9",
        tmp_path / "events.out.tfevents.mine",
    ]
    for path in made:
        path.touch()
    tensorboard_logger(tmp_path, "val/accuracy").experiment.flush()
    (new,) = set(tmp_path.iterdir()) - set(made)
    assert new.name > made[0].name


def test_only_leftovers_of_interrupted_writes_are_removed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "predictions").mkdir()
    keep = [".lock", "result.json", "checkpoints/last.ckpt", "predictions/val.npz"]
    for name in (
        *keep,
        ".result.json.77",
        ".metrics.csv.8",
        "checkpoints/writing.ckpt",
        "checkpoints/best.link",
        "predictions/.val.npz.9",
    ):
        (tmp_path / name).touch()
    resume.remove_temporaries(tmp_path)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")) == sorted(keep)


def fail(path: Path, failure: BaseException) -> None:
    with atomic_write(path) as file:
        file.write(b"half of it")
        raise failure


@pytest.mark.parametrize("failure", [ValueError("while writing"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_file_unchanged(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "val.npz"
    with atomic_write(path) as file:
        np.savez_compressed(file, rows=np.arange(3))
    with pytest.raises(type(failure)):
        fail(path, failure)
    assert np.load(path)["rows"].tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_text(path, "{}")
    with pytest.raises(UserError, match=r"cannot write .*result\.json: No space left"):
        fail(path, OSError(errno.ENOSPC, "No space left on device"))
    assert path.read_text() == "{}"


def test_without_hard_links_the_best_is_a_copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    link(folder / "last.ckpt", folder / "best.ckpt")
    assert not (folder / "best.ckpt").samefile(folder / "last.ckpt")
    assert steps(folder) == {"best": 15, "last": 15, "previous": 10}
    truncated(folder / "last.ckpt")
    found = resume.find(folder)
    assert found is not None
    assert found.step == 10
