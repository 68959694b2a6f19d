"""`leyden find lr|batch_size [key=value ...]`: a good value of a knob, from a few hundred steps, with a picture.

leyden find lr experiment=mnist_cnn --picture lr.png
leyden find batch_size model=resnet32 data=cifar10
"""

import importlib
from collections.abc import Sequence

from rich.text import Text

from leyden.cli.arguments import drawn, of_a_configuration, training
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
        lines = [f"  {name:<12}{told}" for name, (_, told) in FINDERS.items()]
        print("\n".join(["usage: leyden find <what> [arguments]", "", *lines]))
        return 0
    what, *rest = arguments
    if what not in FINDERS:
        raise UserError(f"leyden find {what}: there is no such finder; {nearest(what, FINDERS)}")
    module, told = FINDERS[what]
    parser = of_a_configuration(f"leyden find {what}", f"Look for {told}.", picture="the curve")
    given = parser.parse_intermixed_args(rest)
    save = drawn(given.picture)
    load_torch()
    from leyden.training.setup import ready

    finder = importlib.import_module(module)
    found = finder.find(ready(given.overrides, given.config_dir))
    for part in finder.told(found, training(given)):
        console.print(part, soft_wrap=isinstance(part, str | Text))
    if save is not None:
        save(finder.figure(found))
        console.print(f"drawn in {given.picture}")
    return 0
