"""The errors of a finished run, collected for `leyden.reporting.atlas` from its stored predictions and its data.

Nothing is trained, and the run's folder is not changed. Names are gathered of all errors, the samples themselves of the
worst of each class: a split may have a million rows and a thousand classes.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leyden.data.targets import HAS_CLASS_PRIOR
from leyden.interpretation.against import compare
from leyden.interpretation.atlas_samples import Samples
from leyden.interpretation.averages import mean_maps, mean_tokens
from leyden.interpretation.facts import facts_of
from leyden.interpretation.predicted import Predicted, predicted
from leyden.interpretation.slices import slices
from leyden.interpretation.suspects import Suspects, features_of_run, suspects
from leyden.reporting.atlas.atlas import Atlas, Average, Comparison, Confusion, Error, Group, Kind, Slice
from leyden.reporting.format import confused_words, estimate
from leyden.runs.lookup import RUNS, find_run
from leyden.tasks.classification import most_confused
from leyden.tasks.errors import ErrorGroup
from leyden.utils.arrays import evenly
from leyden.utils.text import plural
from leyden.utils.trust import trusting

MOST_SHOWN = 600  # errors on a page, with their samples
MOST_GROUPS = 200  # classes that are counted one by one
_PAIRS = 10
_FACTS = 20_000  # rows whose facts are measured, evenly spaced


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    split: val or test; None: val, where the run has predictions of it.
    each: how many errors of each class are gathered with their samples; 0: none.
    heat: of how many of them, the worst first, heat is computed and tested; None: of all.
    suspects: whether training rows whose label is probably wrong are listed.
    every_suspect: whether all training rows are, the most suspect first.
    against: folder of another run, whose errors on the same rows are set beside these.
    overrides: of the stored configuration, of where the data lie.
    config_dirs: folders of options, beside which code lies that the run needs.
    """

    split: str | None = None
    each: int = 0
    heat: int | None = 0
    suspects: bool = False
    every_suspect: bool = False
    against: Path | None = None
    overrides: Sequence[str] = ()
    config_dirs: Sequence[str] = ()


def collect(folder: Path, wanted: Wanted, say: Callable[[str], object] = lambda _: None) -> Atlas:
    """The errors of a run.

    Args:
        folder: of the run.
        wanted: what is asked for.
        say: is told what takes time.

    Raises:
        UserError: as `predicted`, and as `suspects`.
    """
    of_run = predicted(folder, wanted.split, wanted.overrides, wanted.config_dirs)
    task, stored, spec = of_run.task, of_run.stored, of_run.spec
    found = of_run.checked(lambda: task.errors(stored, spec, len(stored["rows"])))
    listed = [error for group in found for error in _errors(of_run, group)]
    against = None if wanted.against is None else _against(of_run, listed, wanted)
    measured = (of_run.result.get("metrics") or {}).get(of_run.split) or {}
    doubtful = _suspects(of_run, wanted) if wanted.suspects else None
    samples = Samples(of_run, wanted.heat, wanted.config_dirs, say)
    groups = list(_groups(of_run, found, listed, wanted.each))
    if wanted.each:
        groups = list(samples.shown(groups))
    return Atlas(
        folder=str(folder),
        split=of_run.split,
        kind=task.kind,
        is_text=of_run.data.modality.is_text,
        command=tuple(of_run.run.command()),
        score=_score(of_run.result, measured),
        rows=len(stored["rows"]),
        wrong=len({error.place for error in listed}),
        groups=tuple(groups),
        more_groups=max(0, len(found) - MOST_GROUPS),
        pairs=_pairs(task.kind, listed, measured),
        listed=listed,
        confusion=_confusion(of_run, listed),
        figures=of_run.checked(lambda: tuple(task.figures(measured, stored, spec, of_run.split))),
        averages=tuple(_averages(of_run, [error for group in groups for error in group.worst])),
        slices=_slices(of_run, listed),
        suspects=None if doubtful is None else doubtful.rows,
        noise_rate="" if doubtful is None else doubtful.rate,
        against=against,
        method=samples.method,
        notes=tuple(samples.notes),
    )


def _pairs(kind: Kind, listed: Sequence[Error], measured: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """What was most often taken for what, and how often; of transcripts the words."""
    if kind == "values":
        return ()
    if kind == "sequences":
        return tuple(
            (confused_words(pair), pair["n"]) for pair in measured.get("confused_words", [])[:_PAIRS]
        )
    return tuple(Counter(error.mistake.kind for error in listed).most_common(_PAIRS))


def _errors(of_run: Predicted, group: ErrorGroup) -> list[Error]:
    rows = of_run.stored["rows"]
    return [
        Error(int(place), int(rows[place]), of_run.name(int(rows[place])), group.name, mistake)
        for place, mistake in zip(group.places, group.mistakes, strict=True)
    ]


def _groups(
    of_run: Predicted, found: Sequence[ErrorGroup], listed: Sequence[Error], each: int
) -> Iterator[Group]:
    """The first groups with the worst errors of each; `listed` are those of all groups, one after the other."""
    sizes, start, left = _sizes(of_run), 0, MOST_SHOWN
    for group in found[:MOST_GROUPS]:
        own = listed[start : start + len(group.places)][: min(each, left)]
        start += len(group.places)
        left -= len(own)
        yield Group(group.name, group.total, sizes.get(group.name, len(of_run.stored["rows"])), tuple(own))


def _sizes(of_run: Predicted) -> dict[str, int]:
    """How many rows each class has, or each length of transcripts; {}: all rows count for each label and number."""
    if of_run.task.kind == "sequences":
        true = of_run.task.sample_columns(of_run.stored, of_run.spec)["true"]
        return Counter(plural(len(text.split()), "word") for text in true)
    labels = of_run.stored.get("labels")
    if of_run.task.kind != "classes" or labels is None:
        return {}
    names = of_run.spec.target_names
    return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))


def _confusion(of_run: Predicted, listed: Sequence[Error]) -> Confusion | None:
    """Of classes, those with the most errors; of labels, how often each was missed and added; of others None."""
    if of_run.task.kind not in HAS_CLASS_PRIOR:
        return None
    if of_run.task.kind == "classes" and {"labels", "predicted"} <= set(of_run.stored):
        names = of_run.spec.target_names
        found = most_confused(of_run.stored["labels"], of_run.stored["predicted"], names, "")
        sizes = _sizes(of_run)
        few = (
            ""
            if len(found.names) == len(names)
            else f" The {len(found.names)} of {len(names):,} with most errors."
        )
        remark = f"Rows are true classes, columns answers; the colour is the share of the row.{few}"
        return Confusion(
            found.names, found.names, found.counts, [sizes[n] for n in found.names], True, remark
        )
    counts = Counter((error.group, error.mistake.answer) for error in listed)
    totals = Counter(error.group for error in listed)
    rows = [name for name, _ in totals.most_common(MOST_GROUPS)]
    columns = sorted({answer for _, answer in counts if answer})
    table = [[counts[name, answer] for answer in columns] for name in rows]
    remark = "How often each label was missed (answered no) and falsely added (answered yes)."
    return Confusion(rows, columns, table, [of_run.size] * len(rows), False, remark) if columns else None


def _averages(of_run: Predicted, errors: Sequence[Error]) -> Iterator[Average]:
    """Heat that passed its tests, averaged over the errors with the same answer: of labels, with the same label."""
    by_class = of_run.task.kind == "classes"
    trusted = [
        (error.mistake.answer if by_class else error.group, error.heat)
        for error in errors
        if error.heat is not None and error.heat.passes
    ]
    if not trusted:
        return
    names, maps = [name for name, _ in trusted], [heat.values for _, heat in trusted]
    counts = Counter(names)
    if of_run.data.modality.is_text:
        tokens = mean_tokens(maps, [heat.tokens for _, heat in trusted], names)
        for name, found in tokens.items():
            if found:
                yield Average(name, counts[name], tokens=found)
        return
    is_sound = of_run.data.modality.is_sound
    for name, values in mean_maps(maps, names, stretches=is_sound).items():
        yield Average(name, counts[name], values, is_flipped=is_sound)


def _against(of_run: Predicted, listed: Sequence[Error], wanted: Wanted) -> Comparison:
    assert wanted.against is not None
    other = predicted(wanted.against, of_run.split, wanted.overrides, wanted.config_dirs)
    groups = other.checked(lambda: other.task.errors(other.stored, other.spec, other.size))
    return compare(of_run, other, listed, [error for group in groups for error in _errors(other, group)])


def _slices(of_run: Predicted, listed: Sequence[Error]) -> tuple[Slice, ...] | None:
    """Groups of rows with more errors; None: of numbers, which are never right or wrong."""
    if of_run.task.kind == "values":
        return None
    chosen = evenly(np.arange(of_run.size), _FACTS)
    wrong = np.zeros(of_run.size, dtype=bool)
    wrong[[error.place for error in listed]] = True
    known = facts_of(of_run.data, of_run.stored["rows"][chosen])
    return tuple(
        Slice(
            " and ".join(s.terms),
            s.n,
            s.errors,
            s.rate,
            s.rest_rate,
            s.p,
            frozenset(chosen[s.places].tolist()),
        )
        for s in slices(known.facts, wrong[chosen], known.strata)
    )


def _suspects(of_run: Predicted, wanted: Wanted) -> Suspects:
    folder, data = of_run.run.folder, of_run.data
    features = features_of_run(folder, data, wanted.config_dirs)
    return suspects(folder, data, features, wanted.every_suspect)


def _score(result: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """The watched metric of the split, in words; "" where it has none."""
    name = str((result.get("best") or {}).get("monitor", "")).partition("/")[2]
    value = (measured.get("values") or {}).get(name)
    return f"{name} {estimate(value)}" if value else ""


def errors_of_run(
    run: str | Path,
    split: str | None = None,
    suspects: bool = False,
    against: str | Path | None = None,
    overrides: Sequence[str] = (),
    runs: str | Path = RUNS,
    config_dirs: Sequence[str] = (),
    trust: bool = False,
) -> Atlas:
    """What `leyden errors` prints of a finished run, as plain data.

    Args:
        run: its folder, or a word that means it, looked up in `runs`.
        split: val or test; None: val, where the run has predictions of it.
        suspects: whether rows whose label is probably wrong are listed.
        against: another run, in the same words, whose errors on the same rows are set beside these.
        overrides: of the stored configuration, of where the data lie.
        runs: where a word for a run is looked up.
        config_dirs: folders of options, beside which code lies that a run made by somebody else needs.
        trust: use whatever code, paths and pickled objects the folder names, whoever made it.

    Raises:
        UserError: as the command.
    """
    folder, other = (
        None if word is None else find_run(str(word), Path(runs)).folder for word in (run, against)
    )
    assert folder is not None
    wanted = Wanted(split, suspects=suspects, against=other, overrides=overrides, config_dirs=config_dirs)
    with trusting(trust):
        return collect(folder, wanted)
