"""`leyden find lr|batch_size [key=value ...]`: a good value of a knob, from a few hundred steps, with a picture.

leyden find lr experiment=mnist_cnn --picture lr.png
leyden find batch_size model=resnet32 data=cifar10
"""

from collections.abc import Sequence
from pathlib import Path

from leyden.arguments import Arguments, drawn
from leyden.console import console
from leyden.errors import UserError, nearest
from leyden.runtime import tune_process

FINDERS = {"lr": "leyden.finders.lr", "batch_size": "leyden.finders.batch_size"}


def main(arguments: Sequence[str]) -> int:
    """Print what was tried and the value to take, as a command line; draw the curve."""
    what = next((word for word in arguments if not word.startswith("-")), "")
    if what not in FINDERS and not {"-h", "--help"} & set(arguments):
        raise UserError(
            f"leyden find {what}: expected `leyden find lr` or `leyden find batch_size`; {nearest(what, FINDERS)}"
        )
    given = _parser().parse_intermixed_args(arguments)
    save = drawn(given.picture)
    tune_process()
    import importlib

    from leyden.ready import ready

    finder = importlib.import_module(FINDERS[given.what])
    made = ready(given.overrides, given.config_dir)
    command = [
        "leyden",
        "train",
        *(f"--config-dir={folder}" for folder in given.config_dir),
        *given.overrides,
    ]
    found = finder.find(made)
    for part in finder.told(found, command):
        console.print(part, soft_wrap=isinstance(part, str))
    if save is not None:
        save(finder.figure(found))
        console.print(f"drawn in {given.picture}")
    return 0


def _parser() -> Arguments:
    parser = Arguments(prog="leyden find", description="A good value of a knob, from a few hundred steps.")
    parser.add_argument("what", choices=list(FINDERS), help="what to look for")
    parser.add_argument("overrides", nargs="*", default=[], help="key=value, as for leyden train")
    parser.add_argument(
        "--config-dir", "-cd", action="append", default=[], help="a folder with your own options"
    )
    parser.add_argument("--picture", help="draw the curve to this file (.png, .svg or .pdf)", type=Path)
    return parser
