"""Tab completion: Hydra's bash script asks `leyden -sc query=bash` with the verb inside COMP_LINE.

Hydra knows no verbs, so the verb is completed here, and cut out of the line before Hydra sees it.
"""

import os
import sys
from collections.abc import Iterable

COMPOSING = ("train", "data")  # verbs whose arguments are Hydra overrides


def asked() -> bool:
    """Whether this call is the shell's question for completions."""
    return sys.argv[1:3] == ["-sc", "query=bash"] and "COMP_LINE" in os.environ


def answer(verbs: Iterable[str]) -> int:
    """Print the completions of COMP_LINE; files are left to the shell."""
    program, *words = os.environ["COMP_LINE"].split(" ")
    if len(words) < 2:
        print(" ".join(verb for verb in verbs if verb.startswith(words[0] if words else "")))
    elif words[0] in COMPOSING:
        from leyden.compose import run_hydra

        os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
        run_hydra(lambda cfg: None, sys.argv[1:])
    return 0
