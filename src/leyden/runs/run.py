"""A run's folder: lock, state, manifest, result. Plain files, written atomically.

    runs/<experiment>/<name>-<chosen>-<fingerprint>/
      config.yaml     the composed configuration
      manifest.json   versions, git, hardware, threads, command, data;  changes.diff: uncommitted changes
      signature       by which the user who made it is recognised (leyden.runs.signature)
      spec.json       the DataSpec: classes, shapes, sizes
      metrics.csv     one row per epoch
      result.json     from the start: status, command, configuration; at the end also metrics, best, cost
      checkpoints/    last, previous, best
      predictions/    outputs for val and test;  margins.npz: of the training rows over the epochs
      events.out.*    event files of TensorBoard;  loggers/: files of others
      explain_check.json  how far methods of attribution are to be trusted (`leyden check explain`)
      projector/      features of validation samples;  projector_config.pbtxt: by which TensorBoard finds them

States: new, running, interrupted, failed, pruned (by a search), complete. A complete run that was made with another
version of Leyden or torch is also stale: its result is shown, and it is trained again only with force=true. If
result.json says "running" and no process holds the lock, the process has died: the run is interrupted.
"""

import fcntl
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import yaml

from leyden.runs import signature
from leyden.runs.manifest import packages
from leyden.runs.result import LOADABLE, READABLE, SCHEMA, Manifest, Result, with_current_names
from leyden.utils.console import console
from leyden.utils.errors import UserError, first_line, nearest
from leyden.utils.files import (
    cannot_write,
    damaged,
    is_locked,
    json_object,
    open_lock,
    read_bytes,
    read_json,
    read_yaml,
    verify_plain,
    verify_shape,
    write_json,
    write_text,
)

State = Literal["new", "running", "interrupted", "failed", "pruned", "complete"]
STATUSES = ("running", "interrupted", "failed", "pruned", "complete")  # valid values in result.json
EXIT_STATUS = {
    "complete": 0,
    "pruned": 0,
    "failed": 1,
    "refused": 2,
    "interrupted": 130,
}  # of a command, by state

# Keys that change no result: paths, the run's name, when its state is saved, the search that it belongs to; and
# arguments of the Trainer that affect only the display.
COSMETIC = (
    *("name", "runs", "cache", "data_root", "force", "trial"),
    *("checkpoint_minutes", "checkpoint_steps", "checkpoint", "checkpoint.keep"),
)
DISPLAY_ARGUMENTS = ("log_every_n_steps", "profiler", "num_sanity_val_steps", "default_root_dir")

EVENT_FILES = "events.out.tfevents.*"  # TensorBoard's, in the run's folder
PROJECTOR_CONFIG = "projector_config.pbtxt"  # which names the files in PROJECTOR
PROJECTOR = "projector"
MARGINS = "predictions/margins.npz"  # of the training rows over the epochs
EXPLAIN_CHECK = "explain_check.json"  # `leyden.runs.explain_check`: of these weights

_STALE_PACKAGES = ("leyden", "torch")  # a finished run is stale if the version of one of these has changed
_HEADER = (
    "task",
    "command",
    "started",
    "data",
    "made_with",
    "config",
)  # of result.json, known before training


@dataclass(frozen=True)
class Run:
    """A run's folder, which need not exist yet."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / "checkpoints"

    def result(self) -> dict[str, Any] | None:
        """Read result.json and add `folder`; None if there is no file. Earlier schemas get the names of today.

        Raises:
            UserError: it is damaged, or its schema version is not supported.
        """
        path = self.folder / "result.json"
        return parse_result(path, read_bytes(path)) if path.exists() else None

    def command(self) -> Sequence[str]:
        """Return the command that trains the run; `leyden train` if none of Leyden's is recorded."""
        return train_command(self.result() or {})

    def state(self) -> State:
        """Return the run's state; reads only."""
        return "running" if self.is_locked() else self.state_file()

    def state_file(self) -> State:
        """Return the state according to the run's files, ignoring the lock."""
        result = self.result()
        if result is None:
            return "interrupted" if self.resume_point() else "new"
        return "interrupted" if result["status"] == "running" else result["status"]

    def stamp(self) -> int:
        """Return the modification time of result.json in nanoseconds; 0 if there is no file."""
        path = self.folder / "result.json"
        return path.stat().st_mtime_ns if path.exists() else 0

    def is_done(self, known: int, force: bool) -> bool:
        """Whether nothing is left to do for a command at whose start the stamp was `known`.

        True for a complete run, unless forced, and for any run that another process has finished since.
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
        if schema in LOADABLE:
            return
        git = self.manifest().get("git", {}).get("commit")
        made = (
            f"leyden {self.manifest().get('packages', {}).get('leyden', '?')} with files of schema {schema}"
        )
        raise UserError(
            f"{self.folder} was made by {made}; this leyden reads schema {LOADABLE[0]} to {SCHEMA}: use that version"
            + (f" (the checkout it was started in was at {git[:12]})" if git else "")
            + ", or train it again: the groups objective, operating and schedule are now loss, decision and scheduler"
        )

    def manifest(self) -> dict[str, Any]:
        """Read manifest.json; empty if there is none."""
        path = self.folder / "manifest.json"
        return read_json(path, Manifest) if path.exists() else {}

    def version_changes(self) -> list[str]:
        """Return the version changes since the run was made: ["torch 2.14.1 -> 2.15.0"]."""
        then = self.manifest().get("packages", {})
        now = packages()
        return [f"{p} {then[p]} -> {now[p]}" for p in _STALE_PACKAGES if p in then and then[p] != now[p]]

    def resume_point(self) -> Path | None:
        """Return the newest checkpoint to resume from, or None."""
        candidates = (self.checkpoints / "last.ckpt", self.checkpoints / "previous.ckpt")
        return next((path for path in candidates if path.exists()), None)

    @contextmanager
    def lock(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the run's exclusive lock within the block; `waiting` is called once if another process holds it.

        POSIX record locks (lockf) belong to the process that took them: a dead owner holds none, and a forked child
        inherits none. After a UserError a folder that was created here is removed, unless it has a checkpoint.
        """
        created = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        with self._open_lock() as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.lockf(file, fcntl.LOCK_EX)
            try:
                yield
            except UserError:
                if created and self.resume_point() is None:
                    self._remove(created[1:])
                raise

    def _remove(self, parents: Sequence[Path]) -> None:
        """Remove the run's folder, and those of the parent folders that were created for it and are empty."""
        shutil.rmtree(self.folder)
        for folder in parents:
            if any(folder.iterdir()):
                break
            folder.rmdir()

    def _open_lock(self) -> IO[str]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return open_lock(self.folder / ".lock")
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def is_locked(self) -> bool:
        """Whether another process holds the run's lock."""
        return is_locked(self.folder / ".lock")

    def begin(self, plain: Mapping[str, Any], manifest: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        """Create the folder's content before training: config.yaml, manifest.json, spec.json, and a new result.json."""
        for name in ("checkpoints", "predictions"):
            (self.folder / name).mkdir(exist_ok=True)
        write_text(
            self.folder / "config.yaml", yaml.safe_dump(dict(plain), sort_keys=False, allow_unicode=True)
        )
        write_json(self.folder / "manifest.json", manifest)
        if not signature.sign(self.folder):
            console.print(
                f"{signature.key_path()} cannot be used as your key (a private file of yours): this run will not be "
                "recognised as yours (docs/security.md)",
            )
        write_json(self.folder / "spec.json", spec)
        software = {name: manifest.get("packages", {}).get(name) for name in _STALE_PACKAGES}
        known = {name: manifest.get(name) for name in ("command", "started", "data")}
        if isinstance(plain.get("task"), Mapping):
            known["task"] = plain["task"]["name"]
        self._write_result(
            {"status": "running", **known, "made_with": software, "config": _json_value(plain)}
        )

    def clear(self) -> None:
        """Remove all output of an earlier attempt, for force=true or to restart a failed run.

        result.json is removed first: if this is killed half-way, the run must not appear complete.
        """
        files = ("result.json", "metrics.csv", "error.txt", "changes.diff", PROJECTOR_CONFIG, EXPLAIN_CHECK)
        for name in files:
            (self.folder / name).unlink(missing_ok=True)
        for path in self.folder.glob(EVENT_FILES):
            path.unlink()
        for name in (
            "checkpoints",
            "predictions",
            "tensorboard",
            PROJECTOR,
            "loggers",
            "bad_step",
            "blackbox",
        ):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def finish(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Write the final result.json: the fields known from the start, and `result`; returns it with `folder`."""
        stored = self.result() or {}
        header = {name: stored[name] for name in _HEADER if name in stored}
        return self._write_result({**header, **result})

    def drop_checkpoints(self, keep: Literal["last", "best"]) -> None:
        """Remove the checkpoints that a finished run does not need: the previous one, and the last unless kept."""
        for name in ("previous.ckpt", *(("last.ckpt",) if keep == "best" else ())):
            (self.checkpoints / name).unlink(missing_ok=True)

    def _write_result(self, result: Mapping[str, Any]) -> dict[str, Any]:
        text = json.dumps({"schema": SCHEMA, **result}, allow_nan=False, default=str)
        complete = json_object(text.encode())
        verify_shape(complete, Result, extra=None)  # what is written can be read
        write_json(self.folder / "result.json", complete)
        return {**complete, "folder": str(self.folder)}


def parse_result(path: Path, content: bytes) -> dict[str, Any]:
    """The content of result.json, checked by the schema, with `folder`.

    Raises:
        UserError: it is damaged, or its schema version is not supported.
    """
    try:
        stored = json_object(content)
        schema = stored.get("schema")
        if schema is None:
            raise ValueError("no schema")
        if schema in READABLE:
            stored = with_current_names(stored)
            verify_shape(stored, Result)
    except (ValueError, AttributeError, TypeError) as error:
        raise damaged(path, first_line(error)) from error
    if schema not in READABLE:
        raise UserError(
            f"{path} has schema version {schema}, this leyden supports {SCHEMA}: use the leyden that wrote it"
        )
    return {**stored, "folder": str(path.parent)}


def train_command(result: Mapping[str, Any]) -> Sequence[str]:
    """The command that trains a run, of its result; `leyden train` where another program is named."""
    command: Sequence[str] = result.get("command") or ()
    return command if command[:1] == ["leyden"] else ("leyden", "train")


def _json_value(value: Any) -> Any:
    """A value of a configuration as JSON has it: text keys; infinities, NaN and what JSON does not know as text."""
    if isinstance(value, Mapping):
        return {str(key): _json_value(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(v) for v in value]
    plain = (
        value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    )
    return value if plain else str(value)


def config_digest(folder: Path) -> str:
    """Return a digest of config.yaml, by which other ranks know that they read what the first one wrote."""
    return hashlib.sha256(read_bytes(folder / "config.yaml")).hexdigest()


def load_config(folder: Path) -> dict[str, Any]:
    """Read config.yaml of a run's folder.

    Raises:
        UserError: the folder does not exist, it is not a run's, or a link or a pipe lies in it.
    """
    verify_plain(folder)
    path = folder / "config.yaml"
    if not path.exists():
        near = (
            [str(p.parent) for p in sorted(folder.parent.glob("*/config.yaml"))]
            if folder.parent.exists()
            else []
        )
        raise UserError(
            f"{folder} is not the folder of a run (it contains no config.yaml); {nearest(str(folder), near)}"
        )
    return read_yaml(path)
