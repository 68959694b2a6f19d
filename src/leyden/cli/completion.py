"""Tab completion: Hydra's bash script calls `leyden -sc query=bash` with the command line in COMP_LINE.

Hydra has no subcommands, so the command is completed here and removed from the line before Hydra parses it.
"""

import io
import os
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout, suppress
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
        _print_listing(words[1:])
    return 0


def _print_listing(words: list[str]) -> None:
    """Print the groups, or after a group its options."""
    from leyden.config.completion import complete_listing

    with suppress(UserError):
        print(" ".join(complete_listing(words)))


def _complete_overrides(program: str, words: list[str]) -> None:
    """Print the completions of the last word: Hydra's groups, options and keys, and the chosen options' arguments.

    Invalid input has no completion, and the prompt is no place for an error message.
    """
    from leyden.config.completion import complete_arguments
    from leyden.config.compose import config_dirs_of, nested_keys_without_plus, run_hydra

    *before, last = words
    os.environ["COMP_LINE"] = " ".join([program, *nested_keys_without_plus(before), last])
    folders = [f"--config-dir={folder}" for folder in config_dirs_of(before) if Path(folder).is_dir()]
    with suppress(UserError), redirect_stdout(io.StringIO()) as keys:
        run_hydra(lambda cfg: None, [*sys.argv[1:], *folders])
        print(" ".join(complete_arguments(words)))
    print(" ".join(dict.fromkeys(keys.getvalue().split())))
