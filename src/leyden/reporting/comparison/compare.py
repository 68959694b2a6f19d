"""`leyden report` from Python: which runs are meant, and their comparison."""

from collections.abc import Sequence
from pathlib import Path

from leyden.reporting.comparison.groups import TRIVIAL, Metric
from leyden.reporting.comparison.report import Report, assess
from leyden.runs.lookup import RUNS, find_records
from leyden.runs.query import matching
from leyden.runs.records import Record
from leyden.utils.errors import UserError


def compare(
    folders: str | Path | Sequence[str | Path] = RUNS,
    terms: Sequence[str] = (),
    *,
    runs: str | Path = RUNS,
    metric: str | None = None,
    baseline: Sequence[str] = (),
    by: Sequence[str] = (),
) -> Report:
    """Groups of runs that differ in more than the seed: means, intervals, tests, costs.

    Args:
        folders: where the runs lie, or words that mean runs (fingerprints, globs, "last"); one or several.
        terms: conditions on them, as `leyden runs` takes them: "state=complete", "optimizer.lr<0.1".
        runs: where such words are looked up.
        metric: "macro_f1": its test values are shown, and the groups chosen by its validation values; None: so of
            what the runs monitored, for each part its own. "test/macro_f1" or "val/macro_f1": shown and chosen by.
        baseline: terms that match the runs of one group of each part.
        by: keys to group by; (): those that tell the runs apart.

    Raises:
        UserError: no such folder, run, metric or key.
    """
    several = [folders] if isinstance(folders, str | Path) else folders
    records = select(several, terms, Path(runs))
    return assess(records, _metric(metric), baseline=baseline, by=by)


def _metric(given: str | None) -> Metric | None:
    """A name without a split has the split ""."""
    if given is None:
        return None
    split, slash, name = given.partition("/")
    return Metric(split, name) if slash else Metric("", given)


def select(words: Sequence[str | Path], terms: Sequence[str], root: Path = RUNS) -> list[Record]:
    """The runs that the words mean, and the trivial models of the same experiment and data, which no term leaves out.

    Raises:
        UserError: there is no such folder, no run in it, or none that the terms match.
    """
    records = find_records(words, root)
    if not records:
        raise UserError(
            f"{', '.join(map(str, words or [root]))}: there are no runs in it; `leyden train` makes one"
        )
    if not terms:
        return records
    chosen = matching(records, terms)
    if not chosen:
        raise UserError(f"{' '.join(terms)}: no run matches, of {len(records):,}; `leyden runs` lists them")
    return chosen + _trivial(records, chosen)


def _trivial(records: Sequence[Record], chosen: Sequence[Record]) -> list[Record]:
    places = {(record.experiment, record.result.get("data")) for record in chosen}
    known = {record.folder for record in chosen}
    return [
        record
        for record in records
        if record.folder not in known
        and record.keys.get("model.name") in TRIVIAL
        and (record.experiment, record.result.get("data")) in places
    ]
