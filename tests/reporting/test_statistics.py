"""The report's statistics against independent formulas, and their error rates on simulated runs."""

import math
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from leyden.reporting.comparison.effects import effects
from leyden.reporting.comparison.pareto import front, simplest
from leyden.reporting.comparison.statistics import (
    Comparison,
    Sample,
    compare,
    compare_all,
    detectable,
    difference,
    holm,
    summarise,
)

FAMILIES, COMPARISONS, SEEDS = 1000, 4, 5
# 5 % of 1,000 families, and 80 % of them, with the 99 % allowance of the binomial distribution
MOST_CLAIMS = int(stats.binom.ppf(0.99, FAMILIES, 0.05))
FOUND = stats.binom.ppf([0.005, 0.995], FAMILIES, 0.8)


def runs(values: NDArray[np.float64], first: int = 0, shared: float = 0.0) -> Sample:
    return Sample({first + seed: float(value) for seed, value in enumerate(values)}, shared)


def test_the_allowance_is_the_issues() -> None:
    assert MOST_CLAIMS == 67


@pytest.mark.parametrize("first", [0, SEEDS], ids=["paired", "welch"])
@pytest.mark.parametrize("draw", ["normal", "accuracy"])
def test_false_positives_are_rare_without_a_difference(first: int, draw: str) -> None:
    """Five groups of five seeds, all of one distribution; a seed has its own luck that its runs share."""
    rng = np.random.default_rng(20 + first)
    claims = 0
    for _ in range(FAMILIES):
        luck = rng.normal(0, 0.01, SEEDS)
        values = 0.9 + luck + rng.normal(0, 0.01, (COMPARISONS + 1, SEEDS))
        if draw == "accuracy":
            values = rng.binomial(1000, np.clip(values, 0, 1)) / 1000
        if first:
            values[1:] += rng.normal(0, 0.01, SEEDS) - luck
        found = compare_all([runs(group, first) for group in values[1:]], runs(values[0]))
        assert {test.test for test in found} == {"Welch's t" if first else "paired t"}
        claims += any(test.significant for test in found)
    assert claims <= MOST_CLAIMS
    assert claims >= 5, "a test that never claims anything has no power"


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_intervals_cover(n: int) -> None:
    rng = np.random.default_rng(n)
    found = [summarise(list(row)) for row in rng.normal(0.9, 0.01, (2000, n))]
    covered = np.mean([s.low is not None and s.high is not None and s.low <= 0.9 <= s.high for s in found])
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("first", [0, SEEDS], ids=["paired", "welch"])
def test_intervals_of_differences_cover(first: int) -> None:
    rng = np.random.default_rng(7 + first)
    covered = 0
    for one, two in rng.normal(0, 1, (2000, 2, SEEDS)) * np.array([[1.0], [2.0]]):
        test = compare(runs(one + 0.5, first), runs(two))
        covered += test.low is not None and test.high is not None and test.low <= 0.5 <= test.high
    assert 0.93 <= covered / 2000 <= 0.97


@pytest.mark.parametrize("first", [0, 50], ids=["paired", "welch"])
@pytest.mark.parametrize("others", [0, COMPARISONS - 1])
@pytest.mark.parametrize("seeds", [3, SEEDS, 10])
def test_the_detectable_difference_is_found_with_the_stated_power(
    seeds: int, others: int, first: int
) -> None:
    """Stated by one experiment, planted in the next of as many seeds: one true difference in 1 + others."""
    rng = np.random.default_rng(100 * others + seeds + first)

    def family(planted: float) -> Comparison:
        values = 0.9 + rng.normal(0, 0.01, (others + 2, seeds))
        values[1] += planted
        return compare_all([runs(group, first) for group in values[1:]], runs(values[0]))[0]

    found = 0
    for _ in range(FAMILIES):
        stated = family(0.0).detectable
        assert stated is not None
        found += family(stated).significant
    # Welch's approximate degrees of freedom make it a little careful with three seeds
    assert FOUND[0] - 30 * bool(first) <= found <= FOUND[1] + 30 * bool(first)


@pytest.mark.parametrize("shared", [0.25, 1.0])
def test_the_detectable_difference_of_overlapping_splits_is_found_too(shared: float) -> None:
    """Values of a group have a part in common, of the variance that the overlap gives: n_test / n_train of the rest."""
    rng = np.random.default_rng(round(10 * shared))

    def family(planted: float) -> Comparison:
        values = rng.normal(0, 0.01, (4, SEEDS)) + rng.normal(0, 0.01 * math.sqrt(shared), (4, 1))
        values[1] += planted
        return compare_all([runs(group, 0, shared) for group in values[1:]], runs(values[0], 0, shared))[0]

    found = 0
    for _ in range(FAMILIES):
        stated = family(0.0).detectable
        assert stated is not None
        found += family(stated).significant
    assert FOUND[0] <= found <= FOUND[1]


def test_the_detectable_difference_of_unequal_groups_is_found_at_least_as_often() -> None:
    rng = np.random.default_rng(6)
    found = 0
    for _ in range(FAMILIES):
        stated = compare_all([runs(rng.normal(0, 1, 3), 50)], runs(rng.normal(0, 1, 10)))[0].detectable
        assert stated is not None
        found += compare_all([runs(rng.normal(stated, 1, 3), 50)], runs(rng.normal(0, 1, 10)))[0].significant
    assert found >= FOUND[0]


@pytest.mark.parametrize(("freedom", "family"), [(2, 1), (4, 4), (9, 3), (30, 10)])
def test_the_detectable_size_equals_the_noncentral_ts(freedom: int, family: int) -> None:
    """The mean of the noncentral t's power over the spread's chi distribution, by another quadrature."""
    stated = detectable(1.0, freedom, family)
    assert stated is not None
    critical = stats.t.isf(0.05 / family / 2, freedom)
    spread = stats.chi(freedom, scale=1 / math.sqrt(freedom))
    nodes, weights = np.polynomial.legendre.leggauss(80)
    at = (nodes + 1) / 2 * spread.isf(1e-9)
    power = stats.nct.sf(critical, freedom, stated * at) @ (weights * spread.pdf(at)) * spread.isf(1e-9) / 2
    assert power == pytest.approx(0.8, abs=2e-3)


def test_many_seeds_need_the_textbooks_difference() -> None:
    assert detectable(1.0, 1e6, 1) == pytest.approx(1.959964 + 0.841621, abs=1e-2)


@pytest.mark.parametrize("seed", range(5))
def test_paired_equals_scipys(seed: int) -> None:
    one, two = np.random.default_rng(seed).normal(0.9, 0.02, (2, 6))
    ours = compare(Sample({**runs(one).values, 99: 5.0}), runs(two))
    theirs = stats.ttest_rel(one, two)
    interval = theirs.confidence_interval()
    assert (ours.test, ours.pairs, ours.used, ours.of, ours.measure) == ("paired t", 6, 12, 13, "d_z")
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.effect == pytest.approx(theirs.statistic / math.sqrt(6))


@pytest.mark.parametrize("seed", range(5))
def test_welch_equals_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(0.9, 0.02, 6), rng.normal(0.9, 0.05, 6)
    ours, theirs = compare(runs(one, 50), runs(two)), stats.ttest_ind(one, two, equal_var=False)
    interval = theirs.confidence_interval()
    assert (ours.test, ours.pairs, ours.measure) == ("Welch's t", 0, "g")
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.freedom == pytest.approx(theirs.df)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    pooled = math.sqrt((one.var(ddof=1) + two.var(ddof=1)) / 2)
    factor = math.gamma(5) / (math.sqrt(5) * math.gamma(4.5))
    assert ours.effect == pytest.approx(factor * (one.mean() - two.mean()) / pooled)


def test_a_mean_equals_scipys() -> None:
    values = [0.91, 0.93, 0.92, 0.95]
    ours = summarise(values)
    interval = stats.ttest_1samp(values, 0).confidence_interval()
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.sd == pytest.approx(np.std(values, ddof=1))


def test_overlapping_training_data_widen_the_error() -> None:
    """Nadeau and Bengio (2003): sd^2 (1/n + n_test / n_train); of 5 folds 1/4."""
    values = [0.91, 0.93, 0.92, 0.95, 0.9]
    sd = np.std(values, ddof=1)
    assert summarise(values, 1 / 4).error == pytest.approx(sd * math.sqrt(1 / 5 + 1 / 4))
    plain, corrected = (
        compare(runs(np.array(values), shared=s), runs(np.full(5, 0.9), shared=s)) for s in (0.0, 0.25)
    )
    assert plain.p is not None
    assert corrected.p is not None
    assert corrected.p > plain.p


def test_one_run_has_no_interval() -> None:
    one = summarise([0.9])
    assert (one.n, one.mean, one.sd, one.low, one.high, one.half) == (1, 0.9, None, None, None, None)


def test_zero_variance_gives_no_test() -> None:
    same = summarise([0.3 * 3, 0.9, 0.9])
    assert (same.sd, same.low) == (0.0, None)
    pairs = compare(Sample({1: 0.9, 2: 0.8}), Sample({1: 0.8, 2: 0.7}))
    assert pairs.reason.startswith("all pairs differ by the same amount")
    assert compare(Sample({1: 0.9, 2: 0.9}), Sample({3: 0.8, 4: 0.8})).p is None
    assert compare(Sample({1: 0.9}), Sample({1: 0.8})).reason.startswith("a single seed")


def test_holm_equals_its_definition() -> None:
    """H of the k-th smallest p is rejected at a if p_(j) <= a / (m - j + 1) for every j <= k."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        ps = list(rng.uniform(0, 0.2, 5))
        adjusted = holm(ps)
        for level in (0.01, 0.05, 0.1, 0.3):
            passed = set()
            for rank, place in enumerate(np.argsort(ps)):
                if ps[place] > level / (len(ps) - rank):
                    break
                passed.add(place)
            assert passed == {i for i, p in enumerate(adjusted) if p is not None and p <= level}


def test_holm_does_not_count_what_was_not_tested() -> None:
    assert holm([0.04, None, 0.01]) == pytest.approx([0.04, None, 0.02])


def test_effects_of_a_balanced_design_equal_the_means() -> None:
    """Two-way analysis of variance by its textbook sums of squares."""
    rng = np.random.default_rng(5)
    table = 0.9 + np.array([0.0, 0.02, 0.05])[:, None, None] + rng.normal(0, 0.01, (3, 2, 4))
    cells = list(product(range(3), range(2), range(4)))
    found = effects(
        [{"model": f"m{i}", "lr": f"l{j}"} for i, j, _ in cells], [float(table[cell]) for cell in cells]
    )
    total = ((table - table.mean()) ** 2).sum()
    of_model = table.mean((1, 2)) - table.mean()
    of_lr = table.mean((0, 2)) - table.mean()
    cell_means = table.mean(2) - table.mean() - of_model[:, None] - of_lr
    squares = {"model": 8 * (of_model**2).sum(), "lr": 12 * (of_lr**2).sum()}
    by_name = {key.names[0]: key for key in found.keys}
    for name, square in squares.items():
        assert by_name[name].share == pytest.approx(square / total)
    assert found.pairs[0].share == pytest.approx(4 * (cell_means**2).sum() / total)
    assert [level.difference for level in by_name["model"].levels] == pytest.approx(list(of_model))
    # every cell has its own variance: Brunner, Dette and Munk's test, with Satterthwaite's degrees of freedom
    variances = table.var(2, ddof=1)
    centred = np.eye(3) - 1 / 3
    covariance = centred * variances.mean(1) @ centred
    top = np.trace(covariance) ** 2 / (covariance**2).sum()
    bottom = min(variances.sum() ** 2 / (variances**2 / 3).sum(), 18)
    p = stats.f.sf(squares["model"] / 2 / variances.mean(), top, bottom)
    assert by_name["model"].p == pytest.approx(3 * p)  # the smallest of three, by Holm
    parts = (
        np.array([2 / 3, 1 / 3, 1 / 3])[:, None] ** 2 / 4 * variances / 4
    )  # of a level's mean less that of all
    freedom = min(parts.sum() ** 2 / (parts**2 / 3).sum(), 18)
    half = stats.t.isf(0.025, freedom) * math.sqrt(parts.sum())
    assert by_name["model"].levels[0].high - of_model[0] == pytest.approx(half)
    assert found.residual == pytest.approx(9 * 2 * variances.mean() / total)


def test_false_positive_effects_are_rare() -> None:
    rng = np.random.default_rng(8)
    cells = [{"a": f"{i}", "b": f"{j}"} for i, j, _ in product(range(2), range(3), range(3))]
    claims = 0
    for _ in range(400):
        found = effects(cells, list(rng.normal(0, 1, len(cells))))
        claims += any(share.p is not None and share.p < 0.05 for share in (*found.keys, *found.pairs))
    assert claims <= stats.binom.ppf(0.99, 400, 0.05)


def in_blocks(table: NDArray[np.float64]) -> tuple[list[dict[str, str]], list[float], list[int]]:
    """Settings, values and replicates of runs (values of a, values of b, blocks)."""
    cells = list(np.ndindex(table.shape))
    return (
        [{"a": f"{i}", "b": f"{j}"} for i, j, _ in cells],
        [float(table[c]) for c in cells],
        [c[2] for c in cells],
    )


def test_the_effect_of_a_key_with_two_values_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(4)
    table = 5 * rng.normal(size=5) + rng.normal(size=(2, 3, 5)) + np.array([3.0, 0.0])[:, None, None]
    found = {key.names: key for key in effects(*in_blocks(table)).keys}
    theirs = stats.ttest_rel(table[0].mean(0), table[1].mean(0))
    assert found["a",].p == pytest.approx(3 * theirs.pvalue)  # the smallest of three, by Holm
    low, high = theirs.confidence_interval()
    level = found["a",].levels[0]
    assert (2 * level.low, 2 * level.high) == pytest.approx((low, high))  # type: ignore[operator]


def test_a_key_with_more_values_is_tested_against_its_variation_between_seeds() -> None:
    """Repeated measures: mean square of b over b by seed, with Greenhouse and Geisser's epsilon; folds widen both."""
    rng = np.random.default_rng(5)
    table = 5 * rng.normal(size=4) + rng.normal(size=(2, 3, 4)) + np.array([0.0, 3.0, 6.0])[:, None]
    means = table.mean(0)  # (3, 4)
    of_b = means.mean(1) - means.mean()
    rest = means - means.mean(0) - of_b[:, None]
    sums = rest @ rest.T
    epsilon = np.trace(sums) ** 2 / (2 * (sums**2).sum())
    assert 0.5 < epsilon < 1
    epsilon -= (epsilon - 1 / 2) / 4  # of four seeds a quarter of the way to its least, 1/2
    error = np.std(means[0] - means.mean(0), ddof=1)
    for overlap in (0.0, 1 / 3):
        key = next(key for key in effects(*in_blocks(table), overlap).keys if key.names == ("b",))
        f = (4 * (of_b**2).sum() / 2) / ((rest**2).sum() / 6) / ((1 / 4 + overlap) / (1 / 4))
        assert key.p == pytest.approx(3 * stats.f.sf(f, 2 * epsilon, 6 * epsilon))
        half = stats.t.isf(0.025, 3) * error * math.sqrt(1 / 4 + overlap)
        assert key.levels[0].high == pytest.approx(of_b[0] + half)


def test_a_pair_of_two_values_each_is_the_paired_t_test_of_its_contrast() -> None:
    table = np.random.default_rng(6).normal(size=(2, 2, 4)) + np.array([[0, 9], [9, 0]])[:, :, None]
    pair = effects(*in_blocks(table)).pairs[0]
    contrast = table[0, 0] - table[0, 1] - table[1, 0] + table[1, 1]
    assert pair.p == pytest.approx(3 * stats.ttest_1samp(contrast, 0).pvalue)  # the smallest of three


@pytest.mark.parametrize("overlap", [0.0, 0.25])
def test_effects_within_incomplete_blocks_equal_least_squares(overlap: float) -> None:
    """Of runs of which some are missing: effects, and the F of a key between blocks, by columns for every block."""
    rng = np.random.default_rng(6)
    strong = np.array([4.0, 0.0])[:, None, None]
    settings, values, blocks = in_blocks(strong + 3 * rng.normal(size=5) + rng.normal(size=(2, 3, 5)))
    kept = sorted(rng.permutation(30)[:24])
    settings, values, blocks = ([of[run] for run in kept] for of in (settings, values, blocks))
    a, b = (np.array([int(one[key]) for one in settings]) for key in "ab")
    block, y = np.eye(5)[blocks], np.array(values)
    sign = np.where(a == 0, 1.0, -1.0)[:, None]
    of_b = np.vstack([np.eye(2), [-1, -1]])[b]
    full = np.hstack([block, of_b, sign, sign * of_b])
    residuals = y - full @ np.linalg.lstsq(full, y, rcond=1e-9)[0]
    others = np.hstack([block, of_b])
    contrast = sign[:, 0] - others @ np.linalg.lstsq(others, sign[:, 0], rcond=1e-9)[0]
    of_blocks = np.bincount(
        blocks, contrast * residuals
    )  # of each block, how far its contrast is from the mean one
    f = (contrast @ y) ** 2 / ((of_blocks**2).sum() * 5 / 4) / (1 + 5 * overlap)
    freedom = 4
    found = effects(settings, values, blocks, overlap)
    key = next(key for key in found.keys if key.names == ("a",))
    assert key.p == pytest.approx(3 * stats.f.sf(f, 1, freedom))  # the smallest of three, by Holm
    beta = np.linalg.lstsq(np.hstack([block, sign, of_b]), y)[0]
    assert {level.value: level.difference for level in key.levels} == pytest.approx(
        {"0": beta[5], "1": -beta[5]}
    )


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize(
    "kind", ["common luck", "luck of each model", "folds", "incomplete", "nothing in common"]
)
def test_effects_are_rarely_claimed_where_there_are_none(kind: str, n: int) -> None:
    """Two models by three rates by n seeds; family-wise, at the 99.9 % bound of the binomial; intervals cover."""
    rng, families, share = np.random.default_rng(n), 1000, 0.2
    claims = covered = levels = 0
    for _ in range(families):
        table = rng.normal(size=(2, 3, n)) + 3 * rng.normal(size=n)
        if kind == "luck of each model":
            table += 2 * rng.normal(size=(2, 1, n))
        if (
            kind == "folds"
        ):  # runs of a setting have a share of their training data, and so of their luck, in common
            table += math.sqrt(share / (1 - share)) * rng.normal(size=(2, 3, 1))
        runs = list(zip(*in_blocks(table), strict=True))
        if kind == "incomplete":
            runs = [runs[place] for place in sorted(rng.permutation(6 * n)[n // 2 :])]
        settings, values, blocks = (list(column) for column in zip(*runs, strict=True))
        names = blocks if kind != "nothing in common" else range(len(blocks))
        found = effects(settings, values, names, share / (1 - share) if kind == "folds" else 0.0)
        claims += any(of.p is not None and of.p < 0.05 for of in (*found.keys, *found.pairs))
        limits = [(of.low, of.high) for key in found.keys for of in key.levels[:1]]
        covered += sum(low is not None and high is not None and low <= 0 <= high for low, high in limits)
        levels += len(limits)
    assert claims <= stats.binom.ppf(0.999, families, 0.05)
    assert covered >= stats.binom.ppf(0.001, levels, 0.95)


def test_effects_are_found_where_seeds_differ_more_than_settings() -> None:
    """Effect .6, noise .5, seeds' spread 2: at least as often as by the test paired by seed at 5 %/3."""
    rng, found, paired, plain = np.random.default_rng(0), 0, 0, 0
    for _ in range(200):
        table = (
            2 * rng.normal(size=5) + 0.5 * rng.normal(size=(2, 2, 5)) + np.array([0.0, 0.6])[:, None, None]
        )
        settings, values, blocks = in_blocks(table)
        ps = [
            next(key.p for key in effects(settings, values, names).keys if key.names == ("a",))
            for names in (blocks, ())
        ]
        found, plain = found + (ps[0] < 0.05), plain + (ps[1] < 0.05)
        paired += stats.ttest_rel(table[0].mean(0), table[1].mean(0)).pvalue < 0.05 / 3
    assert found >= paired >= 40
    assert plain <= 5


def test_runs_whose_seed_nobody_shares_are_left_out() -> None:
    table = np.random.default_rng(1).normal(size=(2, 2, 3))
    settings, values, blocks = in_blocks(table)
    found = effects([*settings, settings[0]], [*values, 99.0], [*blocks, 7])
    assert (found.alone, found.keys) == (1, effects(settings, values, blocks).keys)


def test_values_that_share_no_seed_are_not_compared() -> None:
    settings, values, blocks = in_blocks(np.random.default_rng(1).normal(size=(2, 2, 3)))
    apart = [block + 10 * (one["a"] == "1") for one, block in zip(settings, blocks, strict=True)]
    assert (
        effects(settings, values, apart).reason
        == "the keys do not vary independently in the runs of common seeds"
    )


def test_effects_need_two_keys_that_vary_independently() -> None:
    assert effects([{"a": "1", "b": "1"}, {"a": "2", "b": "2"}], [0.1, 0.2]).reason
    assert effects([{"a": "1", "b": "1"}, {"a": "2", "b": "1"}], [0.1, 0.2]).reason


def test_the_front_is_not_dominated() -> None:
    rng = np.random.default_rng(2)
    costs, values = rng.integers(0, 8, 60).tolist(), rng.integers(0, 8, 60).tolist()
    for higher in (True, False):
        sign = 1 if higher else -1
        points = [(cost, -sign * value) for cost, value in zip(costs, values, strict=True)]
        expected = [not any(o[0] <= p[0] and o[1] <= p[1] and o != p for o in points) for p in points]
        assert front(costs, values, higher) == expected
    assert front([None, 1.0], [9.0, 1.0], True) == [False, True]


def test_the_simplest_is_within_one_standard_error_of_the_best() -> None:
    costs = [(100.0, 1.0), (50.0, 1.0), (10.0, 1.0), (50.0, 0.5)]
    assert simplest(costs, [0.95, 0.94, 0.90, 0.941], [0.01] * 4, True) == 3
    assert simplest(costs, [0.95, 0.94, 0.90, 0.90], [0.001] * 4, True) == 0
    assert simplest(costs, [0.05, 0.06, 0.10, 0.9], [0.01] * 4, False) == 1
    assert simplest(costs, [0.95, 0.94, 0.90, 0.94], [None] * 4, True) is None


def test_a_cost_that_was_not_counted_wins_no_tie() -> None:
    costs = [(100.0, None, 1.0), (100.0, 5.0, 2.0)]
    assert simplest(costs, [0.95, 0.95], [0.01] * 2, True) == 1
    assert front([cost[1] for cost in costs], [0.95, 0.95], True) == [False, True]


@pytest.mark.parametrize("shift", [0.0, 1e-12])
def test_differences_of_rounding_are_none(shift: float) -> None:
    """One value computed in several ways, and again beside a spread of its own."""
    same = [0.9, 0.3 * 3, 1 - 0.1, sum([0.1] * 9)]
    found = compare(Sample(dict(enumerate(same))), Sample(dict(enumerate(v - shift for v in reversed(same)))))
    assert (found.p, found.difference) == (None, 0.0)
    found = compare(Sample({1: 0.9, 2: 0.3 * 3}), Sample({3: 1 - 0.1, 4: 0.9}))
    assert (found.p, found.difference) == (None, 0.0)
    spread = Sample({seed: value + seed / 100 for seed, value in enumerate(same)})
    found = compare(spread, Sample({seed: seed / 100 + 0.9 for seed in range(4)}))
    assert (found.p, found.difference) == (None, 0.0)


def test_one_sample_of_a_million_is_a_difference() -> None:
    granule = 1e-6
    assert difference(0.9 + granule, 0.9) == pytest.approx(granule)
    found = compare(
        Sample({seed: 0.9 + (2 + seed % 2) * granule for seed in range(4)}),
        Sample(dict.fromkeys(range(4), 0.9)),
    )
    assert found.p is not None
    assert found.p < 0.01


@pytest.mark.parametrize(("n", "m", "most"), [(2, 10, 1.2), (10, 3, 2.6), (5, 5, 8.0)])
def test_unequal_sizes_bound_the_degrees_of_freedom(n: int, m: int, most: float) -> None:
    """At most (n - 1) (1 + n / m), n the smaller."""
    rng = np.random.default_rng(n)
    found = [compare(runs(rng.normal(0, 1, n), 50), runs(rng.normal(0, 1, m))).freedom for _ in range(200)]
    assert min(n, m) - 1 <= min(f for f in found if f is not None)
    assert max(f for f in found if f is not None) == pytest.approx(most, rel=0.02)


def test_some_pairs_equal_derricks_example() -> None:
    """T_new2 of Derrick et al. (2017), by its formula on NumPy's moments; df of equal sizes are Welch's own."""
    rng = np.random.default_rng(4)
    one, two = rng.normal(0, 1, 6), rng.normal(1, 2, 6)
    ours = compare(runs(one, 3), runs(two))  # seeds 3 to 8, and 0 to 5: three pairs
    r = np.corrcoef(one[:3], two[3:])[0, 1]
    v1, v2 = one.var(ddof=1) / 6, two.var(ddof=1) / 6
    error = math.sqrt(v1 + v2 - 2 * r * one.std(ddof=1) * two.std(ddof=1) * 3 / 36)
    welch = (v1 + v2) ** 2 / (v1**2 / 5 + v2**2 / 5)
    freedom = 2 + (welch - 2) / (3 + 3 + 6) * (3 + 3)
    assert (ours.test, ours.pairs, ours.used, ours.of) == ("partly paired t", 3, 12, 12)
    assert ours.p == pytest.approx(2 * stats.t.sf(abs(one.mean() - two.mean()) / error, freedom))
