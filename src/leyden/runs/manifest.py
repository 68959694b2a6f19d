"""Who, what, where and with what: everything about a run that is not its configuration."""

import functools
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leyden.runs.result import SCHEMA

if TYPE_CHECKING:
    from leyden.config.schema import Config

_LONGEST_DIFF = 1_000_000  # characters of changes.diff
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


@functools.cache
def packages() -> Mapping[str, str]:
    """Installed versions of what a result may depend on."""
    return {name: version(name) for name in _PACKAGES}


def manifest(config: "Config", data_fingerprint: str, threads: int, command: Sequence[str]) -> dict[str, Any]:
    """Who, what, where and with what: everything about a run that is not its configuration."""
    import torch

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "schema": SCHEMA,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": list(command),
        "folder": str(Path.cwd()),
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
    head, *changed = _git(folder, "status", "--porcelain=v2", "--branch").splitlines() or [""]
    commit = head.removeprefix("# branch.oid ")
    changes = [line for line in changed if not line.startswith("#")]
    return {"commit": commit, "changed": bool(changes)} if commit and commit != "(initial)" else {}


def git_diff(folder: Path) -> str:
    """What of the tracked files is not committed, as a patch; empty outside git, cut where it is very long."""
    return _git(folder, "diff", "HEAD")[:_LONGEST_DIFF]


def _git(folder: Path, *words: str) -> str:
    """What git answers; nothing where there is no git, no checkout or no answer in time."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""
