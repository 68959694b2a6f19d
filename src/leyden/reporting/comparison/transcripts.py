"""Word error rates of two groups of runs on the same recordings: a difference paired by speaker, or by recording."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from leyden.decision.unit_models import spell
from leyden.metrics.edit_distance import edit_counts
from leyden.metrics.error_rates import difference_of_rates
from leyden.metrics.results import Estimate
from leyden.reporting.comparison.groups import Group
from leyden.runs.predictions import read_predictions
from leyden.runs.records import Record
from leyden.utils.errors import UserError
from leyden.utils.files import json_object, read_bytes
from leyden.utils.text import plural

Errors = dict[Any, tuple[int, int]]  # speaker or row -> errors, words


def paired_wer(group: Group, baseline: Group) -> Estimate | None:
    """WER of a group less the baseline's, over the replicates that both have; None: not of the same recordings.

    Speakers are independent where the runs tell of two or more, else recordings; the errors of several seeds are
    summed within each.
    """
    common = [replicate for replicate in group.runs if replicate in baseline.runs]
    split = group.split
    speakers = {name for replicate in common for name in _of_speakers(group.runs[replicate], split)}
    errors_of = _of_speakers if len(speakers) > 1 else _of_recordings
    off, words = Counter[Any](), Counter[Any]()
    for replicate in common:
        one, other = (errors_of(of.runs[replicate], split) for of in (group, baseline))
        if not one or {key: n for key, (_, n) in one.items()} != {key: n for key, (_, n) in other.items()}:
            return None
        for key, (errors, n) in one.items():
            off[key] += errors - other[key][0]
            words[key] += n
    if not words:
        return None
    unit = plural(len(words), "speaker" if len(speakers) > 1 else "utterance")
    more, sizes = (np.array([of[key] for key in words], float) for of in (off, words))
    return difference_of_rates(more, sizes, unit)


def _of_speakers(run: Record, split: str) -> Errors:
    """{}: speakers are not known."""
    found = (run.result.get("metrics") or {}).get(split) or {}
    return {g["name"]: (_edits(g["words"]), g["words"]["n"]) for g in found.get("by_speaker") or ()}


def _edits(words: Mapping[str, int]) -> int:
    return words["substitutions"] + words["deletions"] + words["insertions"]


def _of_recordings(run: Record, split: str) -> Errors:
    """{}: the run has no predictions any more."""
    try:
        stored = read_predictions(run.folder, split)
        names = json_object(read_bytes(run.folder / "spec.json"))["target_names"]
        said, heard = ([spell(ids, names).split() for ids in stored[k]] for k in ("targets", "predicted"))
    except (UserError, OSError, LookupError, TypeError):
        return {}
    edits = edit_counts(said, heard).sum(axis=1).tolist()
    counts = zip(edits, map(len, said), strict=True)
    return dict(zip(stored["rows"].tolist(), counts, strict=True))
