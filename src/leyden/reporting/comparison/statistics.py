"""The report's statistics: means over seeds, paired comparisons with a baseline, Holm, what could have been shown.

    mean = summarise([0.91, 0.93, 0.92])                      # mean, sd, 95 % interval
    found = against([{1: 0.91, 2: 0.93}, ...], {1: 0.90, 2: 0.91})   # a family of comparisons, adjusted by Holm

Everything is two-sided at the 5 % level. `shared` is the correction of Nadeau and Bengio (2003) for runs whose
training sets overlap, as the folds of a cross-validation do: n_test / n_train, 0 for seeds. The variance of a mean
is then sd^2 (1/n + shared) instead of sd^2 / n.
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
_POINTS = 200  # at which the distribution of an estimated spread is taken; 400 change the fourth digit
_ALIKE = 1e-12  # a spread below this share of the values is rounding


@dataclass(frozen=True)
class Summary:
    """Mean and spread of n runs. sd is None for one run; the interval for one run, and where all agree."""

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
    """Mean, standard deviation, standard error and 95 % t interval of at least one value."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n < 2:
        return Summary(n, mean)
    sd = _deviation(values, mean)
    error = sd * math.sqrt(1 / n + shared)
    if not sd:
        return Summary(n, mean, 0.0, 0.0)
    half = quantile(n - 1) * error
    return Summary(n, mean, sd, error, mean - half, mean + half)


def _deviation(values: Sequence[float], mean: float) -> float:
    """Standard deviation (n - 1); exactly 0 where the values differ by rounding alone."""
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return 0.0 if sd <= _ALIKE * max(map(abs, values)) else sd


def quantile(freedom: float, level: float = LEVEL) -> float:
    """What |t| exceeds with probability `level`."""
    return -float(stdtrit(freedom, level / 2))


def p_value(t: float, freedom: float) -> float:
    """Two-sided."""
    return 2 * float(stdtr(freedom, -abs(t)))


@dataclass(frozen=True)
class Comparison:
    """A group against the baseline.

    Attributes:
        test: how it was tested: `paired t`, `Welch's t`, or nothing (`why` says why).
        pairs: seeds that both have.
        difference: group less baseline: the mean of the pairs' differences, or of the means where there are none.
        error: its standard error; freedom: degrees of freedom.
        low, high: its 95 % interval, not adjusted for the number of comparisons.
        p: of this test alone; adjusted: by Holm, over the family.
        effect: Cohen's d_z of pairs, Hedges' g else (`measure` names it).
        detectable: the smallest true difference that as many seeds find with 80 % power, the family allowed for.
    """

    test: Literal["paired t", "Welch's t", ""]
    pairs: int
    difference: float
    why: str = ""
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
    def shown(self) -> bool:
        """Whether the difference is claimed: below 5 % after Holm."""
        return self.adjusted is not None and self.adjusted < LEVEL


Sample = Mapping[Any, float]  # {seed: value}; Any, since a Mapping is invariant in its keys


def compare_all(
    groups: Sequence[Sample], baseline: Sample, shared: Sequence[float] = (), of_baseline: float = 0.0
) -> list[Comparison]:
    """Each group against the baseline: one family of tests, adjusted by Holm (1979).

    shared: of each group, of_baseline: of the baseline, as above; without it 0.
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
    """One test: of the pairs where at least two seeds are common, else Welch's. Neither group is empty."""
    common = [seed for seed in group if seed in baseline]
    if len(common) >= 2:
        return _paired([group[seed] - baseline[seed] for seed in common], max(shared, of_baseline))
    one, two = summarise(list(group.values()), shared), summarise(list(baseline.values()), of_baseline)
    return _welch(one, two, len(common))


def _paired(differences: Sequence[float], shared: float) -> Comparison:
    found = summarise(differences, shared)
    if not found.sd or found.error is None:
        return Comparison("", found.n, found.mean, "every pair differs by the same: no spread to judge it by")
    return _tested(
        Comparison("paired t", found.n, found.mean, effect=found.mean / found.sd, measure="d_z"),
        found.error,
        found.n - 1,
    )


def _welch(one: Summary, two: Summary, pairs: int) -> Comparison:
    """Welch (1947), degrees of freedom by Satterthwaite; Hedges' g with the pooled deviation."""
    difference = one.mean - two.mean
    if one.error is None or two.error is None or one.sd is None or two.sd is None:
        return Comparison("", pairs, difference, "one seed alone: no test without two seeds of each")
    if not (one.sd or two.sd):
        return Comparison("", pairs, difference, "all seeds agree: no spread to judge it by")
    parts = one.error**2, two.error**2
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (one.n - 1) + parts[1] ** 2 / (two.n - 1))
    pooled_freedom = one.n + two.n - 2
    pooled = math.sqrt(((one.n - 1) * one.sd**2 + (two.n - 1) * two.sd**2) / pooled_freedom)
    effect = _small_sample(pooled_freedom) * difference / pooled
    bare = Comparison("Welch's t", pairs, difference, effect=effect, measure="g")
    return _tested(bare, math.sqrt(sum(parts)), freedom)


def _small_sample(freedom: int) -> float:
    """Hedges' (1981) factor, which takes the bias from Cohen's d."""
    gammas = math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)
    return math.exp(gammas) / math.sqrt(freedom / 2)


def _tested(bare: Comparison, error: float, freedom: float) -> Comparison:
    half = quantile(freedom) * error
    return replace(
        bare,
        error=error,
        freedom=freedom,
        low=bare.difference - half,
        high=bare.difference + half,
        p=p_value(bare.difference / error, freedom),
    )


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values, in the given order (Holm 1979); None, of what could not be tested, is not counted."""
    tested = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        adjusted[place] = highest
    return adjusted


def detectable(error: float | None, freedom: float | None, family: int = 1) -> float | None:
    """The smallest true difference that the test, done once more with as many seeds, finds with 80 % power.

    Holm's first step tests at 5 % / family: a difference that is alone in its family must pass that. `error` is an
    estimate itself, from few seeds; that is allowed for: 80 % is the mean over what it may have been.
    """
    if error is None or freedom is None or not family:
        return None
    return error * _standard_errors(math.floor(freedom * 10) / 10, family)  # tenths: few to be worked out


@cache
def _standard_errors(freedom: float, family: int) -> float:
    """How many of its estimated standard errors a difference must have: by bisection."""
    critical = quantile(freedom, LEVEL / family)
    chances = (np.arange(_POINTS) + 0.5) / _POINTS
    spreads = np.sqrt(chdtri(freedom, chances) / freedom)  # what the estimate may be, the truth being 1
    low, high = 0.0, critical
    while _power(high, critical, spreads) < POWER:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, critical, spreads) < POWER else (low, middle)
    return (low + high) / 2


def _power(times: float, critical: float, spreads: NDArray[np.float64]) -> float:
    """P(times * s + Z > critical * s'), s and s' being independent estimates of the same spread; Z normal.

    The other tail, a difference found with the wrong sign, adds nothing at this power.
    """
    return float(ndtr(times * spreads[:, None] - critical * spreads).mean())
