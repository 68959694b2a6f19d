"""`leyden find lr|batch_size [key=value ...]`: a good value of a knob, from a few hundred steps, with a picture.

leyden find lr experiment=mnist_cnn --picture lr.png
leyden find batch_size model=resnet32 data=cifar10
"""

import importlib
from collections.abc import Sequence

from rich.text import Text

from leyden.cli.arguments import config_parser, figure_saver, train_command
from leyden.utils.console import console
from leyden.utils.errors import UserError, nearest
from leyden.utils.runtime import load_torch

FINDERS = {
    "lr": ("leyden.tuning.lr_finder", "the learning rate, by a range test"),
    "batch_size": ("leyden.tuning.batch_size_finder", "the batch size, by throughput and memory"),
}


def main(arguments: Sequence[str]) -> int:
    """Print what was tried and the value to take, as a command line; draw the curve."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = [f"  {name:<12}{summary}" for name, (_, summary) in FINDERS.items()]
        print("\n".join(["usage: leyden find <what> [arguments]", "", *lines]))
        return 0
    what, *rest = arguments
    if what not in FINDERS:
        raise UserError(f"leyden find {what}: there is no such finder; {nearest(what, FINDERS)}")
    module, summary = FINDERS[what]
    parser = config_parser(f"leyden find {what}", f"Look for {summary}.", picture="the curve")
    given = parser.parse_intermixed_args(rest)
    save = figure_saver(given.picture)
    load_torch()
    from leyden.training.setup import open_session

    finder = importlib.import_module(module)
    found = finder.find(open_session(given.overrides, given.config_dir))
    for part in finder.describe(found, train_command(given)):
        console.print(part, soft_wrap=isinstance(part, str | Text))
    if save is not None:
        save(finder.figure(found))
        console.print(f"drawn in {given.picture}")
    return 0
