"""A run's folder: identity, lock, state, manifest, result. All plain files, all written atomically.

    runs/<experiment>/<name>-<fingerprint>/
      config.yaml     the composed configuration
      manifest.json   versions, git, hardware, threads, command, data
      spec.json       facts about the data (DataSpec)
      metrics.csv     a row an epoch
      result.json     status, metrics, best, cost (schema below)
      checkpoints/    last, previous, best
      predictions/    outputs for val and test
      tensorboard/    event files

States: new, running, interrupted, failed, complete; a complete run recorded with another Leyden or torch is
also stale: it is shown, and done again only with force=true.
"""

import fcntl
import hashlib
import importlib
import inspect
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Literal

import yaml

from leyden.check import locate, targets
from leyden.config import Config
from leyden.errors import UserError
from leyden.files import cannot_write, write_json, write_text

SCHEMA = 1  # of result.json; docs/result.md tells what each field means
State = Literal["new", "running", "interrupted", "failed", "complete"]

# Root keys and keys of `data` that can change a result; targets are taken whole. Not here: where things lie,
# what is shown, and how the data are read where that changes no batch (workers, limit_gb, eval_batch_size).
_SCALARS = ("seed", "batch_size", "monitor", "threads")
_READING = ("deduplicate", "on_bad", "bucket")
# Arguments of the Trainer that say what is shown, not what is computed.
_SHOWN = ("log_every_n_steps", "profiler", "num_sanity_val_steps", "default_root_dir")
_PACKAGES = (
    "leyden",
    "torch",
    "torchvision",
    "lightning",
    "hydra-core",
    "numpy",
    "torchmetrics",
    "tokenizers",
)
_OURS = ("leyden", "torch", "torchvision", "lightning")


@dataclass(frozen=True)
class Run:
    """A run's folder, existing or not yet."""

    folder: Path

    @classmethod
    def of(cls, config: Config, data_fingerprint: str) -> "Run":
        """The one folder that belongs to this configuration and these data."""
        return cls(
            Path(config.runs) / config.experiment / f"{config.name}-{identity(config, data_fingerprint)}"
        )

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
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            schema = stored["schema"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}); move the folder away to train again") from error
        if schema != SCHEMA:
            raise UserError(
                f"{path} is of schema {schema}, this leyden knows {SCHEMA}: use the leyden that wrote it"
            )
        return {**stored, "folder": str(self.folder)}

    def state(self) -> State:
        """What is known of the run without changing anything."""
        return "running" if self._locked() else self.state_file()

    def state_file(self) -> State:
        """What the run's files say, whether or not somebody is at work on it now."""
        result = self.result()
        if result is None:
            return "interrupted" if self.resume_point() else "new"
        return result["status"]  # type: ignore[no-any-return]

    def manifest(self) -> dict[str, Any]:
        """manifest.json; empty if there is none."""
        path = self.folder / "manifest.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def stale(self) -> list[str]:
        """What of a finished run's software has changed since: ["torch 2.14.1 -> 2.15.0"]."""
        then = self.manifest().get("packages", {})
        now = packages()
        return [f"{p} {then[p]} -> {now[p]}" for p in ("leyden", "torch") if p in then and then[p] != now[p]]

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
        made = not self.folder.exists()
        with self._open_lock() as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.lockf(file, fcntl.LOCK_EX)
            try:
                yield
            except UserError:
                if made and not (self.folder / "config.yaml").exists():
                    shutil.rmtree(self.folder)  # nothing came of it: leave nothing behind
                raise

    def _open_lock(self) -> IO[str]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return (self.folder / ".lock").open("w")
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def _locked(self) -> bool:
        path = self.folder / ".lock"
        if not path.exists():
            return False
        with path.open("r+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def begin(self, plain: Mapping[str, Any], manifest: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        """Write what is known before training; drop the result of an earlier try."""
        for name in ("checkpoints", "predictions"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "result.json").unlink(missing_ok=True)
        write_text(
            self.folder / "config.yaml", yaml.safe_dump(dict(plain), sort_keys=False, allow_unicode=True)
        )
        write_json(self.folder / "manifest.json", manifest)
        write_json(self.folder / "spec.json", spec)

    def clear(self) -> None:
        """Forget an earlier try wholly: force=true, or a failed run that starts again."""
        for name in ("checkpoints", "predictions", "tensorboard"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("result.json", "metrics.csv", "error.txt"):
            (self.folder / name).unlink(missing_ok=True)

    def finish(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Write result.json."""
        complete = {"schema": SCHEMA, **result}
        write_json(self.folder / "result.json", complete)
        return {**complete, "folder": str(self.folder)}


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
        from leyden.errors import nearest

        raise UserError(
            f"{folder} is not the folder of a run (no config.yaml in it); {nearest(str(folder), near)}"
        )
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


# --- identity ---


def identity(config: Config, data_fingerprint: str) -> str:
    """Ten hex digits: a hash of everything that can change the result, and of nothing that cannot.

    That is: every target with every argument bound to its signature's default; the few other keys that count;
    the content of the data in place of where they lie; the source of targets outside Leyden.
    """
    content: dict[str, Any] = {key: getattr(config, key) for key in _SCALARS}
    content["data"] = [data_fingerprint, *(getattr(config.data, key) for key in _READING)]
    content["init"] = [_content_of(config.init.source), config.init.freeze]
    content["targets"] = {path: _bound(node, path) for path, node, _ in targets(config) if _matters(path)}
    text = json.dumps(content, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def _matters(path: str) -> bool:
    return not path.startswith(("logger", "data.source"))


def _bound(node: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A target's arguments, defaults included, and its source if it is not Leyden's or a dependency's."""
    target = locate(node["_target_"], path)
    parameters = inspect.signature(target).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    arguments = {**defaults, **node}
    nested = {k: _bound(v, path) if _is_target(v) else _plain(v) for k, v in arguments.items() if _counts(k)}
    return {**nested, "_source_": _source(target)}


def _counts(name: str) -> bool:
    return name not in _SHOWN and not name.startswith("enable_")


def _is_target(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _plain(value: Any) -> Any:
    """A default value in a form whose text is the same in every process."""
    if isinstance(value, float) and value.is_integer():
        return int(value)  # lr=1 is lr=1.0
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return getattr(value, "__qualname__", type(value).__qualname__)


def _source(target: Callable[..., Any]) -> str:
    """A hash of the file of somebody's own target; nothing for Leyden's and torch's: the manifest has versions."""
    module = inspect.getmodule(target)
    if module is None or module.__name__.partition(".")[0] in _OURS:
        return ""
    file = inspect.getsourcefile(importlib.import_module(module.__name__))
    return hashlib.blake2b(Path(file).read_bytes(), digest_size=8).hexdigest() if file else ""


def _content_of(source: str | None) -> str | None:
    """What weights a run starts from: the file's content, or the run's own fingerprint."""
    if source is None or not Path(source).exists():
        return source
    path = Path(source)
    return path.name if path.is_dir() else hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()


# --- manifest ---


def packages() -> dict[str, str]:
    """Installed versions of what a result may depend on."""
    return {name: version(name) for name in _PACKAGES}


def manifest(config: Config, data_fingerprint: str, threads: int, command: list[str]) -> dict[str, Any]:
    """Who, what, where and with what: everything about a run that is not its configuration."""
    import torch

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "schema": SCHEMA,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command,
        "folder": os.getcwd(),
        "packages": packages(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cpu": {"cores": os.cpu_count(), "threads": threads},
        "gpus": cuda,
        "precision": str(config.trainer.get("precision", "32-true")),
        "data": data_fingerprint,
        "git": git_state(Path.cwd()),
    }


def git_state(folder: Path) -> dict[str, Any]:
    """Commit of the user's own checkout and whether anything in it is changed; empty outside git."""

    def ask(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = ask("rev-parse", "HEAD")
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"commit": commit, "changed": bool(ask("status", "--porcelain"))} if commit else {}


def command_line() -> list[str]:
    """The command as it was typed."""
    return ["leyden", *sys.argv[1:]]
