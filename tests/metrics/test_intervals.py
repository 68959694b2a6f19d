"""Intervals against published figures and derivatives, and their coverage near the edges of the range by simulation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats
from sklearn import metrics as sk

from leyden.metrics import evaluate, ranking
from leyden.metrics.confusion import Cells, Counts
from leyden.metrics.intervals import (
    ANY,
    AT_MOST_ONE,
    CORRELATION,
    POSITIVE,
    SHARE,
    by_influence,
    f1,
    mean_loss,
    newcombe,
    wilson,
)
from leyden.metrics.matrix_intervals import f1_influences, macro_f1, mean_recall, of_cells
from leyden.metrics.multilabel import evaluate_multilabel
from leyden.metrics.regression import _Target, evaluate_regression


def names(classes: int) -> list[str]:
    return [f"c{i}" for i in range(classes)]


def fewest(repeats: int, chance: float = 0.95) -> int:
    """So many hits or more in 99.9 % of cases."""
    return int(stats.binom.ppf(0.001, repeats, chance))


def ratings() -> tuple[np.ndarray, np.ndarray]:
    """Of Hanley and McNeil 1982, table 1: 58 normal and 51 abnormal images, rated 1 to 5."""
    normal, abnormal = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)
    scores = np.concatenate([np.repeat(np.arange(1.0, 6.0), counts) for counts in (normal, abnormal)])
    return scores, np.repeat([False, True], [58, 51])


def test_auroc_of_the_published_ratings() -> None:
    """Area .8932 with DeLong's standard error .0307, as Stata's manual has them (roctab)."""
    scores, positive = ratings()
    ranked = ranking.rank(scores, positive)
    influence, _ = ranking.influences(ranked)
    assert ranking.areas(ranked)[0] == pytest.approx(0.8932, abs=5e-5)
    assert math.sqrt((influence**2).sum()) == pytest.approx(0.0307, abs=5e-5)


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_influences_of_areas_are_their_derivatives(digits: int) -> None:
    """By the weight of a sample in scikit-learn's areas, with and without ties."""
    rng = np.random.default_rng(digits)
    positive = rng.random(60) < 0.4
    scores = (rng.normal(size=60) + positive).round(digits)
    hits, step = int(positive.sum()), 1e-5
    found = ranking.influences(ranking.rank(scores, positive))
    # variances divide by P - 1, DeLong's by M - 1, too
    of_positives = np.where(positive, math.sqrt((hits - 1) / hits), 1.0)
    scaled = np.where(positive, of_positives, math.sqrt((59 - hits) / (60 - hits)))
    areas = (sk.roc_auc_score, sk.average_precision_score)
    for area, influence in zip(areas, (found[0] * scaled, found[1] * of_positives), strict=True):
        plain = area(positive, scores)
        for i in range(60):
            weights = np.ones(60)
            weights[i] += step
            slope = (area(positive, scores, sample_weight=weights) - plain) / step
            assert influence[i] == pytest.approx(slope, abs=1e-5)


def test_average_precision_of_few_positives_is_corrected() -> None:
    """Of 10 positives among 100, whose mean average precision is .03 above that of 200,000 samples."""
    rng = np.random.default_rng(5)

    def draw(positives: int, n: int) -> ranking.Ranked:
        positive = np.arange(n) < positives
        return ranking.rank(rng.normal(size=n) + positive, positive)

    truth = ranking.areas(draw(20_000, 200_000))[1]
    found = np.array(
        [(ranking.areas(few)[1], ranking.bias(few)) for few in (draw(10, 100) for _ in range(2000))]
    )
    biased, corrected = found[:, 0].mean() - truth, (found[:, 0] - found[:, 1]).mean() - truth
    assert biased > 0.02
    assert abs(corrected) < biased / 2
    few = draw(10, 100)
    area, shown = ranking.areas(few)[1], ranking.intervals([few], 100)[1]
    middle = (special.logit(shown.low) + special.logit(shown.high)) / 2
    assert (shown.value, special.expit(middle)) == pytest.approx((area, area - ranking.bias(few)))
    # hits at ranks 2 and 3: precision 1/2 and 2/3, share 1/2 and 1
    few = ranking.rank(np.array([4.0, 3.0, 2.0, 1.0]), np.array([False, True, True, False]))
    assert ranking.bias(few) == pytest.approx((1 / 2 / 2 * (1 + 1 / 4) + 1 / 3 / 3 * 2 / 3) / 2)


def test_influences_of_regression_are_its_derivatives() -> None:
    """By many copies of one sample among copies of all."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=30).round()  # many ties
    predicted = (truth + rng.normal(size=30)).round()
    wide = {
        name: (e.value, e.low)
        for name, e in evaluate_regression(predicted[:, None], truth[:, None], ["y"]).values.items()
    }
    for name in wide:
        value, influence = _Target(predicted, truth).measure(name)
        assert value == pytest.approx(wide[name][0])
        assert influence.sum() == pytest.approx(0.0, abs=1e-12)
        for i in (0, 7, 29):
            copies = np.repeat(np.arange(30), 1000)
            more = np.append(copies, np.full(3, i))  # a weight of 1.003
            slope = (_Target(predicted[more], truth[more]).measure(name)[0] - value) / 0.003
            assert influence[i] == pytest.approx(slope, rel=0.01, abs=2e-4)


def test_influences_of_macro_f1_are_its_derivatives_with_many_samples() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 90_000)
    answers = np.where(rng.random(90_000) < 0.7, labels, rng.integers(0, 3, 90_000))
    cells = Cells.of(labels, answers, 3)
    hit, miss = f1_influences(Counts.of(cells))
    for true, called, expected in ((0, 0, hit[0]), (1, 2, miss[1] + miss[2])):
        more_labels, more_answers = np.append(labels, [true] * 90), np.append(answers, [called] * 90)
        before, after = (
            float(Counts.of(Cells.of(y, z, 3)).macro_f1())
            for y, z in ((labels, answers), (more_labels, more_answers))
        )
        assert expected == pytest.approx((after - before) / 90, rel=0.01)


def test_the_variance_of_mcc_is_that_of_its_derivatives() -> None:
    rng = np.random.default_rng(7)
    labels = rng.choice(3, 9000, p=[0.6, 0.3, 0.1])
    answers = np.where(rng.random(9000) < 0.6, labels, rng.integers(0, 3, 9000))
    cells = Cells.of(labels, answers, 3)
    value, variance = float(Counts.of(cells).mcc()), 0.0
    for true, called, count in zip(cells.rows, cells.columns, cells.counts, strict=True):
        more = Cells.of(np.append(labels, [true] * 9), np.append(answers, [called] * 9), 3)
        variance += count * ((float(Counts.of(more).mcc()) - value) / 9) ** 2
    found = of_cells(cells, Counts.of(cells))["mcc"]
    reach = (math.atanh(found.high) - math.atanh(found.low)) / 2 * (1 - value**2)
    assert reach == pytest.approx(1.96 * math.sqrt(variance), rel=0.01)


def test_macro_f1_of_few_samples_is_corrected() -> None:
    """F1 = 2 J / (1 + J) of J = 30 / 46 and 8 / 16 is too low by half its second derivative times the variance of J."""
    counts = Counts(np.array([30, 8]), np.array([40, 10]), np.array([36, 14]))
    bias = -sum(2 * j * (1 - j) / (1 + j) ** 3 / either / 2 for j, either in ((30 / 46, 46), (1 / 2, 16)))
    found = macro_f1(counts, np.tile([0.01, -0.01], 50))
    middle = (special.logit(found.low) + special.logit(found.high)) / 2
    assert special.expit(middle) == pytest.approx(found.value - bias)


def delete_one(scalars: Callable[[NDArray], dict[str, float]], n: int) -> dict[str, float]:
    """Standard error of each metric by the jackknife (Tukey 1958), of `scalars` of the samples that are kept."""
    found = [scalars(np.arange(n) != left) for left in range(n)]
    return {name: math.sqrt(n - 1) * np.std([each[name] for each in found]) for name in found[0]}


def test_labels_intervals_are_as_wide_as_the_jackknifes() -> None:
    rng = np.random.default_rng(8)
    n = 150
    y = rng.random((n, 3)) < 0.4 + 0.3 * rng.choice([-1, 1], (n, 1))
    z = y - 0.5 + rng.normal(size=(n, 3)) + 0.7 * rng.normal(size=(n, 1))
    errors = delete_one(
        lambda kept: evaluate_multilabel(z[kept], y[kept], names(3), intervals=False).scalars(), n
    )
    found = evaluate_multilabel(z, y, names(3)).values
    for name in ("average_precision_micro", "macro_f1", "micro_f1", "sample_f1", "hamming_loss"):
        e = found[name]
        reach = (special.logit(e.high) - special.logit(e.low)) / 2 * e.value * (1 - e.value)
        assert reach == pytest.approx(2 * errors[name], rel=0.06), name


def test_intervals_of_values_are_as_wide_as_the_jackknifes() -> None:
    rng = np.random.default_rng(9)
    n = 200
    y = rng.normal(size=(n, 1))
    p = y + 0.5 * rng.normal(size=(n, 1))
    errors = delete_one(
        lambda kept: evaluate_regression(p[kept], y[kept], ["y"], intervals=False).scalars(), n
    )
    found = evaluate_regression(p, y, ["y"]).values
    scales = {"mae": (np.log, lambda v: v), "r2": (lambda v: -np.log(1 - v), lambda v: 1 - v)}
    scales |= {"spearman": (np.arctanh, lambda v: 1 - v**2), "rmse": (lambda v: -1 / v, lambda v: v**2)}
    for name, (there, slope) in scales.items():
        e = found[name]
        assert (there(e.high) - there(e.low)) / 2 * slope(e.value) == pytest.approx(
            2 * errors[name], rel=0.08
        ), name
    # Hoeffding 1948
    rho, tau = found["spearman"].value, stats.kendalltau(p[:, 0], y[:, 0]).statistic
    middle = np.tanh((np.arctanh(found["spearman"].low) + np.arctanh(found["spearman"].high)) / 2)
    assert middle == pytest.approx(rho - 3 * (tau - rho) / (n - 2), abs=1e-6)


def coverages(n: int, share: float) -> tuple[float, list[float]]:
    """How often the interval of a share holds it, exactly; and how often any can that holds it for a run of counts."""
    counts = np.arange(n + 1)
    chances = stats.binom.pmf(counts, n, share)
    likely = counts[chances > 1e-9]
    ends = [wilson(int(count), n) for count in likely]
    held = [e.low - 1e-9 <= share <= e.high + 1e-9 for e in ends]  # type: ignore[operator]
    below = np.concatenate([[0.0], np.cumsum(chances[likely])])
    return float(chances[likely][held].sum()), sorted(set(np.subtract.outer(below, below).ravel()))


@pytest.mark.parametrize("n", [100, 300, 1000, 5000])
@pytest.mark.parametrize("share", [0.6, 0.9, 0.98, 0.998])
def test_a_share_is_covered_in_93_to_97_percent_where_whole_counts_allow_it(n: int, share: float) -> None:
    covered, possible = coverages(n, share)
    if any(0.93 <= one <= 0.97 for one in possible):
        assert 0.93 <= covered <= 0.97
    else:  # less than one error is expected: the least possible above
        assert n * (1 - share) < 1
        assert covered == pytest.approx(next(one for one in possible if one > 0.97))


def test_less_than_an_error_leaves_no_coverage_between_93_and_97_percent() -> None:
    """The figures of docs/result.md."""
    for n, wanted in ((100, (0.819, 0.983)), (300, (0.878, 0.977))):
        covered, possible = coverages(n, 0.998)
        assert (possible[np.searchsorted(possible, 0.95) - 1], covered) == pytest.approx(wanted, abs=5e-4)


def test_newcombe_is_the_sum_of_squares_of_wilsons_distances() -> None:
    found = newcombe(np.array([9, 40]), np.array([10, 100]))
    ends = [stats.binomtest(k, n).proportion_ci(method="wilson") for k, n in ((9, 10), (40, 100))]
    low = math.hypot(0.9 - ends[0].low, 0.4 - ends[1].low) / 2
    assert (found.value, found.low) == (pytest.approx(0.65), pytest.approx(0.65 - low))


def test_f1_is_wilsons_of_the_share_of_hits() -> None:
    found = f1(30, 50)
    low = stats.binomtest(30, 50).proportion_ci(method="wilson").low
    assert (found.value, found.low) == (pytest.approx(60 / 80), pytest.approx(2 * low / (1 + low)))
    assert f1(0, 0).value is None


@pytest.mark.parametrize(
    ("bounds", "there"),
    [
        (SHARE, lambda v: math.log(v / (1 - v))),
        (CORRELATION, lambda v: 2 * math.atanh(v)),
        (POSITIVE, math.log),
        (AT_MOST_ONE, lambda v: -math.log(1 - v)),
    ],
)
def test_an_interval_is_even_on_its_scale_and_within_the_range(bounds: tuple, there) -> None:
    influence = np.tile([0.003, -0.003], 5000)
    found = by_influence(0.3, influence, bounds)
    value, low, high = (there(v) for v in (0.3, found.low, found.high))
    assert value - low == pytest.approx(high - value, rel=1e-6)
    near = by_influence(0.3, influence * 1e-3, bounds)
    assert near.high - near.low == pytest.approx(2 * 1.96 * 3e-6 * 100, rel=1e-2)
    wide = by_influence(0.3, influence * 100, bounds)
    assert bounds[0] <= wide.low < 0.3 < wide.high <= bounds[1]


@pytest.mark.parametrize(
    ("deciding", "skewed", "freedom"), [(20, False, 48.0), (20, True, 24.0), (2, True, 6.0)]
)
def test_where_few_samples_decide_the_quantile_is_students(
    deciding: int, skewed: bool, freedom: float
) -> None:
    """Of 20 samples among 120 freedom is 2 / (1 / 20 - 1 / 120), or half of it; and 6 or more."""
    influence = np.append(np.zeros(100), np.tile([0.01, -0.01], deciding // 2))
    n = len(influence)
    found = by_influence(5.0, influence, ANY, skewed=skewed)
    error = 0.01 * math.sqrt(deciding * n / (n - 1))
    assert found.high - 5.0 == pytest.approx(stats.t.ppf(0.975, freedom) * error)


@pytest.mark.parametrize(("hits", "n"), [(50, 100), (97, 100), (4980, 5000)])
def test_of_a_share_the_interval_from_influences_is_wilsons(hits: int, n: int) -> None:
    """With n - 1 and Student's t; an end is as many of its own standard errors away as the quantile says."""
    share, quantile = hits / n, stats.t.ppf(0.975, n - 1)
    influence = np.repeat([1 - share, -share], [hits, n - hits]) / n
    found = by_influence(share, influence, SHARE, of_counts=True)
    for end in (found.low, found.high):
        assert abs(share - end) == pytest.approx(quantile * math.sqrt(end * (1 - end) / (n - 1)))
    stretched = by_influence(2 * share - 1, 2 * influence, CORRELATION, of_counts=True)
    assert (stretched.low, stretched.high) == pytest.approx((2 * found.low - 1, 2 * found.high - 1))


def test_errors_of_unequal_weight_make_the_interval_of_counts_wider() -> None:
    """Ten errors of one class in ten: freedom is 1 over the kurtosis beyond a share's, and 6 or more."""
    even, uneven = np.full(10, -0.01), np.append(np.full(9, -0.002), -0.082)
    reaches = []
    for errors in (even, uneven):
        influence = np.append(np.full(990, -errors.sum() / 990), errors) / 10
        found = by_influence(0.99, influence, SHARE, of_counts=True)
        error = math.sqrt((influence**2).sum())
        reaches.append((found.high - found.low) / error)
    assert reaches[0] < 4.2
    assert reaches[1] > 5


def test_of_equal_classes_balanced_accuracy_has_the_interval_of_accuracy() -> None:
    """Ten errors of 5,000 samples, one of each class: by Student's t alone its reach would be 7 % more or so."""
    labels = np.repeat(np.arange(10), 500)
    answers = labels.copy()
    answers[::500] = (labels[::500] + 1) % 10
    cells = Cells.of(labels, answers, 10)
    found, accuracy = of_cells(cells, Counts.of(cells)), wilson(4990, 5000)
    for name in ("balanced_accuracy", "macro_f1"):
        low, high = found[name].low, found[name].high
        assert high - low == pytest.approx(accuracy.high - accuracy.low, rel=0.05)
    assert found["mcc"].high - found["mcc"].low == pytest.approx(
        (accuracy.high - accuracy.low) / 0.9, rel=0.05
    )


def test_an_interval_is_about_the_value_without_its_bias() -> None:
    influence = np.tile([0.001, -0.001], 500)
    plain, moved = (by_influence(5.0, influence, ANY, bias=bias) for bias in (0.0, 0.5))
    assert (moved.value, moved.low, moved.high) == pytest.approx((5.0, plain.low - 0.5, plain.high - 0.5))
    # at most half way to a bound
    assert (
        by_influence(0.9, influence, SHARE, bias=-0.5).low
        < 0.95
        < by_influence(0.9, influence, SHARE, bias=-0.5).high
    )


def test_no_interval_of_a_mean_where_a_rarer_class_has_no_errors() -> None:
    """Its share of the variance is unknown; a class as frequent as the others may have none."""
    rng = np.random.default_rng(6)
    labels = np.repeat([0, 1, 2], [100, 100, 20])
    scores = rng.random((220, 3))
    scores[labels == 2, 2] = 2.0
    scores[labels != 2, 2] = -2.0
    found = ranking.intervals([ranking.rank(scores[:, c], labels == c) for c in range(3)], 220)
    assert {e.method for e in found} == {"none: a rarer class has no errors"}
    labels = np.where((labels == 2) | (np.arange(220) < 60), 2, labels)
    scores[:, 2] = labels == 2
    found = ranking.intervals([ranking.rank(scores[:, c], labels == c) for c in range(3)], 220)
    assert all(e.low is not None for e in found)


@pytest.mark.parametrize("expected", [1, 2, 6])
def test_the_mean_loss_of_few_errors_is_covered(expected: int) -> None:
    """Of splits with three errors or more. With a lower end of 0 below ten errors all of 1 and 2 expected hold it."""
    rng, held, loose = np.random.default_rng(expected), [], 0
    truth = 0.01 + expected / 300 * 1.5  # an error costs 1.5 in the mean
    for _ in range(3000):
        wrong = rng.random(300) < expected / 300
        found = mean_loss(0.01 + wrong * (0.5 + rng.exponential(size=300)), int(wrong.sum()))
        if found.low is not None and found.high is not None:
            held.append(found.low <= truth <= found.high)
            loose += found.low == 0
            assert (found.low == 0) == (wrong.sum() < 5)
    assert fewest(len(held)) <= sum(held)
    if expected > 1:  # of one, most of those that are shown have three or four errors
        assert np.mean(held) < 0.99
    assert loose


def test_no_interval_and_why() -> None:
    assert mean_loss(np.array([1.0, 0.1, 0.1]), 1).method == "none: only 1 error"
    assert mean_loss(np.linspace(0.1, 3, 50), 4).low == 0.0
    assert mean_loss(np.linspace(0.1, 3, 50), 10).low > 0.0
    labels = np.array([0] * 40 + [1] * 2)
    logits = np.random.default_rng(0).normal(size=(42, 2))
    found = evaluate(logits, labels, names(2)).values
    assert found["auroc"].method == found["average_precision"].method == "none: only 2 samples of a class"
    answers = np.zeros(42, dtype=np.int64)
    constant = evaluate(logits, labels, names(2), decisions=answers).values
    assert {n for n, e in constant.items() if e.method == "none: one class is predicted"} == {
        *("balanced_accuracy", "macro_f1", "mcc")
    }
    one_large = np.append(np.full(20, 1e-3), 1.0)[:, None]
    regressed = evaluate_regression(one_large, np.zeros((21, 1)), ["y"]).values
    assert regressed["rmse"].method == "none: a few samples decide it"
    signal = np.random.default_rng(1).normal(size=(60, 30)) + 2 * np.eye(30)[np.arange(60) % 30]
    many = evaluate(signal, np.arange(60) % 30, names(30)).values
    assert many["macro_f1"].method == "none: too few samples of each class"


def test_a_small_class_without_errors_has_a_variance() -> None:
    """Three classes, one of five samples that are all right: its recall may well be .7."""
    counts = Counts(np.array([90, 90, 5]), np.array([100, 100, 5]), np.array([100, 100, 5]))
    found = mean_recall(counts)
    assert found.low < (0.9 + 0.9 + 0.7) / 3


CASES = {"few positives": (300, 0.05, 2.83), "rare errors": (1000, 0.12, 3.6), "perfect": (300, 0.5, 6.0)}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_coverage_near_the_edge(case: tuple[int, float, float]) -> None:
    """In 400 splits the intervals hold the truth as often as 95 % ones do in 99.9 % of cases, or more."""
    n, share, signal = case

    def draw(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        labels = (rng.random(size) < share).astype(np.int64)
        x = rng.standard_normal(size) + signal * labels
        odds = signal * x - signal**2 / 2 + np.log(share / (1 - share))
        return np.column_stack([np.zeros(size), odds]), labels

    truth = evaluate(*draw(1_000_000, np.random.default_rng(9)), names(2), intervals=False).scalars() | {
        "ece": 0.0
    }
    truth["auroc"] = float(stats.norm.cdf(signal / math.sqrt(2)))
    held, shown = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for seed in range(400):
        found = evaluate(*draw(n, np.random.default_rng([1, seed])), names(2), seed=seed).values
        for name, value in truth.items():
            e = found[name]
            if e.low is not None:
                shown[name] += 1
                held[name] += e.low - 1e-9 <= value <= e.high + 1e-9
    missed = {name: (held[name], shown[name]) for name in truth if held[name] < fewest(shown[name])}
    assert missed == {}
