"""Operating points: known optima, exact thresholds, honest probabilities, and that only validation is looked at."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from leyden.data.policies import Power
from leyden.data.sampling import Plan
from leyden.errors import UserError
from leyden.metrics.calibration import binned_gaps, error
from leyden.metrics.restated import restated
from leyden.operating import Choice, OperatingPoint, neutral
from leyden.operating.point import log_softmax

TWO = ("ham", "spam")


def gaussians(n: int, share: float, seed: int, gap: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """x (n,) and labels: N(0, 1) and N(gap, 1), class 1 with a share."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(np.int64)
    return rng.normal(size=n) + gap * labels, labels


def bayes_logits(x: np.ndarray, share: float, gap: float = 2.0) -> np.ndarray:
    """Exact logits of the two Gaussians under a prior: (n, 2)."""
    return np.stack([np.zeros_like(x), gap * x - gap**2 / 2 + np.log(share / (1 - share))], 1)


def fit(choice: Choice, z: np.ndarray, y: np.ndarray, seen: Sequence[float]) -> OperatingPoint:
    names = TWO if z.shape[1] == 2 else tuple(map(str, range(z.shape[1])))
    return choice.fit(z, y, names, np.array(seen), np.array(seen))


def test_balanced_accuracy_on_two_gaussians_is_the_known_optimum() -> None:
    """Its threshold lies half-way between the means, x = 1, whatever the prior."""
    x, y = gaussians(200_000, 0.02, 0)
    z = bayes_logits(x, 0.02)
    point = fit(Choice(aim="balanced_accuracy"), z, y, (0.98, 0.02))
    grid = np.linspace(-1, 3, 4001)
    answers = point.decide(point.log_probabilities(bayes_logits(grid, 0.02)))
    found = grid[np.argmax(answers == 1)]
    assert found == pytest.approx(
        1.0, abs=0.1
    )  # the maximum is flat: 1/sqrt(n_1) of 4,000 positives is .016 of recall
    value = point.chosen_on["after"]
    assert value == pytest.approx(0.8413, abs=0.008)  # Phi(1)
    assert point.chosen_on["before"] < 0.7


def test_logit_adjustment_needs_no_sample_and_gives_the_same_optimum() -> None:
    grid = np.linspace(-1, 3, 4001)
    choice = Choice(target_prior="uniform")
    assert not choice.reads_validation
    point = fit(choice, np.zeros((0, 2)), np.zeros(0, np.int64), (0.98, 0.02))
    answers = point.decide(point.log_probabilities(bayes_logits(grid, 0.02)))
    assert grid[np.argmax(answers == 1)] == pytest.approx(1.0, abs=0.002)


def test_cost_is_bayes_rule() -> None:
    """Elkan 2001: with c(miss) = 20 and c(alarm) = 1, answer 1 where p > 1/21."""
    choice = Choice(aim="cost", cost={"spam": {"ham": 20}})
    x, y = gaussians(10, 0.5, 0)
    point = fit(choice, bayes_logits(x, 0.5), y, (0.5, 0.5))
    p = np.array([[1 - q, q] for q in (0.04, 0.0477, 0.05, 0.9)])
    assert point.decide(np.log(p)).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("aim", ["macro_f1", "balanced_accuracy"])
def test_two_classes_exactly_the_best_of_all_thresholds(aim: Any) -> None:
    x, y = gaussians(300, 0.1, 3)
    z = np.stack([np.zeros(300), x + 0.1 * np.random.default_rng(0).normal(size=300)], 1)
    measure = (
        balanced_accuracy_score
        if aim == "balanced_accuracy"
        else lambda t, a: f1_score(t, a, average="macro")
    )
    margin = np.sort(z[:, 1])
    every = [margin[0] - 1, *((margin[1:] + margin[:-1]) / 2), margin[-1] + 1]
    best = max(measure(y, (z[:, 1] > t).astype(int)) for t in every)
    point = fit(Choice(aim=aim), z, y, (0.9, 0.1))
    assert measure(y, point.decide(point.log_probabilities(z))) == pytest.approx(best, abs=1e-12)
    assert point.chosen_on["after"] == pytest.approx(best)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("aim", ["macro_f1", "balanced_accuracy"])
def test_more_classes_are_never_worse_than_before(seed: int, aim: Any) -> None:
    rng = np.random.default_rng(seed)
    y = rng.choice(5, 400, p=[0.6, 0.2, 0.1, 0.07, 0.03])
    z = rng.normal(size=(400, 5)) + np.log([0.6, 0.2, 0.1, 0.07, 0.03])
    z[np.arange(400), y] += 1.5
    point = fit(Choice(aim=aim), z, y, (0.6, 0.2, 0.1, 0.07, 0.03))
    measure = (
        balanced_accuracy_score
        if aim == "balanced_accuracy"
        else lambda t, a: f1_score(t, a, average="macro")
    )
    before, after = (measure(y, a) for a in (z.argmax(1), point.decide(point.log_probabilities(z))))
    assert after > before + 0.02
    assert point.chosen_on["before"] == pytest.approx(before)
    assert point.chosen_on["after"] == pytest.approx(after)


def test_recall_of_at_least() -> None:
    x, y = gaussians(2000, 0.05, 1)
    z = bayes_logits(x, 0.05)
    point = fit(Choice(aim="recall", of="spam", at_least=0.95), z, y, (0.95, 0.05))
    answers = point.decide(point.log_probabilities(z))
    assert recall_score(y, answers) >= 0.95
    others = [(z[:, 1] > t).astype(int) for t in np.sort(z[:, 1])]
    allowed = [precision_score(y, a, zero_division=0) for a in others if recall_score(y, a) >= 0.95]
    assert precision_score(y, answers) == pytest.approx(max(allowed), abs=1e-9)


def test_a_temperature_is_found_also_where_validation_has_another_prior() -> None:
    x, y = gaussians(50_000, 0.3, 2)  # validation: 30 %; the net was trained under 2 %
    true = bayes_logits(x, 0.02)
    for factor in (0.5, 3.0):
        sharpened = true * factor  # what an overconfident net would say
        point = fit(Choice(temperature=True), sharpened, y, (0.98, 0.02))
        assert point.temperature == pytest.approx(factor, rel=0.2)
    assert fit(Choice(temperature=True), true, y, (0.98, 0.02)).temperature == pytest.approx(1, abs=0.03)


def exponentials(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Waiting times of mean 1, and of mean 4 in 5 %: a logistic model in x is exact, and the two errors are unequal."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.05).astype(np.int64)
    return rng.exponential(np.where(labels == 1, 4.0, 1.0)), labels


def ece(log_p: np.ndarray, y: np.ndarray) -> float:
    confidence, right = np.exp(log_p).max(1), log_p.argmax(1) == y
    return float(error(binned_gaps(confidence, right), len(y)))


def test_prior_correction_gives_a_balanced_samplers_model_its_calibration_back() -> None:
    """Five seeds, 20,000 test rows: a logistic model trained on balanced draws is off, corrected it is as the plain."""
    far, near = [], []
    for seed in range(5):
        x, y = exponentials(20_000, seed)
        order = Plan(y, 2, Power(0.0), seed).epoch(0)
        test, truth = exponentials(20_000, 100 + seed)
        plain = LogisticRegression(C=1e6).fit(x[:, None], y)
        balanced = LogisticRegression(C=1e6).fit(x[order, None], y[order])
        z = {
            name: np.stack([np.zeros(len(test)), m.decision_function(test[:, None])], 1)
            for name, m in (("plain", plain), ("balanced", balanced))
        }
        shares = np.bincount(y) / len(y)
        point = Choice(target_prior="training").fit(
            np.zeros((0, 2)), np.zeros(0, np.int64), TWO, np.full(2, 0.5), shares
        )
        far.append(ece(log_softmax(z["balanced"]), truth) - ece(log_softmax(z["plain"]), truth))
        near.append(ece(point.log_probabilities(z["balanced"]), truth) - ece(log_softmax(z["plain"]), truth))
    assert np.mean(far) > 0.05
    assert abs(np.mean(near)) < 0.005


def test_neutral_and_json() -> None:
    z = np.random.default_rng(0).normal(size=(20, 3))
    point = neutral(3)
    assert point.is_neutral
    np.testing.assert_array_equal(point.decide(point.log_probabilities(z)), z.argmax(1))
    made = OperatingPoint(2.0, (0.0, -1.0, 0.0), (0.0, 0.5, 0.0), ((0.0, 1.0, 1.0),) * 3, "cost", {"n": 5})
    assert OperatingPoint.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert Choice().neutral
    assert not Choice(aim="macro_f1").neutral


def test_mistakes_are_named() -> None:
    z, y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    with pytest.raises(UserError, match=r"operating.of: there is no class 'span'.*spam"):
        fit(Choice(aim="recall", of="span"), z, y, (0.5, 0.5))
    with pytest.raises(UserError, match=r"operating.target_prior: .*'spam' has none"):
        fit(Choice(target_prior={"ham": 1.0}), z, y, (0.5, 0.5))
    with pytest.raises(UserError, match=r"operating\.of must be given"):
        Choice(aim="recall")
    with pytest.raises(UserError, match=r"operating\.cost must be given"):
        Choice(aim="cost")


def test_restated_is_what_resampled_data_give() -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(3, 6000, p=[0.5, 0.3, 0.2])
    a = np.where(rng.random(6000) < 0.7, y, rng.integers(0, 3, 6000))
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (y, a), 1)
    prior = np.array([0.05, 0.15, 0.8])
    rows = np.concatenate([rng.choice(np.flatnonzero(y == c), int(400_000 * prior[c])) for c in range(3)])
    found = restated(confusion, prior)
    assert found["accuracy"] == pytest.approx((y[rows] == a[rows]).mean(), abs=0.005)
    assert found["macro_f1"] == pytest.approx(f1_score(y[rows], a[rows], average="macro"), abs=0.005)
    assert found["macro_precision"] == pytest.approx(
        precision_score(y[rows], a[rows], average="macro"), abs=0.005
    )
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, a))
    own = restated(confusion, confusion.sum(1))
    assert own["accuracy"] == pytest.approx((y == a).mean())


# --- in a run ---

RUN = [
    *(
        "data=planted_text",
        "data.source.samples=600",
        "model=lstm",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "threads=1",
    ),
    *("logger=none", "long_tail=exponential", "long_tail.ratio=4", "batch_size=16"),
]


def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every label of the test split turned into class 0."""
    from leyden.data.datamodule import DataModule

    plain = DataModule.evaluation_loader

    def poisoned(self: Any, split: str) -> Any:
        loader = plain(self, split)
        if split == "test":
            loader._labels = loader._labels.clone()
            loader._labels[self.splits.test] = 0
        return loader

    monkeypatch.setattr(DataModule, "evaluation_loader", poisoned)


def test_a_run_chooses_stores_and_applies_its_point_and_never_looks_at_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leyden.evaluate import evaluate
    from leyden.train import train

    monkeypatch.chdir(tmp_path)
    words = [*RUN, f"cache={tmp_path / 'cache'}", "operating=macro_f1", "operating.temperature=true"]
    clean = train([*words, "runs=clean"])
    stored = json.loads((clean.folder / "operating_point.json").read_text())
    assert stored["chosen_on"]["split"] == "val"
    assert clean.result["operating_point"] == stored
    assert not OperatingPoint.from_dict(stored).is_neutral
    assert set(clean.result["metrics"]["test"]["before"]) >= {"accuracy", "ece"}
    again = evaluate(clean.folder)
    assert again["test"]["confusion"] == clean.result["metrics"]["test"]["confusion"]
    other = evaluate(clean.folder, operating="logit_adjusted", splits=("test",))
    assert (
        other["test"]["confusion"] != again["test"]["confusion"]
        or other["test"]["values"] != again["test"]["values"]
    )
    poison(monkeypatch)
    poisoned = train([*words, "runs=poisoned"])
    assert poisoned.result["metrics"]["test"]["confusion"] != clean.result["metrics"]["test"]["confusion"]
    assert json.loads((poisoned.folder / "operating_point.json").read_text()) == stored
