"""The manifest of a run: its environment, that is everything that is not its configuration."""

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
from leyden.utils import own_code
from leyden.utils.code_digest import digest_in, files_of
from leyden.utils.version import __version__

if TYPE_CHECKING:
    from leyden.config.schema import Config

_MAX_DIFF = 1_000_000  # characters of changes.diff
_PACKAGES = (
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
    """Return the installed versions of the packages that a result may depend on."""
    return {"leyden": __version__, **{name: version(name) for name in _PACKAGES}}


def manifest(config: "Config", data_fingerprint: str, threads: int, command: Sequence[str]) -> dict[str, Any]:
    """Return the content of manifest.json: versions, git state, hardware, threads, command, working folder.

    Args:
        config: of the run.
        data_fingerprint: of the content of the data.
        threads: the most of torch that the run may have.
        command: the command that trains the run.
    """
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
        "code": code_of(config),
    }


def code_of(config: "Config") -> list[dict[str, Any]]:
    """Return the modules of the user's own folders that a configuration names: their folders, and a digest of all
    files of these that they import."""
    from leyden.config.validate import every_target

    names = {str(node.get("_target_")).rpartition(".")[0] for _, _, node in every_target(config)}
    found = []
    for module in sorted(names):
        if files := files_of(module, own_code.folders()):
            folders = [folder for folder in own_code.folders() if folder in files.values()]
            digest = digest_in(module, folders)
            found.append({"module": module, "folders": list(map(str, folders)), "digest": digest})
    return found


def has_same_code(manifest: Mapping[str, Any]) -> bool:
    """Whether the files of the user's own modules are as they were when the run was made; none is imported."""
    return all(
        digest_in(code["module"], list(map(Path, code["folders"]))) == code["digest"]
        for code in manifest.get("code", ())
    )


def git_state(folder: Path) -> dict[str, Any]:
    """Return the commit of the user's checkout, and whether it has uncommitted changes; empty outside git."""
    words = ("status", "--porcelain=v2", "--branch", "--ignore-submodules=all")
    head, *changed = _git(folder, *words).splitlines() or [""]
    commit = head.removeprefix("# branch.oid ")
    changes = [line for line in changed if not line.startswith("#")]
    return {"commit": commit, "changed": bool(changes)} if commit and commit != "(initial)" else {}


def git_diff(folder: Path) -> str:
    """Return the uncommitted changes of tracked files as a patch, truncated if very long; empty outside git."""
    return _git(folder, "diff", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all", "HEAD")[
        :_MAX_DIFF
    ]


# A checkout's own .git/config may name programs, which git starts: it may be a stranger's. No transport, either: a
# "partial clone" fetches what is missing by a command of its own choosing.
_SAFE = ("core.fsmonitor=false", "core.hooksPath=/dev/null")
_SAFE_ENVIRONMENT = {
    **{"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"},
    **{"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"},
}
_FILTERS = r"^filter\..*\.(clean|smudge|process)$"


def _git(folder: Path, *arguments: str) -> str:
    """Return git's output, with every program that a checkout can name switched off; "" as `_output` does."""
    named = _output(folder, _SAFE, "config", "--null", "--name-only", "--get-regexp", _FILTERS).split("\0")
    drivers = {name.rpartition(".")[0] for name in named if name}
    filters = [f"{d}.{key}=" for d in drivers for key in ("clean", "smudge", "process")]
    required = [f"{driver}.required=false" for driver in drivers]
    if any("=" in driver for driver in drivers):  # git would take it for the end of the key
        return ""
    return _output(folder, (*_SAFE, *filters, *required), *arguments)


def _output(folder: Path, settings: Sequence[str], *arguments: str) -> str:
    """Return git's output; "" without git, outside a checkout, or after a timeout."""
    command = ["git", *(word for setting in settings for word in ("-c", setting)), *arguments]
    environment = {**os.environ, **_SAFE_ENVIRONMENT}
    try:
        process = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.decode(errors="replace") if process.returncode == 0 else ""
