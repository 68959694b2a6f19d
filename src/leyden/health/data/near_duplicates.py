"""Near duplicates across the split: validation and test samples nearly identical to one of train."""

import numpy as np

from leyden.health.data.common import (
    MAX_EVIDENCE,
    SPLITS,
    agreement,
    examples,
    no_check,
    split_codes,
    target_columns,
)
from leyden.health.data.input_checks import InputChecks
from leyden.health.findings import CheckResult, Finding, Level
from leyden.utils.text import percent

WARNING = (
    0.001  # of validation and test rows, as for exact duplicates; never an error: similarity is no proof
)


def near_duplicates(checks: InputChecks, identical: np.ndarray) -> CheckResult:
    """The samples of validation and test that have a near duplicate in train.

    Args:
        checks: of the data, already loaded.
        identical: int64 (m,), rows of validation and test with an exact duplicate in train, which are excluded.
    """
    name, data = "near duplicates across the split", checks.data
    evaluated = np.setdiff1d(np.concatenate([data.splits.val, data.splits.test]), identical)
    pairs = checks.near_duplicates(evaluated)
    if pairs is None:
        return CheckResult(name, no_check(data))
    rows = np.column_stack([evaluated[pairs.query], data.splits.train[pairs.key]])[np.argsort(pairs.distance)]
    total = len(data.splits.val) + len(data.splits.test)
    share = len(rows) / total
    count = f"{len(rows):,} of {total:,}"
    summary = f"{count} validation and test samples ({percent(share)}) have a near duplicate in train"
    if not len(rows):
        return CheckResult(name, summary)
    level: Level = "warning" if share > WARNING else "info"
    return CheckResult(name, summary, (_finding(checks, rows, share, summary, level),))


def _finding(checks: InputChecks, rows: np.ndarray, share: float, summary: str, level: Level) -> Finding:
    data = checks.data
    index, codes = data.table.index, split_codes(data)
    pairs = [
        (f"{index.names[a]} ({SPLITS[codes[a]]})", index.names[b]) for a, b in rows[:MAX_EVIDENCE].tolist()
    ]
    one, other = (target_columns(data, rows[:, side]) for side in (0, 1))
    agree = float(np.mean((np.abs(one - other) <= agreement(data)).all(axis=1)))
    listed = examples((f"{a} and {b} of train" for a, b in pairs), len(rows))
    message = (
        f"{summary}, {percent(agree)} of them with the same target: {listed}. "
        f"{checks.inspection(rows[0])} If they are duplicates, the metrics are too optimistic."
    )
    grouped = index.group is not None and level == "warning"
    evidence = {
        **{"share": share, "count": len(rows), "same_label": agree},
        **{"pairs": [list(pair) for pair in pairs], "rows": rows[:MAX_EVIDENCE].tolist()},
    }
    where = ", ".join(SPLITS[p] for p in np.unique(codes[rows[:, 0]]))
    return Finding("near_duplicates", level, message, where, ("split=grouped",) if grouped else (), evidence)
