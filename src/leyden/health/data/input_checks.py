"""Checks of the inputs: what applies to any of them, and the base of what a modality adds.

`modality_checks.checks_of(data)` gives the object for a data set.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.health.data.common import MAX_EVIDENCE, SPLITS, examples, names_of, split_codes
from leyden.health.data.input_stats import InputStats
from leyden.health.data.nearest_neighbors import Pairs
from leyden.health.findings import CheckResult, Finding, Level
from leyden.utils.parallel import parallel_map
from leyden.utils.text import percent, plural

BAD_WARNING = 0.01  # of all inputs, if data.on_bad=skip removes them
CONSTANT_WARNING, CONSTANT_ERROR = 0.001, 0.1  # of the inputs of train, val and test
TRUNCATED_WARNING = 0.1  # of the inputs
_CHUNK = 512  # rows

T = TypeVar("T")


@dataclass(frozen=True)
class ConstantWords:
    """What inputs without information are called: the id of the finding, the inputs that are not so, what they are."""

    id: str
    others: str
    what: str


class InputChecks:
    """Checks of the inputs of a data set; the defaults are those of a modality of the user's own.

    Args:
        data: the data.
    """

    constant_words: ClassVar[ConstantWords] = ConstantWords(
        "constant_input", "inputs of more than one value", "have only one value"
    )
    feature_words: ClassVar[str] = ""  # what `InputStats.features` are, in messages
    quick_bytes: ClassVar[float] = 256e6  # of all inputs: the quick checks skip the comparison of larger sets

    def __init__(self, data: DataModule) -> None:
        self.data = data

    @cached_property
    def stats(self) -> InputStats:
        """Statistics of every input of train, val and test."""
        rows = np.concatenate(self.data.splits)
        none = np.zeros((len(rows), 0), np.float32)
        constant = np.concatenate(self._by_chunk(self._are_constant, rows))
        return InputStats(rows, none, none, constant)

    def _by_chunk(self, function: Callable[[np.ndarray], T], rows: np.ndarray) -> list[T]:
        """What the function gives for each chunk of rows (n,), in order: computed in threads, with a progress bar."""
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        return list(parallel_map(function, chunks, f"checking {self.data.modality.name}", 1))

    def _are_constant(self, rows: np.ndarray) -> np.ndarray:
        """bool (n,): whether all values of a row's input are the same."""
        found = (self.data.table.inputs.row(row) for row in rows.tolist())
        return np.array([values.size == 0 or np.ptp(values) == 0 for values in found], dtype=bool)

    def constant_rows(self, rows: np.ndarray) -> np.ndarray:
        """The rows (m,) of rows (n,) that `InputStats.constant` holds for, without statistics of all inputs."""
        return rows[self._are_constant(rows)]

    def own_checks(self) -> Iterator[CheckResult]:
        """The checks that only this modality has."""
        yield from ()

    def near_duplicates(self, evaluated: np.ndarray) -> Pairs | None:
        """The near duplicates of some rows in train; None: there is no way to find them.

        Args:
            evaluated: int64 (n,), rows of the table.

        Returns:
            Pairs of indices in `evaluated` (query) and in data.splits.train (key).
        """
        return None

    def inspection(self, pair: np.ndarray) -> str:
        """How to inspect near duplicates; pair (2,): the rows of the nearest."""
        return "Inspect the pairs with --picture FILE."

    def level_name(self, dimension: int) -> str:
        """What a dimension of `InputStats.levels` is."""
        return f"level {dimension}"


def check_inputs(checks: InputChecks, stops: bool) -> Iterator[CheckResult]:
    """The checks of the inputs that apply to their modality.

    Args:
        checks: of the data, already loaded.
        stops: training would stop at inputs that cannot be decoded.
    """
    yield reading(checks.data)
    yield bad_files(checks.data, stops)
    yield constant(checks, checks.stats.rows[checks.stats.constant])
    yield from checks.own_checks()


def reading(data: DataModule) -> CheckResult:
    """What was found or passed over as files and tables were read."""
    notes = list(data.reading_notes())
    found = tuple(Finding("reading", "info", f"{note}.") for note in notes)
    return CheckResult("reading", plural(len(notes), "remark"), found)


def bad_files(data: DataModule, stops: bool) -> CheckResult:
    """Inputs that cannot be decoded or have no target; `stops`: training would stop at them."""
    name, skipped = "readable inputs", data.table.skipped
    total = len(skipped) + len(data.table)
    summary = f"{len(data.table):,} of {total:,}"
    if not len(skipped):
        return CheckResult(name, summary)
    share = len(skipped) / total
    level: Level = "error" if stops else "warning" if share > BAD_WARNING else "info"
    what = "and would stop training" if stops else "and are removed"
    listed = examples(skipped.lines(), len(skipped))
    message = f"{len(skipped):,} of {total:,} inputs cannot be used {what}: {listed}."
    evidence = {"share": share, "count": len(skipped), "names": skipped.lines()[:MAX_EVIDENCE]}
    advice = ("data.on_bad=skip",) if stops else ()
    return CheckResult(name, summary, (Finding("bad_files", level, message, "", advice, evidence),))


def constant(checks: InputChecks, empty: np.ndarray) -> CheckResult:
    """Inputs without information, such as images of one colour: the rows `empty` (m,)."""
    data, words = checks.data, checks.constant_words
    total = sum(map(len, data.splits))
    summary = f"{total - len(empty):,} of {total:,}"
    if not len(empty):
        return CheckResult(words.others, summary)
    share = len(empty) / total
    level: Level = "error" if share > CONSTANT_ERROR else "warning" if share > CONSTANT_WARNING else "info"
    names = names_of(data, empty)
    message = (
        f"{len(empty):,} of {total:,} inputs ({percent(share)}) {words.what}: {examples(names, len(empty))}."
    )
    where = ", ".join(SPLITS[p] for p in np.unique(split_codes(data)[empty]))
    evidence = {"share": share, "count": len(empty), "names": names}
    return CheckResult(words.others, summary, (Finding(words.id, level, message, where, (), evidence),))


def truncated(data: DataModule, limit: int, unit: str, key: str) -> Iterator[CheckResult]:
    """Inputs that reach the limit on their length, in `unit`: probably truncated. key: the one that sets it."""
    if not limit or data.lengths is None:
        return
    used = data.lengths[np.concatenate(data.splits)]
    share = float(np.mean(used >= limit))
    summary = f"{percent(share)} reach the limit of {limit:,} {unit}"
    found = []
    if share > TRUNCATED_WARNING:
        message = f"{summary}: they are truncated."
        found.append(
            Finding(
                "truncated_inputs", "warning", message, "", (f"{key}=null",), {"share": share, "limit": limit}
            )
        )
    yield CheckResult("lengths", summary, tuple(found))
