"""`leyden find lr|batch_size [key=value ...]`: find a good learning rate or batch size in a few hundred steps.

leyden find lr experiment=mnist_cnn --picture lr.png
leyden find batch_size model=resnet32 data=cifar10
"""

import importlib
from collections.abc import Sequence

from leyden.cli.arguments import config_parser, figure_saver, train_command
from leyden.utils.console import console
from leyden.utils.errors import UserError, nearest
from leyden.utils.runtime import load_torch

FINDERS = {
    "lr": ("leyden.tuning.lr_finder", "a learning rate by a range test"),
    "batch_size": ("leyden.tuning.batch_size_finder", "a batch size by throughput and memory"),
}


def main(arguments: Sequence[str]) -> int:
    """Print the measurements and the suggested value as a command; plot the curve."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = [f"  {name:<12}{summary}" for name, (_, summary) in FINDERS.items()]
        print("\n".join(["usage: leyden find lr|batch_size [arguments]", "", *lines]))
        return 0
    name, *rest = arguments
    if name not in FINDERS:
        raise UserError(f"leyden find {name}: there is no such finder; {nearest(name, FINDERS)}")
    module, summary = FINDERS[name]
    parser = config_parser(f"leyden find {name}", f"Find {summary}.", picture="the curve")
    given = parser.parse_intermixed_args(rest)
    save = figure_saver(given.picture)
    load_torch()
    from leyden.training.setup import open_session

    finder = importlib.import_module(module)
    found = finder.find(open_session(given.overrides, given.config_dir))
    for part in finder.describe(found, train_command(given)):
        console.print(part)
    if save is not None:
        save(finder.figure(found))
        console.print(f"figure written to {given.picture}")
    return 0
