"""Suspect labels of a finished run, where it is known which labels are wrong."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leyden.interpretation.predicted import predicted
from leyden.interpretation.suspects import Features, suspects
from leyden.training.job import train
from leyden.utils.text import percent

WORDS = ("data=digits", "model=mlp", "trainer=cpu", "threads=1", "logger=none", "data.flipped_labels=0.1")


def given_by(truth: np.ndarray) -> Features:
    """Features of a net that has not memorised: one direction for each right class, and some noise."""
    rng = np.random.default_rng(0)
    return lambda rows: (np.eye(10)[truth[rows]] + 0.1 * rng.standard_normal((len(rows), 10))).astype(
        np.float32
    )


def test_planted_labels_are_found_named_and_counted(tiny: Callable[..., list[str]]) -> None:
    tiny()  # in a folder of its own
    folder = train([*WORDS, "runs=runs"]).folder
    data = predicted(folder).data
    truth = data.source_targets
    found = suspects(folder, data, given_by(truth), everything=True)
    rows = np.array([s.row for s in found.rows])
    wrong = (data.table.index.targets != truth)[rows]
    assert roc_auc_score(wrong, [s.score for s in found.rows]) > 0.99
    flagged = np.array([s.flagged for s in found.rows])
    assert wrong[flagged].mean() > 0.9
    assert flagged.mean() == pytest.approx(0.1, abs=0.02)
    assert f"about {percent(float(flagged.mean()))} of the training labels are wrong" in found.rate
    likely = np.array([int(s.likely) for s in found.rows])
    assert (likely == truth[rows])[wrong].mean() > 0.8
    near = np.array([s.neighbours for s in found.rows])
    assert near[wrong].min() > 0.9  # of these features the neighbours are of the right class, and so labelled
    assert near[~wrong].mean() < 0.05
    assert [s.row for s in suspects(folder, data).rows] == rows[: int(flagged.sum())].tolist()
