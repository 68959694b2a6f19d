"""Point estimates against scikit-learn, intervals against their formulas and by simulation."""

import json
import math
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn import metrics as sk

from leyden.metrics import METRICS, Metrics, calibration, evaluate, higher_is_better
from leyden.metrics.intervals import percentiles, wilson
from leyden.metrics.probabilities import most_probable


def names(classes: int) -> list[str]:
    return [f"c{i}" for i in range(classes)]


def sample(
    n: int, classes: int, seed: int, *, signal: float = 1.5, skew: float = 0.0, ties: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits with a signal; skew makes the classes imbalanced; ties repeats rows of logits."""
    rng = np.random.default_rng(seed)
    share = np.exp(-skew * np.arange(classes))
    labels = rng.choice(classes, size=n, p=share / share.sum())
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += signal
    if ties:
        rows = rng.integers(0, max(1, n // 4), n)
        logits, labels = logits[rows], np.where(rng.random(n) < 0.7, labels[rows], labels)
    return torch.tensor(logits), torch.tensor(labels)


def by_sklearn(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    p = special.softmax(logits.double().numpy(), axis=1)
    y, hat, classes = labels.numpy(), logits.numpy().argmax(1), logits.shape[1]
    present = np.unique(y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of absent classes
        found = {
            "accuracy": sk.accuracy_score(y, hat),
            "balanced_accuracy": sk.balanced_accuracy_score(y, hat),
            "macro_f1": sk.f1_score(y, hat, average="macro", labels=present, zero_division=0),
            "mcc": sk.matthews_corrcoef(y, hat),
            "log_loss": sk.log_loss(y, p, labels=np.arange(classes)),
        }
    columns = [1] if classes == 2 else list(present)
    found["average_precision"] = np.mean([sk.average_precision_score(y == c, p[:, c]) for c in columns])
    found["auroc"] = np.mean([sk.roc_auc_score(y == c, p[:, c]) for c in columns])
    return found


CASES = {
    "balanced": {"n": 400, "classes": 10, "seed": 0},
    "imbalanced": {"n": 600, "classes": 6, "seed": 1, "skew": 0.8},
    "binary": {"n": 250, "classes": 2, "seed": 2, "skew": 1.5},
    "ties": {"n": 300, "classes": 4, "seed": 3, "ties": True},
    "binary ties": {"n": 300, "classes": 2, "seed": 4, "ties": True},
    "absent classes": {"n": 40, "classes": 12, "seed": 5, "skew": 1.0},
    "confident": {"n": 300, "classes": 3, "seed": 6, "signal": 30.0},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_points_agree_with_scikit_learn(case: dict) -> None:
    logits, labels = sample(**case)
    found = evaluate(logits, labels, names(case["classes"]), intervals=False)
    assert tuple(found.values) == METRICS
    for name, expected in by_sklearn(logits, labels).items():
        assert found.values[name].value == pytest.approx(expected, abs=1e-12), name
    np.testing.assert_array_equal(
        found.confusion, sk.confusion_matrix(labels, logits.argmax(1), labels=range(case["classes"]))
    )


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 60), classes=st.integers(2, 7), seed=st.integers(0, 10**6), ties=st.booleans())
def test_points_agree_on_small_generated_splits(n: int, classes: int, seed: int, ties: bool) -> None:
    logits, labels = sample(n, classes, seed, ties=ties)
    labels[:2] = torch.tensor([0, 1])  # two classes at least: AUROC and MCC are defined
    found = evaluate(logits, labels, names(classes), intervals=False).scalars()
    assert {k: found[k] for k in found if k != "ece"} == pytest.approx(by_sklearn(logits, labels), abs=1e-10)


def test_per_class_agrees_with_scikit_learn() -> None:
    logits, labels = sample(500, 5, 7, skew=0.7)
    found = evaluate(logits, labels, names(5)).per_class
    precision, recall, f1, n = sk.precision_recall_fscore_support(labels, logits.argmax(1))
    assert [c.name for c in found] == names(5)
    assert [c.n for c in found] == n.tolist()
    assert [c.precision.value for c in found] == pytest.approx(precision)
    assert [c.recall.value for c in found] == pytest.approx(recall)
    assert [c.f1.value for c in found] == pytest.approx(f1)
    for c in found:
        for e in (c.precision, c.recall, c.f1):
            assert e.low < e.value < e.high


def test_ece_against_its_formula() -> None:
    logits, labels = sample(2000, 5, 8)
    p = special.softmax(logits.numpy(), axis=1)
    confidence, correct = p.max(1), p.argmax(1) == labels.numpy()
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    found = evaluate(logits, labels, names(5), intervals=False).values["ece"].value
    assert found == pytest.approx(expected, abs=1e-12)
    assert expected > 0.05


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (7, 19), (980, 1000)])
def test_wilson_against_scipy(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    found = wilson(hits, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.low <= found.value <= found.high
    assert found.method == "Wilson"


@pytest.mark.parametrize(("hits", "n"), [(1, 10), (2, 50), (3, 51), (3, 1000)])
def test_wilsons_near_end_of_few_is_poissons(hits: int, n: int) -> None:
    """As Brown, Cai and DasGupta 2001, section 4.1.1: P(Poisson(n * low) < hits) is .95; and alike of few misses."""
    few, many = wilson(hits, n), wilson(n - hits, n)
    assert stats.poisson.cdf(hits - 1, n * few.low) == pytest.approx(0.95)
    assert few.high == pytest.approx(stats.binomtest(hits, n).proportion_ci(method="wilson").high)
    assert (1 - many.high, 1 - many.low) == pytest.approx((few.low, few.high))
    assert few.method == many.method == "Wilson, modified"
    assert wilson(3, 50).method == wilson(4, 51).method == "Wilson"


@pytest.mark.parametrize("n", [51, 100, 1000])
def test_wilson_holds_shares_near_0_and_1(n: int) -> None:
    """Exact coverage is .92 or more, where Wilson's of 1927 is .838."""
    hits = np.arange(n + 1)
    low, high = np.array([(e.low, e.high) for e in (wilson(int(k), n) for k in hits)]).T
    for share in np.geomspace(0.01 / n, 0.5, 200):
        for p in (share, 1 - share):
            held = stats.binom.pmf(hits, n, p)[(low <= p) & (p <= high)].sum()
            assert held > 0.92


def test_intervals_are_seeded_ordered_and_named() -> None:
    logits, labels = sample(300, 4, 10, skew=0.5)
    found = evaluate(logits, labels, names(4), seed=3)
    assert found == evaluate(logits, labels, names(4), seed=3)
    assert found.values["ece"] != evaluate(logits, labels, names(4), seed=4).values["ece"]
    assert {name: e.method for name, e in found.values.items()} == {
        "accuracy": "Wilson",
        "balanced_accuracy": "jackknife, score interval",
        "macro_f1": "jackknife, score interval",
        "mcc": "jackknife, score interval",
        "log_loss": "jackknife, log scale",
        "ece": "normal noise, bias allowed for",
        "auroc": "DeLong, score interval",
        "average_precision": "jackknife, score interval",
    }
    for e in found.values.values():
        assert e.low < e.value < e.high
    bare = evaluate(logits, labels, names(4), intervals=False)
    assert {k: e.value for k, e in bare.values.items()} == {k: e.value for k, e in found.values.items()}
    assert all(e.low is None and e.high is None for e in bare.values.values())


def test_coverage_of_the_intervals() -> None:
    """60 splits of 250 samples: a 95 % interval holds the truth in about 57; 51 allows for the noise."""
    population = evaluate(*sample(200_000, 3, 11), names(3), intervals=False).scalars()
    held = dict.fromkeys(METRICS, 0)
    widths = dict.fromkeys(METRICS, 0.0)
    repeats = 60
    for seed in range(repeats):
        logits, labels = sample(250, 3, 1000 + seed)
        for name, e in evaluate(logits, labels, names(3), seed=seed).values.items():
            held[name] += e.low <= population[name] <= e.high
            widths[name] += (e.high - e.low) / repeats
    assert min(held.values()) >= 51, held
    # 4 standard errors of a proportion near 0.83 of 250 are 0.095; macro averages are close to it
    assert widths["accuracy"] == pytest.approx(0.095, abs=0.015)
    assert widths["balanced_accuracy"] == pytest.approx(widths["accuracy"], rel=0.2)
    assert widths["macro_f1"] == pytest.approx(widths["accuracy"], rel=0.2)


def test_the_interval_of_ece_holds_zero_for_95_percent_of_calibrated_nets() -> None:
    rng = np.random.default_rng(12)
    n, held, repeats = 300, 0, 1500
    for _ in range(repeats):
        confidence = rng.uniform(0.3, 1.0, n)
        correct = rng.random(n) < confidence
        gaps, products = (of(confidence, correct) for of in (calibration.binned_gaps, calibration.moments))
        sizes = np.bincount(calibration.bins_of(confidence), minlength=calibration.BINS)
        wrong = int((~correct).sum())
        held += calibration.interval(gaps, products, sizes, wrong, n, rng).low == 0.0
    least, most = stats.binom.ppf([0.001, 0.999], repeats, 0.95)
    assert least <= held <= most


def overconfident(n: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Log odds (n, 2) twice those by which the labels (n,) were drawn."""
    odds = rng.normal(0, 1.5, n)
    labels = torch.from_numpy((rng.random(n) < special.expit(odds)).astype(np.int64))
    return torch.from_numpy(np.column_stack([np.zeros(n), 2 * odds])), labels


def test_the_lower_end_of_ece_counts_gaps_of_one_sign_together() -> None:
    """Hardly a bin's gap is clear among 200 samples, but their sum is: without it .3 of the lower ends were so high."""
    truth = (
        evaluate(*overconfident(400_000, np.random.default_rng(1)), names(2), intervals=False)
        .values["ece"]
        .value
    )
    found = [
        evaluate(*overconfident(200, np.random.default_rng(s)), names(2)).values["ece"] for s in range(300)
    ]
    shown = [e for e in found if e.low is not None]
    held = sum(e.low <= truth <= e.high for e in shown)
    assert held >= stats.binom.ppf(0.001, len(shown), 0.95)
    assert np.mean([e.low > 0.03 for e in shown]) > 0.5


@pytest.mark.parametrize(
    ("wrong", "says"), [(19, "none: only 19 errors"), (20, "normal noise"), (81, "right answers")]
)
def test_ece_of_few_errors_has_no_interval(wrong: int, says: str) -> None:
    logits, labels = torch.zeros(100, 2), torch.zeros(100, dtype=torch.int64)
    logits[:, 0] = torch.linspace(0.1, 2, 100)
    labels[:wrong] = 1
    found = evaluate(logits, labels, names(2)).values["ece"]
    assert says in found.method
    assert (found.low is None) is ("none" in found.method)


def test_a_perfect_score_has_the_interval_of_its_classes() -> None:
    labels = torch.arange(40) % 4
    found = evaluate(torch.eye(4)[labels] * 9, labels, names(4)).values
    assert (found["accuracy"].value, found["accuracy"].high) == (1.0, 1.0)
    assert found["accuracy"].low == pytest.approx(0.912, abs=1e-3)
    for name in ("balanced_accuracy", "macro_f1", "mcc", "auroc", "average_precision"):
        assert (found[name].value, found[name].high) == (1.0, 1.0)
        # four classes of 10 right answers: Wilson's end of each is 10 / (10 + z^2)
        assert found[name].low == pytest.approx(1 - (1 - 10 / (10 + 1.96**2)) / 2, abs=1e-4)
        assert found[name].method == "Newcombe, all agree"
    assert (found["log_loss"].low, found["log_loss"].method) == (None, "none: only 0 errors")


def test_absent_and_unpredicted_classes_are_none_and_survive_strict_json() -> None:
    labels = torch.tensor([0, 0, 1, 1, 1, 3])
    logits = torch.eye(5)[torch.tensor([0, 0, 0, 1, 1, 0])] * 3
    found = evaluate(logits, labels, names(5))
    _, _, absent, never, _ = found.per_class
    assert (absent.n, absent.recall.value, absent.precision.value, absent.f1.value) == (0, None, None, None)
    assert (never.n, never.recall.value, never.precision.value, never.f1.value) == (1, 0.0, None, 0.0)
    assert found.values["balanced_accuracy"].value == pytest.approx((1 + 2 / 3 + 0) / 3)
    stored = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert Metrics.from_dict(stored) == found


@pytest.mark.parametrize("intervals", [True, False])
def test_a_split_of_one_class(intervals: bool) -> None:
    logits = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    found = evaluate(logits, torch.zeros(20, dtype=torch.int64), names(2), intervals=intervals)
    assert [k for k, e in found.values.items() if e.value is None] == ["mcc", "auroc", "average_precision"]
    assert "auroc" not in found.scalars()
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_majority_classifier_has_mcc_zero_and_auroc_one_half() -> None:
    labels = torch.tensor([0] * 8 + [1] * 2)
    found = evaluate(torch.tensor([[1.0, 0.0]]).expand(10, 2), labels, names(2)).scalars()
    assert found["mcc"] == 0.0
    assert found["auroc"] == pytest.approx(0.5)
    assert found["balanced_accuracy"] == pytest.approx(0.5)
    assert found["average_precision"] == pytest.approx(0.2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_logits_are_refused(bad: float) -> None:
    logits, labels = sample(10, 3, 13)
    logits[2, 0] = logits[2, 1] = logits[7, 2] = bad
    with pytest.raises(ValueError, match="non-finite logits in 2 of 10 samples"):
        evaluate(logits, labels, names(3))


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((4, 3), [0, 1, 2], r"expected logits \(N, 3\)"),
        ((4, 2), [0, 1, 1, 0], r"expected logits \(N, 3\)"),
        ((4, 3), [0, 1, 2, 3], r"0 \.\. 2, got 0 \.\. 3"),
        ((4, 3), [0, -1, 2, 1], r"got -1 \.\. 2"),
        ((0, 3), [], "the split is empty"),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple[int, int], labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(torch.zeros(shape), torch.tensor(labels, dtype=torch.int64), names(3))


def test_decisions_replace_the_most_probable_class() -> None:
    logits, labels = sample(500, 4, 20, skew=0.8)
    plain = evaluate(logits, labels, names(4))
    assert evaluate(logits, labels, names(4), decisions=logits.numpy().argmax(1)) == plain
    answers = (logits + torch.tensor([0.0, 0.5, 1.0, 1.5])).numpy().argmax(1)
    found = evaluate(logits, labels, names(4), decisions=answers)
    expected = sk.confusion_matrix(labels, answers, labels=range(4))
    np.testing.assert_array_equal(found.confusion, expected)
    assert found.values["macro_f1"].value == pytest.approx(sk.f1_score(labels, answers, average="macro"))
    for name in ("log_loss", "auroc", "average_precision"):
        assert found.values[name].value == plain.values[name].value
    confidence = special.softmax(logits.numpy(), axis=1)[np.arange(500), answers]
    gaps = calibration.binned_gaps(confidence, answers == labels.numpy())
    assert found.values["ece"].value == pytest.approx(calibration.error(gaps, 500))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decisions": np.zeros(9, np.int64)}, r"expected decisions: integers \(10,\)"),
        ({"decisions": np.zeros(10)}, "got float64"),
        ({"decisions": np.full(10, 3)}, r"decisions must lie in 0 \.\. 2"),
        ({"decisions": np.full(10, -1)}, r"decisions must lie in 0 \.\. 2"),
        ({"class_counts": (5, 5)}, "expected 3 class_counts, got 2"),
    ],
)
def test_decisions_and_counts_that_do_not_fit_are_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(*sample(10, 3, 21), names(3), **given)


def test_groups_by_training_samples() -> None:
    """Bounds as published: more than 100, 20 to 100, fewer than 20; a class without test samples has no recall."""
    logits, labels = sample(600, 7, 22)
    there = labels != 6
    logits, labels = logits[there], labels[there]
    trained = (101, 5000, 100, 20, 19, 0, 1)
    found = evaluate(logits, labels, names(7), class_counts=trained)
    recall = [c.recall.value for c in found.per_class]
    expected = {"many": (2, recall[:2]), "medium": (2, recall[2:4]), "few": (3, recall[4:6])}
    assert list(found.groups) == list(expected)
    for name, (classes, recalls) in expected.items():
        group = found.groups[name]
        assert group.classes == classes
        assert group.recall.value == pytest.approx(np.mean(recalls))
        assert 0 <= group.recall.low < group.recall.value < group.recall.high <= 1
        deviation = np.sqrt(sum(r * (1 - r) / (len(labels) / 6) for r in recalls)) / len(recalls)
        assert group.recall.high - group.recall.low == pytest.approx(2 * 1.96 * deviation, rel=0.25)
    everything = evaluate(logits, labels, names(7), class_counts=[500] * 7)
    assert everything.groups["many"].recall == everything.values["balanced_accuracy"]
    fast = evaluate(logits, labels, names(7), class_counts=trained, intervals=False)
    assert fast.groups["few"].recall.value == found.groups["few"].recall.value
    assert Metrics.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_results_stored_before_there_were_groups_are_read() -> None:
    found = evaluate(*sample(50, 3, 23), names(3))
    assert found.groups == {}
    stored = found.to_dict()
    del stored["groups"]
    assert Metrics.from_dict(stored) == found


def test_half_precision_and_large_logits_are_exact_in_float64() -> None:
    logits = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]], dtype=torch.float16)
    for half in (logits, logits.numpy(), logits.bfloat16().float()):  # NumPy has no bfloat16
        found = evaluate(half, torch.tensor([0, 0]), names(2), intervals=False)
        assert found.values["log_loss"].value == pytest.approx(500.0)


def test_few_resamples_give_a_standard_error_interval() -> None:
    few = percentiles(0.5, np.random.default_rng(0).normal(0.5, 0.1, size=50))
    assert few.method == "bootstrap SE, 50 resamples"
    assert few.high - few.low == pytest.approx(2 * 1.96 * 0.1, rel=0.3)
    assert percentiles(0.5, np.array([0.4, np.nan] * 100)).method.startswith("none")
    assert percentiles(math.nan, np.ones(200)).value is None


def test_calibration_bins_take_their_upper_edge() -> None:
    gaps = calibration.binned_gaps(np.array([1 / 15, 1.0, 0.5]), np.array([False, False, False]))
    assert np.flatnonzero(gaps).tolist() == [0, 7, 14]


def test_monitor_names() -> None:
    lower = {name for name in METRICS if not higher_is_better(f"val/{name}")}
    assert {"log_loss", "ece"} <= lower
    assert not {"accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc", "average_precision"} & lower
    assert not higher_is_better("val/loss")
    assert higher_is_better("accuracy")


def test_the_path_of_every_epoch_is_cheap_and_the_other_bounded() -> None:
    """CPU seconds, generous against a busy machine; measured 8 ms and 1.2 s."""
    logits, labels = sample(10_000, 10, 14)
    many = sample(100_000, 10, 15)
    spent = []
    for _ in range(5):
        start = time.process_time()
        evaluate(logits, labels, names(10), intervals=False)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.03
    start = time.process_time()
    evaluate(*many, names(10))
    assert time.process_time() - start < 6


def test_metrics_import_no_torch() -> None:
    code = "import sys, leyden.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_of_many_classes_nothing_grows_with_their_square() -> None:
    """3,000 classes: no matrix, the most frequent confusions, the classes with the lowest recall; values as ever."""
    rng = np.random.default_rng(12)
    classes, n = 3000, 600
    labels = rng.integers(0, classes, n)
    labels[:40] = 7
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += 3.0
    logits[:30, 2999] += 30.0  # thirty of class 7 are taken for the last
    found = evaluate(logits, labels, names(classes), intervals=False)
    answers = logits.argmax(1)
    assert found.confusion == []
    assert (found.confusions[0].true, found.confusions[0].predicted) == (
        names(classes)[7],
        names(classes)[2999],
    )
    assert found.confusions[0].n == 30
    assert sum(pair.n for pair in found.confusions) == int((answers != labels).sum())
    assert found.values["accuracy"].value == pytest.approx(sk.accuracy_score(labels, answers))
    assert found.values["mcc"].value == pytest.approx(sk.matthews_corrcoef(labels, answers))
    probabilities = np.exp(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
    expected = [sk.roc_auc_score(labels == c, probabilities[:, c]) for c in np.unique(labels)]
    assert found.values["auroc"].value == pytest.approx(np.mean(expected))
    stored = found.to_dict()["per_class"]
    assert len(found.per_class) == classes
    assert len(stored) == len(np.unique(labels))  # under 1,000 have samples
    assert [row["recall"]["value"] for row in stored] == sorted(row["recall"]["value"] for row in stored)
    again = Metrics.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.confusions == found.confusions


def test_the_most_probable_classes_and_the_true_one() -> None:
    rng = np.random.default_rng(13)
    logits, labels = rng.normal(size=(50, 1500)), rng.integers(0, 1500, 50)
    classes, probabilities = most_probable(logits, labels, 20)
    everything = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_array_equal(classes[:, -1], labels)
    np.testing.assert_array_equal(classes[:, :-1], np.argsort(-everything, axis=1)[:, :20])
    np.testing.assert_allclose(probabilities, np.take_along_axis(everything, classes, axis=1), rtol=1e-5)
