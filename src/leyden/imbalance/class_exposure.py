"""Class exposure: how often the samples of each class were drawn, and whether a class was memorised.

A rare class of 12 samples, drawn as often as the others, is repeated a hundred times as often: the net can memorise
those samples without learning the class. The gap between recall on its unaugmented training samples and recall
on validation shows it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leyden.data.sampler import EpochSampler
from leyden.health.findings import Finding
from leyden.metrics.intervals import wilson
from leyden.utils.arrays import evenly

MOST = 50  # training samples of a class that are evaluated: enough for a recall, and under 1 % of an epoch
_LEAST = 5  # validation samples of a class below which nothing is reported
_ABOVE = 0.1  # over the usual gap
_MOST_NAMED = 5
_GAP = 0.2  # of recall, between training and validation: less is what every net has


def some_of_each(labels: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Sorted places in `labels` (n,) of at most MOST samples of each class, evenly spaced."""
    chosen = [np.zeros(0, np.int64)]
    for c in range(classes):
        chosen.append(evenly(np.flatnonzero(labels == c), MOST))
    return np.sort(np.concatenate(chosen))


def exposure(plan: EpochSampler, epochs: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(draws (C,), different samples (C,)) of `epochs` epochs.

    No pass over the orders: a plan uses every sample of a class once before it uses any again.
    """
    draws = plan.drawn(epochs)
    return draws, np.minimum(draws, plan.counts)


def exposure_table(
    names: Sequence[str],
    plan: EpochSampler,
    epochs: int,
    train: Sequence[Mapping[str, Any]],
    val: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """A row for each class, for result.json.

    Args:
        names: of the C classes.
        plan: of the run.
        epochs: that were trained.
        train: per_class of stored Metrics of the samples that `some_of_each` chose.
        val: per_class of those of the validation split; empty: there is none.
    """
    draws, unique = exposure(plan, epochs)
    first, last = plan.quotas(0), plan.quotas(max(0, epochs - 1))
    rows = []
    for c, name in enumerate(names):
        known, new = (part[c]["recall"]["value"] if part else None for part in (train, val))
        rows.append(
            {
                "name": name,
                "samples": int(plan.counts[c]),
                "draws": int(draws[c]),
                "unique_samples": int(unique[c]),
                "epoch_draws": [int(first[c]), int(last[c])],
                "draws_per_sample": round(float(draws[c] / unique[c]), 3) if unique[c] else None,
                "train_recall": known,
                "recall_gap": None if known is None or new is None else known - new,
            }
        )
    return rows


def exposure_findings(
    rows: Sequence[Mapping[str, Any]],
    train: Sequence[Mapping[str, Any]],
    val: Sequence[Mapping[str, Any]],
) -> Iterator[Finding]:
    """A finding for each class that is being memorised, the worst first, at most five.

    Its recall on training samples is further above that on validation than chance puts it, and further than those of
    the other classes are (where all are, the net overfits, which is no matter of imbalance).
    """
    gaps = [row["recall_gap"] for row in rows if row["recall_gap"] is not None]
    usual = float(np.median(gaps)) if gaps else 0.0
    found = [
        (row, known, new)
        for row, known, new in zip(rows, train, val, strict=False)
        if row["recall_gap"] is not None
        and row["recall_gap"] >= max(_GAP, usual + _ABOVE)
        and (row["draws_per_sample"] or 0) > 1
        and new["n"] >= _LEAST
        and _apart(known, new)
    ]
    repeats = float(np.median([row["draws_per_sample"] for row in rows if row["draws_per_sample"]] or [1]))
    for row, known, new in sorted(found, key=lambda each: -each[0]["recall_gap"])[:_MOST_NAMED]:
        drawn = row["draws_per_sample"] > 1.5 * repeats
        advice = "sampling=square_root in place of a balanced one, or " if drawn else ""
        yield Finding(
            "memorised_class",
            "warning",
            (
                f"{row['name']!r} is memorised: recall {known['recall']['value']:.2f} on its {row['samples']} "
                f"training samples, each drawn {row['draws_per_sample']:.0f} times, {new['recall']['value']:.2f} on "
                f"validation (n = {new['n']}); try {advice}more augmentation"
            ),
            where=str(row["name"]),
            advice=("sampling=square_root",) if drawn else (),
        )


def _apart(known: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the 95 % intervals of two recalls have nothing in common, the first above the second."""
    above, below = (wilson(round(part["recall"]["value"] * part["n"]), part["n"]) for part in (known, new))
    return (above.low or 0.0) > (below.high or 1.0)
