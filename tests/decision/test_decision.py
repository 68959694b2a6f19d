"""Operating points: known optima, exact thresholds, honest probabilities, and that only validation is looked at."""

import json
import tracemalloc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from leyden.data.sampler import EpochSampler
from leyden.data.sampling_policies import Power
from leyden.decision import DecisionRule, OperatingPoint, neutral
from leyden.metrics.calibration import binned_gaps, error
from leyden.metrics.probabilities import log_softmax
from leyden.utils.errors import UserError

TWO = ("ham", "spam")


def gaussians(n: int, share: float, seed: int, gap: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """x (n,) and labels: N(0, 1) and N(gap, 1), class 1 with a share."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(np.int64)
    return rng.normal(size=n) + gap * labels, labels


def bayes_logits(x: np.ndarray, share: float, gap: float = 2.0) -> np.ndarray:
    """Exact logits of the two Gaussians under a prior: (n, 2)."""
    return np.stack([np.zeros_like(x), gap * x - gap**2 / 2 + np.log(share / (1 - share))], 1)


def fit(choice: DecisionRule, z: np.ndarray, y: np.ndarray, seen: Sequence[float]) -> OperatingPoint:
    names = TWO if z.shape[1] == 2 else tuple(map(str, range(z.shape[1])))
    return choice.fit(z, y, names, np.array(seen), np.array(seen))


def tolerance(curvature: float, noise: float) -> float:
    """99 % bound of the distance of a criterion's empirical maximum from its true one.

    Where the criterion falls as curvature/2 * d^2 and its empirical error is a random walk of variance noise * d, the
    distance is (noise / (curvature/2)^2)^(1/3) * Z with Chernoff's distribution, whose 99.5 % point is 1.17
    (Groeneboom and Wellner 2001). It shrinks with n^(-1/3), not n^(-1/2): the maximum is flat and the steps are rough.
    """
    return 1.17 * float((noise / (curvature / 2) ** 2) ** (1 / 3))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_balanced_accuracy_on_two_gaussians_is_the_known_optimum(share: float, seed: int) -> None:
    """Its threshold lies half-way between the means, x = 1, whatever the prior; it is then Phi(1)."""
    n = 100_000
    x, y = gaussians(n, share, seed)
    point = fit(DecisionRule(criterion="balanced_accuracy"), bayes_logits(x, share), y, (1 - share, share))
    per_class = 1 / (n * share) + 1 / (n * (1 - share))
    # J(t) = (Phi(t) + 1 - Phi(t - 2)) / 2 has J''(1) = -phi(1); its error has slope variance phi(1) (1/n0 + 1/n1) / 4
    phi = norm.pdf(1)
    assert threshold(point, share) == pytest.approx(1.0, abs=tolerance(phi, phi * per_class / 4))
    deviation = np.sqrt(norm.cdf(1) * norm.cdf(-1) * per_class) / 2
    assert point.chosen_on["after"] == pytest.approx(norm.cdf(1), abs=4 * deviation)
    assert point.chosen_on["before"] < point.chosen_on["after"]


@pytest.mark.parametrize("seed", range(3))
def test_recall_on_two_gaussians_is_the_known_quantile(seed: int) -> None:
    """The most precise threshold of recall 90 % is the 10 % point of N(2, 1)."""
    n, share = 100_000, 0.1
    x, y = gaussians(n, share, seed)
    point = fit(
        DecisionRule(criterion="recall", of="spam", at_least=0.9),
        bayes_logits(x, share),
        y,
        (1 - share, share),
    )
    known = 2 + norm.ppf(0.1)
    deviation = np.sqrt(0.1 * 0.9 / (n * share)) / norm.pdf(known - 2)  # of a sample's quantile
    assert threshold(point, share) == pytest.approx(known, abs=4 * deviation)


@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_on_two_gaussians_is_the_optimum_of_the_population(seed: int) -> None:
    n, share = 100_000, 0.1
    x, y = gaussians(n, share, seed)
    point = fit(DecisionRule(criterion="macro_f1"), bayes_logits(x, share), y, (1 - share, share))
    t = np.linspace(0, 3, 3001)
    hit, alarm = share * norm.sf(t - 2), (1 - share) * norm.sf(t)
    right = (1 - share) - alarm
    f1 = hit / (share + hit + alarm) + right / ((1 - share) + 1 - hit - alarm)
    deviation = 1 / np.sqrt(n * share)  # of a share of the positives, at the most
    assert point.chosen_on["after"] == pytest.approx(f1.max(), abs=2 * deviation)
    reached = np.interp(threshold(point, share), t, f1)
    assert reached == pytest.approx(f1.max(), abs=deviation / 4)  # and lost to the population: less by far


def threshold(point: OperatingPoint, share: float) -> float:
    """The least x that is answered 1."""
    grid = np.linspace(-2, 4, 12_001)
    return float(grid[np.argmax(point.decide(point.log_probabilities(bayes_logits(grid, share))) == 1)])


def test_logit_adjustment_needs_no_sample_and_gives_the_same_optimum() -> None:
    grid = np.linspace(-1, 3, 4001)
    choice = DecisionRule(target_prior="uniform")
    assert not choice.reads_validation
    point = fit(choice, np.zeros((0, 2)), np.zeros(0, np.int64), (0.98, 0.02))
    answers = point.decide(point.log_probabilities(bayes_logits(grid, 0.02)))
    assert grid[np.argmax(answers == 1)] == pytest.approx(1.0, abs=0.002)


def test_cost_is_bayes_rule() -> None:
    """Elkan 2001: with c(miss) = 20 and c(alarm) = 1, answer 1 where p > 1/21."""
    choice = DecisionRule(criterion="cost", cost={"spam": {"ham": 20}})
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
    point = fit(DecisionRule(criterion=aim), z, y, (0.9, 0.1))
    assert measure(y, point.decide(point.log_probabilities(z))) == pytest.approx(best, abs=1e-12)
    assert point.chosen_on["after"] == pytest.approx(best)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("aim", ["macro_f1", "balanced_accuracy"])
def test_more_classes_are_never_worse_than_before(seed: int, aim: Any) -> None:
    rng = np.random.default_rng(seed)
    y = rng.choice(5, 400, p=[0.6, 0.2, 0.1, 0.07, 0.03])
    z = rng.normal(size=(400, 5)) + np.log([0.6, 0.2, 0.1, 0.07, 0.03])
    z[np.arange(400), y] += 1.5
    point = fit(DecisionRule(criterion=aim), z, y, (0.6, 0.2, 0.1, 0.07, 0.03))
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
    point = fit(DecisionRule(criterion="recall", of="spam", at_least=0.95), z, y, (0.95, 0.05))
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
        point = fit(DecisionRule(temperature=True), sharpened, y, (0.98, 0.02))
        assert point.temperature == pytest.approx(factor, rel=0.2)
    assert fit(DecisionRule(temperature=True), true, y, (0.98, 0.02)).temperature == pytest.approx(
        1, abs=0.03
    )


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
        order = EpochSampler(y, 2, Power(0.0), seed).epoch(0)
        test, truth = exponentials(20_000, 100 + seed)
        plain = LogisticRegression(C=1e6).fit(x[:, None], y)
        balanced = LogisticRegression(C=1e6).fit(x[order, None], y[order])
        z = {
            name: np.stack([np.zeros(len(test)), m.decision_function(test[:, None])], 1)
            for name, m in (("plain", plain), ("balanced", balanced))
        }
        shares = np.bincount(y) / len(y)
        point = DecisionRule(target_prior="training").fit(
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
    assert DecisionRule().neutral
    assert not DecisionRule(criterion="macro_f1").neutral


def test_mistakes_are_named() -> None:
    z, y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    with pytest.raises(UserError, match=r"decision.of: there is no class 'span'.*spam"):
        fit(DecisionRule(criterion="recall", of="span"), z, y, (0.5, 0.5))
    with pytest.raises(UserError, match=r"decision.target_prior: .*'spam' has none"):
        fit(DecisionRule(target_prior={"ham": 1.0}), z, y, (0.5, 0.5))
    with pytest.raises(UserError, match=r"decision\.of must be given"):
        DecisionRule(criterion="recall")
    with pytest.raises(UserError, match=r"decision\.cost must be given"):
        DecisionRule(criterion="cost")


def coarse(choice: DecisionRule, seed: int, classes: int) -> tuple[np.ndarray, np.ndarray, OperatingPoint]:
    """Outputs in steps of 1/4, so that many tie, and a point chosen on them."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.6, 0.25, 0.1, 0.05])[:classes] / sum([0.6, 0.25, 0.1, 0.05][:classes])
    y = rng.choice(classes, 120, p=shares)
    z = rng.normal(size=(120, classes)) + np.log(shares)
    z[np.arange(120), y] += 1.5
    z = np.round(z * 4) / 4
    return z, y, fit(choice, z, y, shares)


@example(862, "recall", {"0": 0.1, "1": 0.2, "2": 0.3, "3": 0.4})  # nothing answered, but for rounding
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["macro_f1", "balanced_accuracy", "recall"]),
    st.sampled_from(["as_trained", "uniform", {"0": 0.1, "1": 0.2, "2": 0.3, "3": 0.4}]),
)
def test_validation_is_never_worse_and_what_is_told_is_what_is_answered(
    seed: int, aim: Any, prior: Any
) -> None:
    choice = DecisionRule(criterion=aim, target_prior=prior, of="3", at_least=0.6, temperature=seed % 2 == 0)
    z, y, point = coarse(choice, seed, 4)
    before, after = (point.chosen_on[key] for key in ("before", "after"))
    if (y == 3).any():
        assert after is not None
        assert before is None or after >= before
    answers = point.decide(point.log_probabilities(z))
    if aim == "balanced_accuracy" and prior == "as_trained":
        hits = [np.mean(answers[y == c] == c) for c in np.unique(y)]
        assert after == pytest.approx(np.mean(hits))
    if aim == "recall" and (y == 3).any():
        assert np.mean(answers[y == 3] == 3) >= 0.6


def test_a_shift_does_not_lose_what_the_net_answers_by_itself() -> None:
    """With one class's offset alone to move, a search from the shifted answers ends lower in one case of six."""
    shares = {"0": 0.85, "1": 0.05, "2": 0.05, "3": 0.05}
    choice = DecisionRule(criterion="recall", of="3", at_least=0.5, target_prior=shares)
    compared = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 4, 60)
        z = rng.normal(size=(60, 4))
        z[np.arange(60), y] += 1.5
        chosen = fit(choice, z, y, np.full(4, 0.25)).chosen_on
        if chosen["before"] is not None:
            compared += 1
            assert chosen["after"] >= chosen["before"]
    assert compared > 30


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["macro_f1", "balanced_accuracy"]))
def test_ties_too_are_searched_exactly(seed: int, aim: Any) -> None:
    """Two classes, tied margins: every cut between different margins is tried by hand."""
    z, y, point = coarse(DecisionRule(criterion=aim), seed, 2)
    margin = z[:, 1] - z[:, 0]
    values = np.unique(margin)
    cuts = [values[0] - 1, *((values[1:] + values[:-1]) / 2), values[-1] + 1]
    f1 = partial(f1_score, average="macro", zero_division=0, labels=np.unique(y))
    measure = f1 if aim == "macro_f1" else balanced_accuracy_score
    best = max(measure(y, (margin > cut).astype(int)) for cut in cuts)
    found = measure(y, point.decide(point.log_probabilities(z)))
    assert found == pytest.approx(max(best, measure(y, z.argmax(1))), abs=1e-9)


def test_twenty_thousand_samples_are_searched_exactly_too() -> None:
    x, y = gaussians(20_000, 0.002, 0)
    point = fit(DecisionRule(criterion="macro_f1"), np.stack([np.zeros_like(x), x], 1), y, (0.998, 0.002))
    order, n, found = np.argsort(-x), len(y), y.sum()
    called = np.arange(1, n + 1)
    hits = np.cumsum(y[order])
    right = n - found - (called - hits)
    best = (hits / (found + called) + right / ((n - found) + (n - called))).max()
    assert point.chosen_on["after"] == pytest.approx(best, abs=1e-9)


def test_nothing_is_moved_without_a_gain() -> None:
    z = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    for aim in ("macro_f1", "balanced_accuracy"):
        assert fit(DecisionRule(criterion=aim), z, np.array([0, 0, 1]), (0.7, 0.3)).is_neutral  # type: ignore[arg-type]
    none = fit(
        DecisionRule(criterion="recall", of="spam"), z, np.zeros(3, np.int64), (0.7, 0.3)
    )  # there is no spam to find
    assert none.is_neutral
    assert none.chosen_on["after"] is None


def test_a_stated_prior_is_the_one_that_an_aim_is_measured_under() -> None:
    """Thresholds for 30 % chosen on samples with 5 % are those of samples with 30 %, and not those for 5 %."""
    x, y = gaussians(60_000, 0.05, 4)
    there, truth = gaussians(60_000, 0.3, 5)
    seen, target = (0.95, 0.05), {"ham": 0.7, "spam": 0.3}
    stated, silent = (
        fit(DecisionRule(criterion="macro_f1", target_prior=prior), bayes_logits(x, 0.05), y, seen)
        for prior in (target, "as_trained")
    )
    best = fit(DecisionRule(criterion="macro_f1"), bayes_logits(there, 0.3), truth, (0.7, 0.3)).chosen_on[
        "after"
    ]
    f1 = {
        name: f1_score(truth, p.decide(p.log_probabilities(bayes_logits(there, 0.05))), average="macro")
        for name, p in (("stated", stated), ("silent", silent))
    }
    error = 2 / np.sqrt((y == 1).sum())  # two standard deviations of a share of 3,000 positives, at the most
    assert f1["stated"] == pytest.approx(best, abs=error / 4)  # near its maximum it is flat
    assert f1["silent"] < best - 0.02
    assert stated.chosen_on["after"] == pytest.approx(best, abs=error)


def test_a_class_that_training_lacked_changes_nothing_for_the_others() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 3000)
    z = rng.normal(size=(3000, 3))
    z[np.arange(3000), y] += 2
    z[:, 2] -= 8  # never drawn in training
    seen, training = np.array([0.5, 0.5, 0.0]), np.array([0.9, 0.1, 0.0])
    target = {"a": 0.2, "b": 0.2, "c": 0.6}
    for prior in ("training", "uniform", target):
        point = DecisionRule(temperature=True, target_prior=prior).fit(z, y, ("a", "b", "c"), seen, training)  # type: ignore[arg-type]
        known = y < 2
        alone = DecisionRule(temperature=True).fit(
            z[known][:, :2], y[known], ("a", "b"), seen[:2], training[:2]
        )
        assert point.temperature == pytest.approx(alone.temperature, rel=1e-2)
        assert not (point.decide(point.log_probabilities(z)) == 2).any()
    assert DecisionRule(temperature=True).fit(z[:0], y[:0], ("a", "b", "c"), seen, training).temperature == 1


def test_costs_are_told_before_and_after() -> None:
    x, y = gaussians(20_000, 0.1, 6)
    point = fit(
        DecisionRule(criterion="cost", cost={"spam": {"ham": 20}}), bayes_logits(x, 0.1), y, (0.9, 0.1)
    )
    answers = point.decide(point.log_probabilities(bayes_logits(x, 0.1)))
    mean = np.where(y == answers, 0, np.where(y == 1, 20, 1)).mean()
    assert point.chosen_on["after"] == pytest.approx(mean)
    assert point.chosen_on["after"] < point.chosen_on["before"] / 2
    with pytest.raises(UserError, match=r"decision\.cost\.ham\.spam: expected a number, got inf"):
        fit(
            DecisionRule(criterion="cost", cost={"ham": {"spam": np.inf}}),
            bayes_logits(x, 0.1),
            y,
            (0.9, 0.1),
        )


@pytest.mark.parametrize("share", [-0.1, np.nan])
def test_shares_that_are_none_are_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"decision\.target_prior\.spam: expected a share"):
        DecisionRule(target_prior={"ham": 1.0, "spam": share}).verify(TWO)
    with pytest.raises(UserError, match="no class that has training samples"):
        DecisionRule(target_prior={"ham": 0.0, "spam": 0.0}).verify(TWO)


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
            loader._targets = loader._targets.clone()
            loader._targets[self.splits.test] = 0
        return loader

    monkeypatch.setattr(DataModule, "evaluation_loader", poisoned)


def test_a_run_chooses_stores_and_applies_its_point_and_never_looks_at_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leyden.inference.evaluate import evaluate
    from leyden.training.job import train

    monkeypatch.chdir(tmp_path)
    words = [*RUN, f"cache={tmp_path / 'cache'}", "decision=macro_f1", "decision.temperature=true"]
    clean = train([*words, "runs=clean"])
    stored = json.loads((clean.folder / "operating_point.json").read_text())
    assert stored["chosen_on"]["split"] == "val"
    assert clean.result["operating_point"] == stored
    assert not OperatingPoint.from_dict(stored).is_neutral
    assert set(clean.result["metrics"]["test"]["before"]) >= {"accuracy", "ece"}
    again = evaluate(clean.folder)
    assert again["test"]["confusion"] == clean.result["metrics"]["test"]["confusion"]
    other = evaluate(clean.folder, decision="logit_adjusted", splits=("test",))
    assert (
        other["test"]["confusion"] != again["test"]["confusion"]
        or other["test"]["values"] != again["test"]["values"]
    )
    poison(monkeypatch)
    poisoned = train([*words, "runs=poisoned"])
    assert poisoned.result["metrics"]["test"]["confusion"] != clean.result["metrics"]["test"]["confusion"]
    assert json.loads((poisoned.folder / "operating_point.json").read_text()) == stored


def test_no_table_of_all_pairs_of_classes_is_made_unless_costs_are_given() -> None:
    """Of 3,000 classes it holds nine million numbers."""
    tracemalloc.start()
    try:
        DecisionRule().verify([f"c{i}" for i in range(3000)])
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
