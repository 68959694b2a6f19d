"""Where an interrupted run resumes: the newest undamaged state, with a best checkpoint that agrees with it.

A process may be killed between any two system calls, and a disk may return other bytes than were written. `find`
examines the files, repairs what can be repaired, and returns the state to resume from; `remove_temporaries`
removes what an interrupted write left behind.
"""

import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from leyden.callbacks.checkpoint import Checkpoint, link
from leyden.health.step_snapshot import recovery_file
from leyden.runs.run import EVENT_FILES
from leyden.utils import tensors
from leyden.utils.console import console
from leyden.utils.errors import UserError

_NEEDED = ("state_dict", "loops", "callbacks", "optimizer_states", "transient", "stopped", "global_step")
_UNREAD = ("hyper_parameters", "datamodule_hyper_parameters")  # Lightning's, of save_hyperparameters()
_TEMPORARY = re.compile(r"\..+\.\d+")  # what files.replacing writes before it renames


class State(NamedTuple):
    """A checkpoint, read."""

    path: Path
    content: dict[str, Any]

    @property
    def step(self) -> int:
        """Optimizer steps that led to it."""
        return int(self.content["global_step"])

    @property
    def best(self) -> dict[str, Any]:
        """What was best then; empty before the first epoch's end."""
        found: dict[str, Any] = self.content["callbacks"][Checkpoint.__qualname__]["best"]
        return found


def read(path: Path) -> State:
    """Read a checkpoint that is whole.

    Raises:
        UserError: it holds more than tensors and plain data, and the user has not said --trust.
    """
    return State(path, _unpacked(tensors.load(path), path))


def _packed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint with the state of a user's own callbacks, and what their hooks add, as `tensors.pack` makes it."""
    own = {key: tensors.pack(value) for key, value in content.items() if key not in _NEEDED}
    callbacks = {key: tensors.pack(value) for key, value in content.get("callbacks", {}).items()}
    return {**content, **own, "callbacks": callbacks}


def _unpacked(content: Any, path: Path) -> Any:
    """What `_packed` was given, without hyperparameters that are no plain data: nothing here reads them.

    Raises:
        UserError: it holds what is read with --trust alone.
    """
    if not isinstance(content, dict) or not isinstance(content.get("callbacks"), dict):
        return content
    kept = {k: v for k, v in content.items() if not (k in _UNREAD and tensors.is_packed(v))}
    own = {k: tensors.unpack(v, f"{k} in {path}") for k, v in kept.items()}
    callbacks = {k: tensors.unpack(v, f"the callback {k} in {path}") for k, v in content["callbacks"].items()}
    return {**own, "callbacks": callbacks}


def find(checkpoints: Path) -> State | None:
    """The state to go on from, or None to start again; what was amiss is said in one line.

    A damaged last.ckpt gives way to previous.ckpt, which takes its name: else the next state would displace the good
    one. best.ckpt is linked again where a kill came before; where it is lost, so are the steps since the start.

    Raises:
        UserError: as `read`.
    """
    last, previous = checkpoints / "last.ckpt", checkpoints / "previous.ckpt"
    there = [path for path in (last, previous) if path.exists()]
    state = next((state for path in there if (state := _whole(path)) is not None), None)
    if state is None:
        if there:
            _say(f"{' and '.join(p.name for p in there)} damaged; the run starts again")
        return None
    damaged = last.exists() and state.path != last
    if damaged:
        _say(f"last.ckpt damaged; resuming from the checkpoint before it, step {state.step}")
    if not _agree(state, checkpoints, newer_lost=damaged):
        _say("best.ckpt is damaged or missing and no other state has its weights; the run starts again")
        return None
    if state.path != last:
        state.path.replace(last)
    return State(last, state.content)


def _say(message: str) -> None:
    console.print(message)


def _whole(path: Path) -> State | None:
    """The checkpoint, or None if it is not as it was written (truncated, overwritten, a bit flipped)."""
    if not _sound(path):
        return None
    try:
        state = read(path)
    except UserError:  # it is whole, and holds what is read with --trust alone
        raise
    except Exception:  # whatever unpickling finds in a file that is none of ours
        return None
    return state if isinstance(state.content, Mapping) and all(k in state.content for k in _NEEDED) else None


def _sound(path: Path) -> bool:
    """Whether the archive's checksums are right: torch reads over them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile):
        return False


def _step_of(path: Path) -> int | None:
    """The step of a checkpoint, without reading its tensors; None if it is not there or not sound."""
    if not path.exists() or not _sound(path):
        return None
    try:
        return int(tensors.load(path, "meta", from_disk=True)["global_step"])
    except UserError:
        raise
    except Exception:  # as in `_whole`
        return None


def _agree(state: State, checkpoints: Path, newer_lost: bool) -> bool:
    """Make best.ckpt what the state says is best; False where that is lost.

    A best.ckpt of a later step comes from the future that was lost with the newer state: nothing is best then,
    and the epochs to come decide; on the CPU they are the same again.
    """
    best = checkpoints / "best.ckpt"
    if not state.best:
        best.unlink(missing_ok=True)
        return True
    step = _step_of(best)
    if step == state.best["step"]:
        return True
    for other in (state.path, checkpoints / "previous.ckpt"):
        if _step_of(other) == state.best["step"]:
            link(other, best)
            return True
    later = step is not None and step > state.step
    one_with_last = newer_lost and best.exists() and best.samefile(checkpoints / "last.ckpt")
    if later or one_with_last:
        state.best.clear()
        best.unlink()
        return True
    return False


def roll_back(checkpoints: Path, step: int) -> State | None:
    """The newest state of `step` or before it, else the oldest there is; None: none is, and all begins anew.

    What is newer is dropped, so that a killed run goes on from the same place.
    """
    last, previous = checkpoints / "last.ckpt", checkpoints / "previous.ckpt"
    states = [state for path in (last, previous) if path.exists() and (state := _whole(path)) is not None]
    state = next((s for s in states if s.step <= step), states[-1] if states else None)
    if state is None or not _agree(state, checkpoints, newer_lost=state.path == previous):
        for path in checkpoints.glob("*.ckpt"):
            path.unlink()
        return None
    if state.path == previous:
        previous.replace(last)
    return State(last, state.content)


def take_over(parent: Path, folder: Path) -> State:
    """Begin a run in `folder` with what a finished one has: event files, rollbacks, best weights, at last its state.

    Raises:
        UserError: the state is damaged.
    """
    for path in parent.glob(EVENT_FILES):
        shutil.copyfile(path, folder / path.name)
    if recovery_file(parent).exists():
        recovery_file(folder).parent.mkdir(exist_ok=True)
        shutil.copyfile(recovery_file(parent), recovery_file(folder))
    for name in ("best.ckpt", "last.ckpt"):
        link(parent / "checkpoints" / name, folder / "checkpoints" / name)
    state = find(folder / "checkpoints")
    if state is None:
        raise UserError(f"continue={parent}: its last state is damaged; train it again with force=true")
    return state


def remove_temporaries(folder: Path) -> None:
    """Remove what interrupted writes have left in a run's folder; only under its lock."""
    for path in (*folder.iterdir(), *(folder / "predictions").glob(".*")):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink()
    for name in ("writing.ckpt", "best.link"):
        (folder / "checkpoints" / name).unlink(missing_ok=True)


class PlainCheckpointIO(TorchCheckpointIO):
    """Checkpoints as plain files: written where they belong, and the one that was read already not read again.

    Lightning's own goes through a copy in memory and another in the system's folder for temporary files, which a
    killed process leaves there.
    """

    def __init__(self, state: State | None) -> None:
        self._held = {} if state is None else {state.path: state.content}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write to `path` itself. An open file, for torch's own hides why a write fails."""
        with Path(path).open("wb") as file:
            torch.save(_packed(checkpoint), file)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """What was read, once, and then no longer held; else the file."""
        held = self._held.pop(Path(path), None)
        if held is None:
            return read(Path(path)).content
        content = dict(held)
        held.clear()
        return content
