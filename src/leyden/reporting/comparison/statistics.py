"""The report's statistics: means over replicates, tests against a baseline, Holm, minimum detectable effects.

    mean = summarise([0.91, 0.93, 0.92])                      # mean, sd, 95 % interval
    found = compare_all([Sample({1: 0.91, 2: 0.93}), ...], Sample({1: 0.90, 2: 0.91}))   # a family, by Holm

All tests are two-sided at the 5 % level. `shared` is the correction of Nadeau and Bengio (2003) for replicates whose
training sets overlap, as those of random splits and of folds do: n_test / n_train, 0 for seeds. The variance of
a mean is then sd^2 (1/n + shared) instead of sd^2 / n. scripts/audit measures how often each test errs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr, stdtr, stdtrit

LEVEL = 0.05
POWER = 0.8
_POINTS = 200  # quantiles of the distribution of an estimated sd; 400 change the fourth digit
_FEWEST_PAIRS = 3  # among others without partners: the correlation of two is always 1 or -1
_ROUNDING = 1e-9  # relative: what differs by less is equal; one sample of a billion is more


@dataclass(frozen=True)
class Summary:
    """Mean and spread of n runs. sd and interval are None for one run; the interval also if all values are equal."""

    n: int
    mean: float
    sd: float | None = None
    error: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class Sample:
    """The replicates of a group.

    Attributes:
        values: {replicate: value}; two groups' values of one replicate form a pair.
        shared: n_test / n_train if their training sets overlap, else 0.
        split: the only split, on which the replicates are seeds; None if the replicates are splits.
    """

    values: Mapping[Any, float]  # Any, since a Mapping is invariant in its keys
    shared: float = 0.0
    split: Any = "only"

    def summary(self) -> Summary:
        """Return mean and spread."""
        return summarise(list(self.values.values()), self.shared)


def summarise(values: Sequence[float], shared: float = 0.0, scale: float | None = None) -> Summary:
    """Return mean, standard deviation, standard error and 95 % t interval of at least one value.

    scale: size of the numbers that the values were computed from, for their rounding; None: that of the values.
    """
    n, mean = len(values), math.fsum(values) / len(values)
    if n < 2:
        return Summary(n, mean)
    sd = _deviation(values, mean, max(map(abs, values)) if scale is None else scale)
    # sd^2 (1/n + n_test / n_train), Nadeau and Bengio's variance of a mean
    error = sd * math.sqrt(1 / n + shared)
    if not sd:
        return Summary(n, mean, 0.0, 0.0)
    half = quantile(n - 1) * error
    return Summary(n, mean, sd, error, mean - half, mean + half)


def _deviation(values: Sequence[float], mean: float, scale: float) -> float:
    """Return the sample standard deviation (n - 1); exactly 0 if the values differ only by rounding."""
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return 0.0 if sd <= _ROUNDING * scale else sd


def difference(one: float, two: float) -> float:
    """Return one - two; exactly 0 if they differ only by rounding."""
    found = one - two
    return 0.0 if abs(found) <= _ROUNDING * max(abs(one), abs(two)) else found


def quantile(freedom: float, level: float = LEVEL) -> float:
    """Return the value that |t| exceeds with probability `level`. freedom: degrees of freedom."""
    return -float(stdtrit(freedom, level / 2))


def p_value(t: float, freedom: float) -> float:
    """Return the two-sided p value of a t statistic. freedom: degrees of freedom."""
    return 2 * float(stdtr(freedom, -abs(t)))


@dataclass(frozen=True)
class Comparison:
    """A group against the baseline.

    Attributes:
        test: the test, or "" if none was possible (see `reason`).
        pairs: number of replicates that both have.
        difference: group minus baseline: the mean difference of the pairs, or of the means if not all are pairs.
        used, of: number of replicates of both that the test uses, and that there are.
        reason: why there was no test.
        error: its standard error.
        freedom: degrees of freedom.
        low, high: its 95 % interval, not adjusted for the number of comparisons.
        p: of this test alone.
        adjusted: p by Holm, over the family.
        effect: effect size: Cohen's d_z for pairs, else Hedges' g (`measure` names it).
        measure: name of the effect size.
        detectable: minimum detectable effect: the smallest true difference that the same number of replicates
            detects with 80 % power in a family of this size.
    """

    test: Literal["paired t", "partly paired t", "Welch's t", ""]
    pairs: int
    difference: float
    used: int = 0
    of: int = 0
    reason: str = ""
    error: float | None = None
    freedom: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted: float | None = None
    effect: float | None = None
    measure: Literal["d_z", "g", ""] = ""
    detectable: float | None = None

    @property
    def unused(self) -> int:
        """Number of replicates that the test leaves out."""
        return self.of - self.used if self.test else 0

    @property
    def significant(self) -> bool:
        """Whether the adjusted p is below 5 %."""
        return self.adjusted is not None and self.adjusted < LEVEL


def compare_all(groups: Sequence[Sample], baseline: Sample) -> list[Comparison]:
    """Compare each group with the baseline: one family of tests, adjusted by Holm (1979)."""
    tests = [compare(group, baseline) for group in groups]
    adjusted = holm([test.p for test in tests])
    family = sum(test.p is not None for test in tests)
    return [
        replace(test, adjusted=p, detectable=detectable(test.error, test.freedom, family))
        for test, p in zip(tests, adjusted, strict=True)
    ]


def compare(group: Sample, baseline: Sample) -> Comparison:
    """Test one group, neither of the two empty.

    Paired t if each replicate of the smaller one has a partner (two at least); if three or more have, the t test for
    partly overlapping samples; else Welch's t. The choice looks at no value.
    """
    alike = group.split == baseline.split
    common = [replicate for replicate in group.values if alike and replicate in baseline.values]
    of = len(group.values) + len(baseline.values)
    if len(common) >= 2 and len(common) == min(len(group.values), len(baseline.values)):
        return replace(_paired(group, baseline, common), of=of)
    one, two = group.summary(), baseline.summary()
    untested = Comparison("", len(common), difference(one.mean, two.mean), of=of)
    if reason := _untestable(group, baseline, one, two):
        return replace(untested, reason=reason)
    pairs = [(group.values[replicate], baseline.values[replicate]) for replicate in common]
    return _unpaired(untested, one, two, pairs)


def _untestable(group: Sample, baseline: Sample, one: Summary, two: Summary) -> str:
    if group.split != baseline.split:
        return "trained on other splits than the baseline, and one of the two on a single one: use the same splits"
    if one.n < 2 or two.n < 2:
        return "a single seed: a test needs two seeds (or splits) of each"
    return "" if one.sd or two.sd else "all seeds have equal values: zero variance"


def _paired(group: Sample, baseline: Sample, common: Sequence[Any]) -> Comparison:
    pairs = [(group.values[replicate], baseline.values[replicate]) for replicate in common]
    scale = max(abs(value) for pair in pairs for value in pair)
    found = summarise([difference(*pair) for pair in pairs], max(group.shared, baseline.shared), scale)
    if not found.sd or found.error is None:
        return Comparison(
            "", found.n, found.mean, reason="all pairs differ by the same amount: zero variance"
        )
    return _with_t_test(
        Comparison("paired t", found.n, found.mean, 2 * found.n, effect=found.mean / found.sd, measure="d_z"),
        found.error,
        found.n - 1,
    )


def _unpaired(
    untested: Comparison, one: Summary, two: Summary, pairs: Sequence[tuple[float, float]]
) -> Comparison:
    """Welch's t (1947), or, with pairs, the t test for partly overlapping samples (Derrick et al. 2017, their T_new2).

    Derrick, Toher and White (2017): How to compare the means of two samples that include paired observations and
    independent observations, The Quantitative Methods for Psychology 13(2). Hedges' g with the pooled deviation.
    """
    assert one.sd is not None
    assert two.sd is not None
    assert one.error is not None
    assert two.error is not None
    freedom, variance = _welch_freedom(one, two), one.error**2 + two.error**2
    n, few = one.n + two.n, len(pairs)
    partly = few >= _FEWEST_PAIRS
    if partly:
        variance -= 2 * _correlation(pairs) * one.sd * two.sd * few / (one.n * two.n)
        # pairs alone: n_pairs - 1; no pairs: Welch's; between them in proportion
        freedom = few - 1 + (freedom - few + 1) * (n - 2 * few) / n
    # s^2 = ((n1 - 1) s1^2 + (n2 - 1) s2^2) / (n1 + n2 - 2);  g = J (m1 - m2) / s
    pooled = math.sqrt(((one.n - 1) * one.sd**2 + (two.n - 1) * two.sd**2) / (n - 2))
    effect = _small_sample(n - 2) * untested.difference / pooled
    test: Literal["partly paired t", "Welch's t"] = "partly paired t" if partly else "Welch's t"
    tested = replace(untested, test=test, used=n, effect=effect, measure="g")
    return _with_t_test(tested, math.sqrt(variance), freedom)


def _welch_freedom(one: Summary, two: Summary) -> float:
    """Return Satterthwaite's degrees of freedom, of unequal sizes at most (n - 1) (1 + n / m), n the smaller.

    They are an estimate, which with 2 or 3 values against many is far too large whenever the small group's spread
    comes out small. The bound lies between n - 1, which is always safe, and 2 (n - 1), which equal sizes have.
    """
    assert one.error is not None
    assert two.error is not None
    parts = one.error**2, two.error**2
    # (v1 + v2)^2 / (v1^2 / (n1 - 1) + v2^2 / (n2 - 1)), v the squared standard errors
    estimated = sum(parts) ** 2 / (parts[0] ** 2 / (one.n - 1) + parts[1] ** 2 / (two.n - 1))
    few, many = sorted((one.n, two.n))
    return min(estimated, (few - 1) * (1 + few / many))


def _correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Return Pearson's correlation of at least two pairs; 0 if the values of one are equal."""
    one, two = (summarise(values) for values in zip(*pairs, strict=True))
    if not one.sd or not two.sd:
        return 0.0
    products = math.fsum((first - one.mean) * (second - two.mean) for first, second in pairs)
    return products / (one.sd * two.sd * (len(pairs) - 1))


def _small_sample(freedom: int) -> float:
    """Return Hedges' (1981) correction factor for the bias of Cohen's d."""
    # J(f) = Gamma(f / 2) / (sqrt(f / 2) Gamma((f - 1) / 2))
    gammas = math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)
    return math.exp(gammas) / math.sqrt(freedom / 2)


def _with_t_test(untested: Comparison, error: float, freedom: float) -> Comparison:
    half = quantile(freedom) * error
    return replace(
        untested,
        error=error,
        freedom=freedom,
        low=untested.difference - half,
        high=untested.difference + half,
        p=p_value(untested.difference / error, freedom),
    )


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Return p values adjusted by Holm (1979), in the given order; None (not tested) is not part of the family."""
    tested = sorted((p, index) for index, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, index) in enumerate(tested):
        # the k-th smallest of m, k from 0: max over those up to it of p (m - k)
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        adjusted[index] = highest
    return adjusted


def detectable(error: float | None, freedom: float | None, family: int = 1) -> float | None:
    """Return the minimum detectable effect: the smallest true difference that a repeated test detects with 80 % power.

    Holm's first step tests at 5 % / family, which the only true difference of a family must pass. The standard error
    is itself an estimate from few seeds: the power is averaged over its distribution.
    """
    if error is None or freedom is None or not family:
        return None
    return error * _standard_errors(math.floor(freedom * 10) / 10, family)  # rounded to tenths, for the cache


@cache
def _standard_errors(freedom: float, family: int) -> float:
    """Return the minimum detectable effect in units of the estimated standard error, by bisection."""
    critical = quantile(freedom, LEVEL / family)
    quantiles = (np.arange(_POINTS) + 0.5) / _POINTS
    # distribution of the estimate if the true value is 1
    spreads = np.sqrt(chdtri(freedom, quantiles) / freedom)
    # (_POINTS,): sqrt(chi^2_f / f) at evenly spaced probabilities
    low, high = 0.0, critical
    while _power(high, critical, spreads) < POWER:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, critical, spreads) < POWER else (low, middle)
    return (low + high) / 2


def _power(times: float, critical: float, spreads: NDArray[np.float64]) -> float:
    """Return P(times * s + Z > critical * s'), s and s' independent estimates of the same sd, Z standard normal.

    The other tail, a significant difference of the wrong sign, is negligible at this power.
    """
    # (_POINTS, _POINTS): Phi(times s - critical s') for every pair of estimates, averaged
    return float(ndtr(times * spreads[:, None] - critical * spreads).mean())
