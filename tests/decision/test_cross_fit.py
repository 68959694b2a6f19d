"""Cross-fitting: rows are judged by decisions that they had no part in, whatever the rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from leyden.decision import DecisionRule
from leyden.decision.cross_fit import FOLDS, cross_fitted, folds, rarest
from leyden.decision.interval_rule import ConformalRule, coverage_of
from leyden.decision.label_rule import LabelRule
from leyden.metrics.confusion import Cells, Counts
from leyden.metrics.matrix_intervals import of_cells
from leyden.metrics.multilabel import evaluate_multilabel
from leyden.metrics.probabilities import log_softmax
from leyden.utils.errors import UserError

SHARES = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])


class Mean:
    """A decision that is the mean of the targets that it was fitted on."""

    held_out = ("coverage",)

    def __init__(self, targets: np.ndarray) -> None:
        self.mean = float(targets.mean())

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        return np.full(len(outputs), self.mean)

    def bounds(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.decide(outputs), outputs


def test_no_row_has_a_part_in_its_own_decision() -> None:
    targets = np.random.default_rng(0).normal(size=(43, 1))
    outputs = np.arange(43.0)
    found = cross_fitted(lambda z, y: Mean(y), outputs, targets)
    assert found is not None
    fold = folds(targets)
    expected = [targets[fold != fold[i]].mean() for i in range(43)]
    np.testing.assert_allclose(found.decide(outputs), expected)
    low, same = found.bounds(outputs)
    np.testing.assert_allclose(low, expected)
    np.testing.assert_array_equal(same, outputs)
    assert not found.is_neutral
    for name in ("held_out", "nothing"):
        with pytest.raises(AttributeError):
            getattr(found, name)


def test_folds_are_stratified_and_of_the_targets_alone() -> None:
    labels = np.random.default_rng(0).choice(6, 333, p=SHARES)
    first = folds(labels)
    np.random.default_rng().random(3)
    np.testing.assert_array_equal(first, folds(labels.copy()))
    table = np.array([np.bincount(labels[first == k], minlength=6) for k in range(FOLDS)])
    assert np.ptp(table, axis=0).max() <= 1
    assert np.ptp(table.sum(1)) <= 1
    sets = (np.random.default_rng(1).random((400, 4)) < [0.02, 0.3, 0.5, 0.9]).astype(float)
    of_rarest = np.bincount(folds(sets), weights=sets[:, 0], minlength=FOLDS)
    assert np.ptp(of_rarest) <= 1
    assert rarest(np.array([0, 0, 0, 2, 2])) == 2
    assert rarest(sets) == sets[:, 0].sum()
    assert rarest(np.array([[0.5], [1.0]])) == 2


def test_too_few_rows_are_not_cross_fitted() -> None:
    assert cross_fitted(lambda z, y: Mean(y), np.zeros(4), np.zeros((4, 1))) is None

    def refuses(z: np.ndarray, y: np.ndarray) -> Any:
        raise UserError("too few")

    assert cross_fitted(refuses, np.zeros(40), np.zeros((40, 1))) is None


# --- simulations: what cross-fitting says against what the applied decision is worth on 100,000 new rows ---


def classes(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Logits twice too sharp and labels of six Gaussian classes."""
    means = 0.6 * np.random.default_rng(0).standard_normal((6, 3))
    y = rng.choice(6, n, p=SHARES)
    x = means[y] + rng.standard_normal((n, 3))
    return 2 * (-((x[:, None] - means) ** 2).sum(2) / 2 + np.log(SHARES)), y


def labels(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = (rng.random((n, 5)) < [0.05, 0.1, 0.1, 0.2, 0.4]).astype(np.float64)
    return 1.2 * (y + rng.standard_normal((n, 5))) - 2.5, y


def values(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = rng.standard_normal((n, 1))
    return y + 0.3 * rng.standard_t(4, (n, 1)), y


def macro_f1(point: Any, z: np.ndarray, y: np.ndarray) -> float:
    answers = point.decide(point.log_probabilities(z))
    return float(Counts.of(Cells.of(y, answers, 6)).macro_f1())


def log_loss(point: Any, z: np.ndarray, y: np.ndarray) -> float:
    return -float(log_softmax(point.log_probabilities(z))[np.arange(len(y)), y].mean())


def label_f1(point: Any, z: np.ndarray, y: np.ndarray) -> float:
    found = evaluate_multilabel(z, y, list("abcde"), decisions=point.decide(z), intervals=False)
    return found.values["macro_f1"].value or 0.0


def inside(point: Any, z: np.ndarray, y: np.ndarray) -> float:
    return coverage_of(*point.bounds(z), y)["coverage"].value or 0.0


CASES: dict[str, tuple[Callable[..., Any], Any, Callable[..., float], int, bool]] = {
    "thresholds": (classes, DecisionRule(criterion="macro_f1"), macro_f1, 200, True),
    "temperature": (classes, DecisionRule(temperature=True), log_loss, 200, False),
    "labels": (labels, LabelRule(), label_f1, 300, True),
    "intervals": (values, ConformalRule(alpha=0.1), inside, 100, False),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_new_rows_give(case: str) -> None:
    """The mean gap over 60 validation sets is below .01, within 3.3 of its standard errors."""
    draw, rule, measure, n, overstated = CASES[case]
    names = tuple("abcdef") if draw is classes else tuple("abcde") if draw is labels else ("x",)
    gaps, in_sample = [], []
    for trial in range(60):
        z, y = draw(n, np.random.default_rng([1, trial]))

        def fit(z: np.ndarray, y: np.ndarray) -> Any:
            return rule.fit(z, y, names, SHARES, SHARES)

        applied = fit(z, y)
        truth = measure(applied, *draw(20_000, np.random.default_rng([2, trial])))
        found = cross_fitted(fit, z, y)
        gaps.append(measure(found, z, y) - truth)
        in_sample.append(measure(applied, z, y) - truth)
    error = np.std(gaps, ddof=1) / len(gaps) ** 0.5
    assert abs(np.mean(gaps)) < 0.01 + 3.3 * error
    assert not overstated or np.mean(in_sample) > 0.02 + 3.3 * error  # what the test is for


@pytest.mark.slow
def test_its_interval_of_macro_f1_covers_what_the_applied_thresholds_are_worth() -> None:
    """Near .95 of 400 validation sets of 200, where the interval of the rows that chose covers .6."""
    rule, covered, in_sample = DecisionRule(criterion="macro_f1"), 0, 0
    new = classes(200_000, np.random.default_rng(9))

    def fit(z: np.ndarray, y: np.ndarray) -> Any:
        return rule.fit(z, y, tuple("abcdef"), SHARES, SHARES)

    def covers(point: Any, z: np.ndarray, y: np.ndarray, truth: float) -> bool:
        cells = Cells.of(y, point.decide(point.log_probabilities(z)), 6)
        shown = of_cells(cells, Counts.of(cells))["macro_f1"]
        return bool(shown.low <= truth <= shown.high)

    for trial in range(400):
        z, y = classes(200, np.random.default_rng([3, trial]))
        applied, found = fit(z, y), cross_fitted(fit, z, y)
        truth = macro_f1(applied, *new)
        covered += covers(found, z, y, truth)
        in_sample += covers(applied, z, y, truth)
    assert covered >= binom.ppf(0.0005, 400, 0.94)
    assert in_sample < binom.ppf(0.0005, 400, 0.85)


# --- in a run ---

RUN = (
    *(
        "data=planted_images",
        "data.source.num_classes=4",
        "data.source.counts=[240,90,50,20]",
        "model=linear",
    ),
    *("trainer.max_epochs=1", "logger=none", "threads=1", "split.val=0.3"),
)


def test_the_validation_metrics_of_a_run_are_cross_fitted_and_its_test_metrics_are_of_the_stored_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leyden.inference.evaluate import evaluate
    from leyden.training.job import train

    monkeypatch.chdir(tmp_path)
    made = train([*RUN, f"cache={tmp_path / 'cache'}", "decision=macro_f1"])
    val, test = (made.result["metrics"][split] for split in ("val", "test"))
    changed = [name for name, e in val["values"].items() if e["value"] != val["before"][name]]
    assert "macro_f1" in changed
    for name in changed:
        assert val["values"][name]["method"].endswith("cross-fitted over 5 folds of the validation samples")
    assert all("fold" not in e["method"] for e in (*test["values"].values(), val["values"]["auroc"]))
    assert all("cross-fitted" in c["recall"]["method"] for c in val["per_class"])
    stored = np.load(made.folder / "predictions" / "val.npz")
    assert val["values"]["accuracy"]["value"] == pytest.approx(
        np.mean(stored["predicted"] == stored["labels"])
    )
    assert evaluate(made.folder)["val"]["values"] == val["values"]
    point = json.loads((made.folder / "operating_point.json").read_text())
    assert point["chosen_on"]["n"] == val["n"]  # all of them chose what is applied


def test_what_cannot_be_cross_fitted_has_no_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from leyden.training.job import train

    monkeypatch.chdir(tmp_path)
    words = [*RUN, f"cache={tmp_path / 'cache'}", "data.source.counts=[300,80,14,6]"]
    few = train([*words, "decision=macro_f1"]).result["metrics"]["val"]
    assert min(c["n"] for c in few["per_class"] if c["n"]) < FOLDS
    found = few["values"]["macro_f1"]
    assert (found["low"], found["high"]) == (None, None)
    assert found["method"].startswith("chosen here")
    assert few["before"]["macro_f1"] is not None
    calibrated = train([*words, "decision=calibrated"]).result["metrics"]["val"]  # needs not each class
    assert "cross-fitted" in calibrated["values"]["log_loss"]["method"]
