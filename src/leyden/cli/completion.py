"""Tab completion: Hydra's bash script asks `leyden -sc query=bash` with the verb inside COMP_LINE.

Hydra knows no verbs, so the verb is completed here, and cut out of the line before Hydra sees it.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from leyden.utils.errors import UserError

COMPOSING = ("train", "data")  # verbs whose arguments are Hydra overrides


def is_completion_request() -> bool:
    """Whether this call is the shell's question for completions."""
    return sys.argv[1:3] == ["-sc", "query=bash"] and "COMP_LINE" in os.environ


def print_completions(verbs: Iterable[str]) -> int:
    """Print the completions of COMP_LINE; files are left to the shell."""
    program, *words = os.environ["COMP_LINE"].split(" ")
    if len(words) < 2:
        print(" ".join(verb for verb in verbs if verb.startswith(words[0] if words else "")))
    elif words[0] in COMPOSING:
        _ask_hydra(program, words[1:])
    elif words[0] == "list":
        from leyden.config.options import GROUPS

        print(" ".join(group for group in GROUPS if group.startswith(words[-1])))
    return 0


def _ask_hydra(program: str, words: list[str]) -> None:
    """Print what Hydra has for the last word: groups, options and keys, those of a --config-dir, too."""
    from leyden.config.compose import config_dirs_of, run_hydra

    os.environ["COMP_LINE"] = " ".join([program, *words])
    folders = [f"--config-dir={folder}" for folder in config_dirs_of(words[:-1]) if Path(folder).is_dir()]
    try:
        run_hydra(lambda cfg: None, [*sys.argv[1:], *folders])
    except UserError:
        return  # what is typed so far is wrong: nothing completes it, and the prompt is no place to say so
