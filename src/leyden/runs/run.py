"""A run's folder: identity, lock, state, manifest, result. All plain files, all written atomically.

    runs/<experiment>/<name>-<fingerprint>/
      config.yaml     the composed configuration
      manifest.json   versions, git, hardware, threads, command, data;  changes.diff: what git had not committed
      spec.json       facts about the data (DataSpec)
      metrics.csv     a row an epoch
      result.json     from the start on: status, command, configuration; at the end metrics, best, cost
      checkpoints/    last, previous, best
      predictions/    outputs for val and test
      tensorboard/    event files

States: new, running, interrupted, failed, pruned (by a search), complete; a complete run recorded with another
Leyden or torch is also stale: it is shown, and done again only with force=true. A result.json that says "running"
while nobody holds the lock is of a process that died: the run is interrupted.
"""

import fcntl
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import yaml

from leyden.runs.manifest import packages
from leyden.runs.result import READABLE, SCHEMA, Result
from leyden.utils.errors import UserError, nearest
from leyden.utils.files import cannot_write, damaged, is_locked, read_object, write_json, write_text

State = Literal["new", "running", "interrupted", "failed", "pruned", "complete"]
STATUSES = ("running", "interrupted", "failed", "pruned", "complete")  # what result.json may say
EXIT_STATUS = {
    "complete": 0,
    "pruned": 0,
    "failed": 1,
    "refused": 2,
    "interrupted": 130,
}  # of a command, by state

# Keys that change no result: where things lie, what a run is called, when its state is saved, which search it is of;
# and arguments of the Trainer that say what is shown, not what is computed.
COSMETIC = (
    *("name", "runs", "cache", "data_root", "force", "trial"),
    *("checkpoint_minutes", "checkpoint_steps"),
)
SHOWN = ("log_every_n_steps", "profiler", "num_sanity_val_steps", "default_root_dir")

_DECIDING = ("leyden", "torch")  # other versions of these make a finished run stale
_HEADER = ("command", "started", "data", "made_with", "config")  # of result.json, known before training


@dataclass(frozen=True)
class Run:
    """A run's folder, existing or not yet."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.folder / "checkpoints"

    def result(self) -> dict[str, Any] | None:
        """result.json, or None if there is none.

        Raises:
            UserError: it is damaged or of a schema that this Leyden does not know.
        """
        path = self.folder / "result.json"
        if not path.exists():
            return None
        stored = read_object(path, json.loads)
        schema = stored.get("schema")
        if schema is None or stored.get("status") not in STATUSES:
            raise damaged(path, "no schema" if schema is None else f"status {stored.get('status')!r}")
        if schema not in READABLE:
            raise UserError(
                f"{path} is of schema {schema}, this leyden knows {SCHEMA}: use the leyden that wrote it"
            )
        return {**stored, "folder": str(self.folder)}

    def command(self) -> Sequence[str]:
        """The words that made it; without a record of them, those of the default."""
        return (self.result() or {}).get("command") or ("leyden", "train")

    def state(self) -> State:
        """What is known of the run without changing anything."""
        return "running" if self.locked() else self.state_file()

    def state_file(self) -> State:
        """What the run's files say, whether or not somebody is at work on it now."""
        result = self.result()
        if result is None:
            return "interrupted" if self.resume_point() else "new"
        return "interrupted" if result["status"] == "running" else result["status"]

    def stamp(self) -> int:
        """Changes whenever result.json is written: nanoseconds, 0 where there is none."""
        path = self.folder / "result.json"
        return path.stat().st_mtime_ns if path.exists() else 0

    def settled(self, known: int, force: bool) -> bool:
        """Whether nothing is left to do for a command that found the stamp `known` when it began.

        A complete run is done, unless forced; and so is any that another process has brought to its end since.
        """
        result = self.result()
        if result is None or result["status"] in ("running", "interrupted"):
            return False
        return self.stamp() != known or (result["status"] == "complete" and not force)

    def verify_version(self) -> None:
        """Refuse a run whose files an earlier version wrote, which this one only lists and compares.

        Raises:
            UserError: with the version that made it, and how to use it.
        """
        schema = self.manifest().get("schema", SCHEMA)
        if schema == SCHEMA:
            return
        git = self.manifest().get("git", {}).get("commit")
        made = (
            f"leyden {self.manifest().get('packages', {}).get('leyden', '?')} with files of schema {schema}"
        )
        raise UserError(
            f"{self.folder} was made by {made}; this leyden reads schema {SCHEMA}: use the leyden of then"
            + (f" (the checkout it was started in was at {git[:12]})" if git else "")
            + ", or train it again: the groups objective, operating and schedule are now loss, decision and scheduler"
        )

    def manifest(self) -> dict[str, Any]:
        """manifest.json; empty if there is none."""
        path = self.folder / "manifest.json"
        return read_object(path, json.loads) if path.exists() else {}

    def stale(self) -> list[str]:
        """What of a finished run's software has changed since: ["torch 2.14.1 -> 2.15.0"]."""
        then = self.manifest().get("packages", {})
        now = packages()
        return [f"{p} {then[p]} -> {now[p]}" for p in _DECIDING if p in then and then[p] != now[p]]

    def resume_point(self) -> Path | None:
        """The checkpoint to go on from, if there is one."""
        candidates = (self.checkpoints / "last.ckpt", self.checkpoints / "previous.ckpt")
        return next((path for path in candidates if path.exists()), None)

    @contextmanager
    def lock(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the run: one process at a time. `waiting` is called once if another holds it.

        POSIX record locks (lockf) go with the process that took them, so a dead owner holds nothing and a forked
        orphan inherits nothing.
        """
        made = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        with self._open_lock() as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.lockf(file, fcntl.LOCK_EX)
            try:
                yield
            except UserError:
                if made and self.resume_point() is None:
                    self._leave_nothing(made[1:])
                raise

    def _leave_nothing(self, parents: Sequence[Path]) -> None:
        """Nothing came of the run: remove its folder, and those of the folders above that were made for it alone."""
        shutil.rmtree(self.folder)
        for folder in parents:
            if any(folder.iterdir()):
                break
            folder.rmdir()

    def _open_lock(self) -> IO[str]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return (self.folder / ".lock").open("w")
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def locked(self) -> bool:
        """Whether another process is at work on the run."""
        return is_locked(self.folder / ".lock")

    def begin(self, plain: Mapping[str, Any], manifest: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        """Write what is known before training; drop the result of an earlier try."""
        for name in ("checkpoints", "predictions"):
            (self.folder / name).mkdir(exist_ok=True)
        write_text(
            self.folder / "config.yaml", yaml.safe_dump(dict(plain), sort_keys=False, allow_unicode=True)
        )
        write_json(self.folder / "manifest.json", manifest)
        write_json(self.folder / "spec.json", spec)
        software = {name: manifest.get("packages", {}).get(name) for name in _DECIDING}
        known = {name: manifest.get(name) for name in ("command", "started", "data")}
        self._write_result({"status": "running", **known, "made_with": software, "config": _finite(plain)})

    def clear(self) -> None:
        """Forget an earlier try wholly: force=true, or a failed run that starts again.

        The result goes first: killed half-way, the run must not look complete.
        """
        for name in ("result.json", "metrics.csv", "error.txt", "changes.diff"):
            (self.folder / name).unlink(missing_ok=True)
        for name in ("checkpoints", "predictions", "tensorboard", "blackbox"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def finish(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Complete result.json by what came of the run."""
        stored = self.result() or {}
        header = {name: stored[name] for name in _HEADER if name in stored}
        return self._write_result({**header, **result})

    def _write_result(self, result: Mapping[str, Any]) -> dict[str, Any]:
        complete = Result.of(result).to_dict()
        write_json(self.folder / "result.json", complete)
        return {**complete, "folder": str(self.folder)}


def _finite(value: Any) -> Any:
    """A configuration as JSON can hold it: infinities and NaN as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list) else value


def load_config(folder: Path) -> dict[str, Any]:
    """The plain configuration of a run's folder.

    Raises:
        UserError: there is no such folder, or it is not a run's.
    """
    path = folder / "config.yaml"
    if not path.exists():
        near = (
            [str(p.parent) for p in sorted(folder.parent.glob("*/config.yaml"))]
            if folder.parent.exists()
            else []
        )
        raise UserError(
            f"{folder} is not the folder of a run (no config.yaml in it); {nearest(str(folder), near)}"
        )
    return read_object(path, yaml.safe_load)
