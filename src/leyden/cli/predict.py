"""`leyden predict RUN FILE...`: predict images, lines of text files, audio files, or the rows of tables.

leyden predict RUN a.png b.png
leyden predict RUN messages.txt --format csv     # each line is a text; - reads standard input
leyden predict RUN messages.csv                  # the column that the run has read; its rows are file:line
leyden predict RUN *.wav --top 3 --format json
leyden predict RUN image=a.png text="..."        # of a run with several inputs, those that there are
leyden predict RUN image=a.png --gallery captions.csv --top 5      # task=contrastive: the nearest rows of a table
"""

import json
from collections.abc import Sequence
from typing import Any

from leyden.cli.arguments import Arguments, add_run, add_trust
from leyden.inference.predictor import Prediction, predict
from leyden.reporting.csv_text import csv_text
from leyden.runs.lookup import find_run
from leyden.tasks.base import Task
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.text import printable_json


def main(arguments: Sequence[str]) -> int:
    """Print predictions as a table, CSV or JSON."""
    parser = Arguments(prog="leyden predict", description="Predict files with a finished run.")
    add_run(parser)
    add_trust(parser)
    parser.add_argument(
        "files",
        nargs="+",
        help="images, text files (one text per line; - is standard input), audio files, or tables of these "
        "(.csv, .tsv, .jsonl); of a run with several inputs NAME=VALUE for one sample",
    )
    parser.add_argument(
        "--top", type=int, default=1, metavar="K", help="number of classes to print (default: 1)"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--words", action="store_true", help="each word with its onset, centre and confidence (task=ctc)"
    )
    instead.add_argument(
        "--gallery",
        nargs="+",
        default=(),
        metavar="FILE",
        help="tables in whose rows the nearest other input is looked for (task=contrastive); --top says how many",
    )
    parser.add_argument(
        "--format", choices=("table", "csv", "json"), default="table", help="output format (default: table)"
    )
    given = parser.parse_args(arguments)
    if given.top < 1:
        raise UserError(f"--top {given.top}: must be at least 1")
    folder = find_run(given.run, given.runs).folder
    task, predictions = predict(folder, given.files, given.top, given.config_dir, given.words, given.gallery)
    _PRINT[given.format](predictions, task)
    return 0


def _table(predictions: Sequence[Prediction], task: Task) -> None:
    from leyden.reporting.terminal.tables import answers_table

    console.print(answers_table([row for p in predictions for row in _rows(p, task)]))


def _rows(prediction: Prediction, task: Task) -> list[tuple[str, dict[str, str | float]]]:
    """(name, cells) of a prediction: one row, or one of each word or of each find where these were asked for."""
    answer = prediction.answer
    several = answer.get("words", answer.get("nearest"))
    return [(prediction.name, row) for row in ([task.columns(answer)] if several is None else several)]


def _csv(predictions: Sequence[Prediction], task: Task) -> None:
    rows = [row for p in predictions for row in _rows(p, task)]
    table: list[list[Any]] = [["input", *(rows[0][1] if rows else ())]]
    for name, cells in rows:
        values = (f"{cell:.6f}" if isinstance(cell, float) else cell for cell in cells.values())
        table.append([name, *values])
    print(csv_text(table), end="")


def _json(predictions: Sequence[Prediction], task: Task) -> None:
    found = [{"name": p.name, **p.answer} for p in predictions]
    print(printable_json(json.dumps(found, indent=1, ensure_ascii=False)))


_PRINT = {"table": _table, "csv": _csv, "json": _json}
