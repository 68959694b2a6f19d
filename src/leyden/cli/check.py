"""`leyden check data|model|explain|resume ...`: check a configuration. Each is a module with `main(arguments)`."""

import importlib
from collections.abc import Sequence
from typing import NamedTuple

from leyden.utils.errors import UserError, nearest


class Check(NamedTuple):
    """A check: the module whose `main(arguments) -> exit status` runs it, and a line for the usage."""

    module: str
    help: str


CHECKS = {
    "data": Check(
        "leyden.cli.check_data",
        "the data before training: duplicates across splits, bad inputs, groups, value ranges",
    ),
    "model": Check(
        "leyden.cli.check_model",
        "the model before training: gradients, leakage, padding, overfitting one batch, export",
    ),
    "explain": Check(
        "leyden.cli.check_explain",
        "which methods of attribution to trust for a net, by a signal whose place is known",
    ),
    "resume": Check(
        "leyden.cli.check_resume",
        "that a killed and resumed run gives the same result as an uninterrupted one",
    ),
}


def main(arguments: Sequence[str]) -> int:
    """Run one check; returns exit status 0 if it passes, 1 if not."""
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, CHECKS))
        lines = [f"  {name:<{width}}  {check.help}" for name, check in CHECKS.items()]
        print("\n".join(["usage: leyden check data|model|explain|resume [arguments]", "", *lines]))
        return 0
    name, *rest = arguments
    if name not in CHECKS:
        raise UserError(f"leyden check {name}: there is no such check; {nearest(name, CHECKS)}")
    return int(importlib.import_module(CHECKS[name].module).main(rest))
