"""Multi-label metrics against scikit-learn, at their edges, and their intervals by simulation."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn import metrics as sk

from leyden.metrics import higher_is_better
from leyden.metrics.calibration import binned_gaps, error
from leyden.metrics.multilabel import evaluate_multilabel
from leyden.metrics.results import MULTILABEL_METRICS, MultilabelMetrics


def names(labels: int) -> list[str]:
    return [f"l{i}" for i in range(labels)]


def sample(
    n: int, labels: int, seed: int, *, share: float = 0.3, signal: float = 1.5, ties: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Logits with a signal, rarer towards the last label; the labels of a sample depend on each other."""
    rng = np.random.default_rng(seed)
    inclined = rng.normal(size=(n, 1))
    chance = special.expit(special.logit(share * 0.8 ** np.arange(labels)) + inclined)
    targets = (rng.random((n, labels)) < chance).astype(np.int64)
    logits = signal * (targets - 0.5) + rng.normal(size=(n, labels))
    return (logits.round(0) if ties else logits), targets


def by_sklearn(z: np.ndarray, y: np.ndarray, decided: np.ndarray | None = None) -> dict[str, float]:
    hat = (z > 0 if decided is None else decided).astype(np.int64)
    present = np.flatnonzero(y.any(0))
    both = np.flatnonzero(y.any(0) & ~y.all(0))
    p = special.expit(z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of labels without positives
        found = {
            "average_precision_micro": sk.average_precision_score(y, z, average="micro"),
            "micro_f1": sk.f1_score(y.ravel(), hat.ravel()),
            "sample_f1": sk.f1_score(y, hat, average="samples", zero_division=1.0),
            "subset_accuracy": sk.accuracy_score(y, hat),
            "hamming_loss": sk.hamming_loss(y, hat),
            "log_loss": sk.log_loss(y.ravel(), p.ravel(), labels=[0, 1]),
            "macro_f1": sk.f1_score(y, hat, average="macro", labels=present, zero_division=0),
        }
    found["average_precision"] = np.mean([sk.average_precision_score(y[:, c], z[:, c]) for c in present])
    if len(both):
        found["auroc"] = np.mean([sk.roc_auc_score(y[:, c], z[:, c]) for c in both])
    return found


CASES = {
    "plain": {"n": 400, "labels": 8, "seed": 0},
    "ties": {"n": 300, "labels": 5, "seed": 1, "ties": True},
    "rare": {"n": 60, "labels": 15, "seed": 2, "share": 0.1},
    "confident": {"n": 200, "labels": 4, "seed": 3, "signal": 30.0},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_points_agree_with_scikit_learn(case: dict) -> None:
    z, y = sample(**case)
    found = evaluate_multilabel(z, y, names(case["labels"]), intervals=False)
    assert tuple(found.values) == MULTILABEL_METRICS
    assert found.n == len(y)
    for name, expected in by_sklearn(z, y).items():
        assert found.values[name].value == pytest.approx(expected, abs=1e-9), name


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 40), labels=st.integers(2, 6), seed=st.integers(0, 10**6), ties=st.booleans())
def test_points_agree_on_small_generated_splits(n: int, labels: int, seed: int, ties: bool) -> None:
    z, y = sample(n, labels, seed, ties=ties)
    y[0, 0] = 1  # one positive at least: average precision is defined
    found = evaluate_multilabel(z, y, names(labels), intervals=False).scalars()
    found.pop("ece")
    assert found == pytest.approx(by_sklearn(z, y), abs=1e-9)


def test_decisions_of_ones_own() -> None:
    z, y = sample(200, 6, 5)
    decided = z > np.linspace(-1, 1, 6)
    found = evaluate_multilabel(z, y, names(6), decisions=decided, intervals=False).values
    for name, expected in by_sklearn(z, y, decided).items():
        assert found[name].value == pytest.approx(expected, abs=1e-9), name
    p = special.expit(z)
    gaps = binned_gaps(np.where(decided, p, 1 - p).ravel(), (decided == y).ravel())
    assert found["ece"].value == pytest.approx(float(error(gaps, z.size)), abs=1e-12)


def test_per_label_agrees_with_scikit_learn() -> None:
    z, y = sample(500, 5, 6)
    found = evaluate_multilabel(z, y, names(5)).per_label
    precision, recall, f1, n = sk.precision_recall_fscore_support(y, z > 0)
    assert [label.name for label in found] == names(5)
    assert [label.n for label in found] == n.tolist()
    assert [label.precision.value for label in found] == pytest.approx(precision)
    assert [label.recall.value for label in found] == pytest.approx(recall)
    assert [label.f1.value for label in found] == pytest.approx(f1)
    expected = sk.average_precision_score(y, z, average=None)
    assert [label.average_precision.value for label in found] == pytest.approx(expected)
    for label in found:
        for e in (label.precision, label.recall, label.f1, label.average_precision):
            assert e.low < e.value < e.high
        assert label.recall.method == "Wilson"


def test_a_perfect_net() -> None:
    _, y = sample(50, 4, 7)
    y[0] = 1
    values = evaluate_multilabel(1000.0 * (2 * y - 1), y, names(4)).scalars()
    zero = ("hamming_loss", "log_loss", "ece")
    assert values == pytest.approx({name: 0.0 if name in zero else 1.0 for name in MULTILABEL_METRICS})


def test_labels_without_positives_or_negatives_are_left_out_of_means() -> None:
    z, y = sample(60, 4, 8)
    y[:, 1], y[:, 3] = 0, 1
    found = evaluate_multilabel(z, y, names(4))
    none, every = found.per_label[1], found.per_label[3]
    assert (none.n, none.recall.value, none.average_precision.value) == (0, None, None)
    assert none.f1.value == 0.0  # it is predicted
    assert (every.n, every.average_precision.value) == (60, 1.0)
    assert found.values["auroc"].value == pytest.approx(sk.roc_auc_score(y[:, [0, 2]], z[:, [0, 2]]))
    precision = sk.average_precision_score(y[:, [0, 2, 3]], z[:, [0, 2, 3]])
    assert found.values["average_precision"].value == pytest.approx(precision)
    f1 = sk.f1_score(y[:, [0, 2, 3]], z[:, [0, 2, 3]] > 0, average="macro")
    assert found.values["macro_f1"].value == pytest.approx(f1)


def test_a_split_without_any_label() -> None:
    y = np.zeros((5, 3))
    found = evaluate_multilabel(np.full((5, 3), -2.0), y, names(3)).values
    undefined = ("average_precision", "average_precision_micro", "auroc", "macro_f1", "micro_f1")
    assert all(found[name].value is None for name in undefined)
    assert found["sample_f1"].value == found["subset_accuracy"].value == 1.0
    assert found["hamming_loss"].value == 0.0


@pytest.mark.parametrize("positive", [False, True])
def test_one_sample(positive: bool) -> None:
    found = evaluate_multilabel([[0.5, -0.5]], [[int(positive), 0]], names(2))
    assert found.values["hamming_loss"].value == (0.0 if positive else 0.5)
    assert found.values["sample_f1"].value == (1.0 if positive else 0.0)
    assert found.values["auroc"].value is None


def test_one_label_is_the_only_one_of_every_average() -> None:
    z, y = sample(100, 1, 4)
    values = evaluate_multilabel(z, y, names(1)).scalars()
    assert values["macro_f1"] == pytest.approx(values["micro_f1"])
    assert values["average_precision"] == pytest.approx(values["average_precision_micro"])
    assert values["subset_accuracy"] == pytest.approx(1 - values["hamming_loss"])


def test_a_logit_of_zero_is_no() -> None:
    assert evaluate_multilabel([[0.0]], [[0]], names(1)).values["subset_accuracy"].value == 1.0


BAD = {
    "NaN": ([[np.nan, 0.0]], [[0, 1]], "non-finite logits in 1 of 1"),
    "infinite": ([[np.inf, 0.0], [0.0, 0.0]], [[0, 1], [0, 1]], "non-finite logits in 1 of 2"),
    "shape": ([[0.0, 0.0]], [[0, 1, 1]], r"expected logits and targets \(N, 2\)"),
    "labels": ([[0.0]], [[0]], r"expected logits and targets \(N, 2\)"),
    "one axis": ([0.0, 1.0], [0, 1], "expected logits and targets"),
    "empty": (np.zeros((0, 2)), np.zeros((0, 2)), "0 samples"),
    "targets": ([[0.0, 0.0]], [[0, 2]], "targets must be 0 or 1"),
    "NaN target": ([[0.0, 0.0]], [[0, np.nan]], "targets must be 0 or 1"),
}


@pytest.mark.parametrize(("z", "y", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_refused(z: object, y: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_multilabel(np.array(z), np.array(y), names(2))


def test_no_labels_and_wrong_decisions_are_refused() -> None:
    with pytest.raises(ValueError, match="0 labels"):
        evaluate_multilabel(np.zeros((3, 0)), np.zeros((3, 0)), [])
    for decided in (np.zeros((1, 1), bool), np.zeros((1, 2))):
        with pytest.raises(ValueError, match="expected decisions"):
            evaluate_multilabel([[0.0, 1.0]], [[0, 1]], names(2), decisions=decided)


def test_json_and_back() -> None:
    z, y = sample(120, 6, 9, share=0.1)
    y[:, 5] = 0
    found = evaluate_multilabel(z, y, names(6))
    stored = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert MultilabelMetrics.from_dict(stored) == found
    assert found == evaluate_multilabel(z, y, names(6))  # the seed fixes the intervals
    assert found != evaluate_multilabel(z, y, names(6), seed=1)


def test_intervals_hold_the_truth() -> None:
    """In 60 splits of 150 samples each 95 % interval holds the value of 250,000 in 51 or more (P = .999)."""
    truth = evaluate_multilabel(*sample(250_000, 4, 10), names(4), intervals=False).values
    inside = dict.fromkeys(set(MULTILABEL_METRICS) - {"ece"}, 0)
    for seed in range(60):
        found = evaluate_multilabel(*sample(150, 4, 100 + seed), names(4), seed=seed).values
        for name in inside:
            inside[name] += found[name].low <= truth[name].value <= found[name].high
    assert min(inside.values()) >= 51, inside


def test_the_direction_of_every_metric() -> None:
    lower = {name for name in MULTILABEL_METRICS if not higher_is_better(f"val/{name}")}
    assert lower == {"hamming_loss", "log_loss", "ece"}
