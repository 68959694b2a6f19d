"""The report's statistics: means over seeds, paired tests against a baseline, Holm, minimum detectable effects.

    mean = summarise([0.91, 0.93, 0.92])                      # mean, sd, 95 % interval
    found = compare_all([{1: 0.91, 2: 0.93}, ...], {1: 0.90, 2: 0.91})   # a family of tests, adjusted by Holm

All tests are two-sided at the 5 % level. `shared` is the correction of Nadeau and Bengio (2003) for runs whose
training sets overlap, as those of the folds of a cross-validation do: n_test / n_train, 0 for seeds. The variance of
a mean is then sd^2 (1/n + shared) instead of sd^2 / n.
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
_RELATIVE_TOLERANCE = 1e-12  # an sd below this share of the values is rounding error


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


def summarise(values: Sequence[float], shared: float = 0.0) -> Summary:
    """Return mean, standard deviation, standard error and 95 % t interval of at least one value."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n < 2:
        return Summary(n, mean)
    sd = _deviation(values, mean)
    # sd^2 (1/n + n_test / n_train), Nadeau and Bengio's variance of a mean
    error = sd * math.sqrt(1 / n + shared)
    if not sd:
        return Summary(n, mean, 0.0, 0.0)
    half = quantile(n - 1) * error
    return Summary(n, mean, sd, error, mean - half, mean + half)


def _deviation(values: Sequence[float], mean: float) -> float:
    """Return the sample standard deviation (n - 1); exactly 0 if the values differ only by rounding."""
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return 0.0 if sd <= _RELATIVE_TOLERANCE * max(map(abs, values)) else sd


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
        test: the test: `paired t`, `Welch's t`, or "" if none was possible (see `reason`).
        pairs: number of seeds that both have.
        difference: group minus baseline: the mean difference of the pairs, or without pairs of the means.
        reason: why there was no test.
        error: its standard error.
        freedom: degrees of freedom.
        low, high: its 95 % interval, not adjusted for the number of comparisons.
        p: of this test alone.
        adjusted: p by Holm, over the family.
        effect: effect size: Cohen's d_z for pairs, else Hedges' g (`measure` names it).
        measure: name of the effect size.
        detectable: minimum detectable effect: the smallest true difference that the same number of seeds detects
            with 80 % power in a family of this size.
    """

    test: Literal["paired t", "Welch's t", ""]
    pairs: int
    difference: float
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
    def significant(self) -> bool:
        """Whether the adjusted p is below 5 %."""
        return self.adjusted is not None and self.adjusted < LEVEL


Sample = Mapping[Any, float]  # {seed: value}; Any, since a Mapping is invariant in its keys


def compare_all(
    groups: Sequence[Sample], baseline: Sample, shared: Sequence[float] = (), of_baseline: float = 0.0
) -> list[Comparison]:
    """Compare each group with the baseline: one family of tests, adjusted by Holm (1979).

    Args:
        groups: {seed: value} of each.
        baseline: {seed: value}.
        shared: n_test / n_train of each group; empty: 0.
        of_baseline: n_test / n_train of the baseline.
    """
    each = shared or [0.0] * len(groups)
    tests = [compare(group, baseline, own, of_baseline) for group, own in zip(groups, each, strict=True)]
    adjusted = holm([test.p for test in tests])
    family = sum(test.p is not None for test in tests)
    return [
        replace(test, adjusted=p, detectable=detectable(test.error, test.freedom, family))
        for test, p in zip(tests, adjusted, strict=True)
    ]


def compare(group: Sample, baseline: Sample, shared: float = 0.0, of_baseline: float = 0.0) -> Comparison:
    """Test one group: paired t test if at least two seeds are common, else Welch's t test. Neither may be empty."""
    common = [seed for seed in group if seed in baseline]
    if len(common) >= 2:
        return _paired([group[seed] - baseline[seed] for seed in common], max(shared, of_baseline))
    one, two = summarise(list(group.values()), shared), summarise(list(baseline.values()), of_baseline)
    return _welch(one, two, len(common))


def _paired(differences: Sequence[float], shared: float) -> Comparison:
    found = summarise(differences, shared)
    if not found.sd or found.error is None:
        return Comparison("", found.n, found.mean, "all pairs differ by the same amount: zero variance")
    return _with_t_test(
        Comparison("paired t", found.n, found.mean, effect=found.mean / found.sd, measure="d_z"),
        found.error,
        found.n - 1,
    )


def _welch(one: Summary, two: Summary, pairs: int) -> Comparison:
    """Welch (1947), degrees of freedom by Satterthwaite; Hedges' g with the pooled standard deviation."""
    difference = one.mean - two.mean
    if one.error is None or two.error is None or one.sd is None or two.sd is None:
        return Comparison("", pairs, difference, "a single seed: a test needs two seeds of each")
    if not (one.sd or two.sd):
        return Comparison("", pairs, difference, "all seeds have equal values: zero variance")
    parts = one.error**2, two.error**2
    # (v1 + v2)^2 / (v1^2 / (n1 - 1) + v2^2 / (n2 - 1)), v the squared standard errors
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (one.n - 1) + parts[1] ** 2 / (two.n - 1))
    pooled_freedom = one.n + two.n - 2
    # s^2 = ((n1 - 1) s1^2 + (n2 - 1) s2^2) / (n1 + n2 - 2);  g = J (m1 - m2) / s
    pooled = math.sqrt(((one.n - 1) * one.sd**2 + (two.n - 1) * two.sd**2) / pooled_freedom)
    effect = _small_sample(pooled_freedom) * difference / pooled
    untested = Comparison("Welch's t", pairs, difference, effect=effect, measure="g")
    return _with_t_test(untested, math.sqrt(sum(parts)), freedom)


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
