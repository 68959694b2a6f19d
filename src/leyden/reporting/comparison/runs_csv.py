"""`leyden report --csv-runs`: one row per run, for a spreadsheet or pandas. Full precision; empty if missing."""

from collections.abc import Mapping
from typing import Any

from leyden.reporting.comparison.distinguishing_keys import distinguishing_keys, format_value, heading
from leyden.reporting.comparison.groups import computing
from leyden.reporting.comparison.report import COSTS, Report
from leyden.reporting.csv_text import csv_text
from leyden.runs.records import Record


def runs(report: Report) -> str:
    """Return CSV with experiment, data, every key that distinguishes runs, state, metrics by split, cost, folder."""
    found = [(part, record, computing(record)) for part in report.parts for record in part.cohort.records()]
    keys = distinguishing_keys([own for _, _, own in found])
    values = [_values(record) for _, record, _ in found]
    metrics = list(dict.fromkeys(name for of_run in values for name in of_run))
    rows: list[list[Any]] = [
        ["experiment", "data", *map(heading, keys), "state", *metrics, *COSTS, "started", "folder"]
    ]
    for (part, record, own), of_run in zip(found, values, strict=True):
        cost = record.result.get("cost") or {}
        rows.append(
            [
                *(part.cohort.experiment, part.cohort.data_name, *(_cell(own, key) for key in keys)),
                *(record.state, *(of_run.get(name) for name in metrics)),
                *(*(cost.get(name) for name in COSTS), record.result.get("started"), record.folder),
            ]
        )
    return csv_text(rows)


def _values(record: Record) -> dict[str, float | None]:
    """Return all metrics of a run by name (test/accuracy), scalars of a user's own module included."""
    found: dict[str, float | None] = {}
    for split, of_split in (record.result.get("metrics") or {}).items():
        known = {name: estimate.get("value") for name, estimate in (of_split.get("values") or {}).items()}
        known |= of_split.get("scalars") or {}
        found |= {f"{split}/{name}": value for name, value in known.items()}
    return found


def _cell(keys: Mapping[str, Any], key: str) -> Any:
    """Format a value as in the report, but floats with full precision."""
    value = keys.get(key, "")
    return value if key not in keys or isinstance(value, float) else format_value(keys, key)
