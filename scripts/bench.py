"""How fast Leyden is, beside what one would use otherwise; from `scripts/bench`.

scripts/bench fit data_root=data                     # training steps, beside bare loops with each number of threads
scripts/bench keras data_root=data                   # the first Keras lesson as a whole command, beside Keras
scripts/bench start sweep --against HEAD~1           # start-up and overhead of a sweep, beside an earlier commit
scripts/bench loader augmentation preprocessing      # batches, beside torchvision and Pillow
scripts/bench scaling --picture docs/pictures/scaling.png    # with the number of samples, classes, tokens, runs
scripts/bench report tensorboard doctor              # what these take

The ways of a case take turns, in changing order, and each round's ratios are formed within it. A round is quiet if all
other processes together use less than half a core. Words with = are overrides of every training.
"""

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

from benches import measure

PARTS = ("fit", "keras", "start", "sweep", "loader", "augmentation", "preprocessing", "scaling")
COSTS = ("report", "tensorboard", "doctor")


def main() -> None:
    """Measure the parts and print one table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="PART|KEY=VALUE", help=", ".join((*PARTS, *COSTS)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", action="store_true", help="beside a process that keeps a core busy")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument(
        "--against", default="", help="a commit: start and sweep are measured with its code as well"
    )
    parser.add_argument("--picture", type=Path, help="a file for the picture of scaling")
    given = parser.parse_intermixed_args()
    parts = [word for word in given.words if "=" not in word]
    if wrong := sorted(set(parts) - {*PARTS, *COSTS}):
        parser.error(f"no part {', '.join(wrong)}: {', '.join((*PARTS, *COSTS))}")
    picture = given.picture and given.picture.resolve()
    overrides = [_absolute(word) for word in given.words if "=" in word]
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}; {given.rounds} rounds: {' '.join(sys.argv[1:])}"
    )
    print(measure.header(), flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for part in parts or PARTS:
            chosen = (given.rounds, given.only, given.against, picture, overrides, Path(folder))
            cases = importlib.import_module(f"benches.{part}").cases(measure.Given(*chosen))
            measure.report(part, cases, measure.Given(*chosen), given.busy)


def _absolute(word: str) -> str:
    """The folder of data_root, cache or runs from anywhere: trainings run in folders of their own."""
    key, _, value = word.partition("=")
    return f"{key}={Path(value).resolve()}" if key in ("data_root", "cache", "runs") else word


if __name__ == "__main__":
    main()
