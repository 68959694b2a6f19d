"""Tab completion: Hydra's bash script calls `leyden -sc query=bash` with the command line in COMP_LINE.

Hydra has no subcommands, so the command is completed here and removed from the line before Hydra parses it.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from leyden.utils.errors import UserError

COMPOSING = ("train", "data")  # commands whose arguments are Hydra overrides


def is_completion_request() -> bool:
    """Whether the shell requests completions in this call."""
    return sys.argv[1:3] == ["-sc", "query=bash"] and "COMP_LINE" in os.environ


def print_completions(commands: Iterable[str]) -> int:
    """Print the completions of COMP_LINE; file names are left to the shell."""
    program, *words = os.environ["COMP_LINE"].split(" ")
    if len(words) < 2:
        print(" ".join(name for name in commands if name.startswith(words[0] if words else "")))
    elif words[0] in COMPOSING:
        _complete_overrides(program, words[1:])
    elif words[0] == "list":
        from leyden.config.options import GROUPS

        print(" ".join(group for group in GROUPS if group.startswith(words[-1])))
    return 0


def _complete_overrides(program: str, words: list[str]) -> None:
    """Print Hydra's completions of the last word: groups, options and keys, those of a --config-dir included."""
    from leyden.config.compose import config_dirs_of, run_hydra

    os.environ["COMP_LINE"] = " ".join([program, *words])
    folders = [f"--config-dir={folder}" for folder in config_dirs_of(words[:-1]) if Path(folder).is_dir()]
    try:
        run_hydra(lambda cfg: None, [*sys.argv[1:], *folders])
    except UserError:
        return  # invalid input has no completion, and the prompt is no place for an error message
