"""`leyden predict RUN FILE...`: the class of images, of the lines of text files, or of recordings.

leyden predict RUN a.png b.png
leyden predict RUN messages.txt --format csv     # each line is a text; - reads standard input
leyden predict RUN *.wav --top 3 --format json
"""

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leyden.cli.arguments import Arguments
from leyden.inference.predictor import Prediction, predict
from leyden.utils.console import console
from leyden.utils.errors import UserError

if TYPE_CHECKING:
    pass


def main(arguments: Sequence[str]) -> int:
    """Print predictions as a table, CSV or JSON."""
    parser = Arguments(prog="leyden predict", description="Classes of files, by a finished run.")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument(
        "files", nargs="+", help="images, text files (a text a line; - is standard input) or recordings"
    )
    parser.add_argument(
        "--top", type=int, default=1, metavar="K", help="how many classes to show (default: 1)"
    )
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    given = parser.parse_args(arguments)
    if given.top < 1:
        raise UserError(f"--top {given.top}: must be at least 1")
    predictions = list(predict(given.run, given.files, given.top))
    _PRINT[given.format](predictions)
    return 0


def _table(predictions: Sequence[Prediction]) -> None:
    from leyden.reporting.terminal.tables import predictions_table

    rows = [{"name": p.name, "predicted": _answer(p), "probability": p.probabilities[0]} for p in predictions]
    console.print(predictions_table(rows, shown=len(rows)))


def _answer(prediction: Prediction) -> str:
    """The class, and after it the runners-up that were asked for."""
    pairs = zip(prediction.classes[1:], prediction.probabilities[1:], strict=True)
    return ", ".join([prediction.classes[0], *(f"{name} ({share:.3f})" for name, share in pairs)])


def _csv(predictions: Sequence[Prediction]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    top = len(predictions[0].classes) if predictions else 1
    writer.writerow(["input", *(f"{word}_{k + 1}" for k in range(top) for word in ("class", "probability"))])
    for p in predictions:
        pairs = zip(p.classes, p.probabilities, strict=True)
        writer.writerow([p.name, *(value for name, share in pairs for value in (name, f"{share:.6f}"))])


def _json(predictions: Sequence[Prediction]) -> None:
    print(json.dumps([vars(p) for p in predictions], indent=1, ensure_ascii=False))


_PRINT = {"table": _table, "csv": _csv, "json": _json}
