"""Label thresholds: the optimum of brute force, and what must not move."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import f1_score

from leyden.decision.label_thresholds import best_label_thresholds, decide


def sample(n: int, labels: int, seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are all too low, as of a net trained on rare labels."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, labels)) < np.linspace(0.1, 0.5, labels)).astype(int)
    logits = targets + rng.normal(size=(n, labels)) - 1.5
    return (logits.round(0) if ties else logits), targets


def thresholds_of(column: np.ndarray) -> list[float]:
    """One for every outcome that there is."""
    values = np.unique(column)
    return [values[0] - 1, *((values[1:] + values[:-1]) / 2), values[-1] + 1]


def f1(answers: np.ndarray, targets: np.ndarray) -> float:
    both = answers.sum() + targets.sum()
    return 2 * (answers & (targets == 1)).sum() / both if both else 0.0


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 30), seed=st.integers(0, 10**6), ties=st.booleans())
def test_macro_is_the_optimum_of_each_label(n: int, seed: int, ties: bool) -> None:
    logits, targets = sample(n, 3, seed, ties)
    answers = decide(logits, best_label_thresholds(logits, targets, "macro_f1"))
    for c in np.flatnonzero(targets.any(0)):
        best = max(f1(logits[:, c] > t, targets[:, c]) for t in thresholds_of(logits[:, c]))
        assert f1(answers[:, c], targets[:, c]) == pytest.approx(best)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 8), seed=st.integers(0, 10**6), ties=st.booleans())
def test_micro_is_the_optimum_over_all_combinations(n: int, seed: int, ties: bool) -> None:
    logits, targets = sample(n, 3, seed, ties)
    targets[0] = 1  # labels without positives keep their 0
    offsets = best_label_thresholds(logits, targets, "micro_f1")
    every = itertools.product(*(thresholds_of(column) for column in logits.T))
    best = max(f1(logits > np.array(t), targets) for t in every)
    assert f1(decide(logits, offsets), targets) == pytest.approx(best)


@pytest.mark.parametrize("criterion", ["macro_f1", "micro_f1"])
def test_better_than_zero_by_scikit_learn_and_on_new_samples(criterion: str) -> None:
    average = criterion.removesuffix("_f1")
    logits, targets = sample(4000, 6, 0)
    offsets = best_label_thresholds(logits[:2000], targets[:2000], criterion)
    for rows in (slice(2000), slice(2000, 4000)):
        before = f1_score(targets[rows], logits[rows] > 0, average=average)
        after = f1_score(targets[rows], decide(logits[rows], offsets), average=average)
        assert after > before + 0.1


def test_the_threshold_of_calibrated_probabilities_is_half_the_best_f1() -> None:
    """Lipton et al. 2014: here found within .03 on 200,000 samples."""
    rng = np.random.default_rng(1)
    logits = rng.normal(-2, 1.5, size=(200_000, 1))
    targets = rng.random(logits.shape) < expit(logits)
    offset = best_label_thresholds(logits, targets, "macro_f1")[0]
    best = f1(decide(logits, [offset])[:, 0], targets[:, 0].astype(int))
    assert expit(-offset) == pytest.approx(best / 2, abs=0.03)


@pytest.mark.parametrize("criterion", ["macro_f1", "micro_f1"])
def test_what_gains_nothing_stays(criterion: str) -> None:
    targets = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]])
    logits = np.where(targets == 1, 2.0, -3.0)
    logits[:, 1] = 5.0  # a label without positives, always predicted
    assert best_label_thresholds(logits, targets, criterion).tolist() == [0, 0, 0]
    assert best_label_thresholds(logits, np.zeros((3, 3)), criterion).tolist() == [0, 0, 0]
    assert best_label_thresholds(np.zeros((2, 0)), np.zeros((2, 0)), criterion).tolist() == []


@pytest.mark.parametrize("criterion", ["macro_f1", "micro_f1"])
def test_a_label_that_all_have_is_always_predicted(criterion: str) -> None:
    logits = np.array([[-4.0], [1.0], [-2.0]])
    offsets = best_label_thresholds(logits, np.ones((3, 1)), criterion)
    assert decide(logits, offsets).all()
    assert best_label_thresholds(logits + 9, np.ones((3, 1)), criterion).tolist() == [0]


def test_one_sample_and_scores_that_are_all_tied() -> None:
    assert decide([[-1.0]], best_label_thresholds([[-1.0]], [[1]], "macro_f1")).all()
    tied = np.full((4, 1), 0.3)
    assert best_label_thresholds(tied, [[1], [0], [0], [0]], "macro_f1").tolist() == [0]
    close = np.array([[1.0], [1.0 - 1e-13]])
    assert best_label_thresholds(close, [[1], [0]], "macro_f1").tolist() == [0]


@pytest.mark.parametrize(
    ("logits", "targets", "criterion", "message"),
    [
        ([[np.nan]], [[1]], "macro_f1", "finite"),
        ([[1.0]], [[2]], "macro_f1", "0 or 1"),
        ([[1.0]], [[1, 0]], "macro_f1", r"\(N, L\)"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "macro_f1", "N > 0"),
        ([[1.0]], [[1]], "f1", "macro_f1 or micro_f1"),
    ],
)
def test_what_is_refused(logits: object, targets: object, criterion: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        best_label_thresholds(logits, targets, criterion)
