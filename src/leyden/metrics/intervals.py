"""95 % intervals: Wilson's of a proportion, Newcombe's of a mean of two, and one from influences for all other metrics.

Every interval here takes the samples of the split as independent. Where they are not (several clips of one
speaker) the truth is wider, and an interval never covers the luck of the training seed.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, stdtrit

from leyden.metrics.results import Estimate
from leyden.utils.text import plural

Z = 1.959963984540054  # the 97.5 % point of the standard normal
_TAILS = (2.5, 97.5)
_MIN_FOR_PERCENTILES = 100  # below it a 2.5 % point rests on two resamples: the standard error is used
_LARGEST = 700.0  # exponent
_FEWEST, _FEW = 3, 5  # errors, for an interval of a mean loss, and for a lower end
_FREEDOM = 6.0  # least degrees of freedom: with fewer intervals are much wider and hold hardly more
SHARE, CORRELATION, POSITIVE, AT_MOST_ONE = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf), (-math.inf, 1.0)
ANY = (-math.inf, math.inf)
_FORMS = {
    SHARE: "score interval",
    CORRELATION: "score interval",
    POSITIVE: "log scale",
    AT_MOST_ONE: "log scale",
    ANY: "",
}


def number(value: float) -> float | None:
    """None for NaN: what is undefined."""
    return None if math.isnan(value) else float(value)


def without(value: float, reason: str) -> Estimate:
    """The value without an interval, and why there is none; undefined for NaN."""
    return Estimate(None) if math.isnan(value) else Estimate(float(value), method=f"none: {reason}")


def wilson(hits: int, n: int) -> Estimate:
    """hits / n with Wilson's score interval (Wilson 1927), modified near 0 and 1 (Brown, Cai and DasGupta 2001).

    Where one to three samples differ from all others Wilson's near end is too far from 0 or 1: .81 to .88 of intervals
    hold a share that makes a fraction of a sample of the split. It is replaced by the mean of the Poisson distribution
    under which so many or more have a probability of 5 %.
    """
    if n == 0:
        return Estimate(None)
    share, misses, few = hits / n, n - hits, 2 if n <= 50 else 3
    low, high = _score_ends(share, n, Z)
    if hits <= few:
        low = _poisson_mean(hits) / n
    if misses <= few:
        high = 1.0 - _poisson_mean(misses) / n
    modified = 0 < hits <= few or 0 < misses <= few
    return Estimate(share, low, high, "Wilson, modified" if modified else "Wilson")


def _score_ends(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's: (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n) of a share p, z the quantile."""
    spread = quantile**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = quantile * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return centre - half, centre + half


def _poisson_mean(count: int) -> float:
    """The mean under which `count` or more have a probability of 5 %; 0 of none."""
    return float(gammaincinv(count, 0.05)) if count else 0.0


def newcombe(hits: NDArray[np.integer], n: NDArray[np.integer]) -> Estimate:
    """Mean of the shares hits / n (K,), n > 0: the squared distances to Wilson's ends are added (Newcombe 1998)."""
    value, ends = float(np.mean(hits / n)), [wilson(int(h), int(m)) for h, m in zip(hits, n, strict=True)]
    share, low, high = np.array([(e.value, e.low, e.high) for e in ends], dtype=np.float64).T
    reach = [math.sqrt(((share - end) ** 2).sum()) / len(n) for end in (low, high)]
    return Estimate(value, max(0.0, value - reach[0]), min(1.0, value + reach[1]), "Newcombe")


def f1(hits: int, either: int) -> Estimate:
    """F1 = 2 J / (1 + J) of J = hits / either: of the samples with the label or the prediction, the share with both.

    Given `either` the hits are binomial: the ends are Wilson's of J, through the same formula.
    """
    j = wilson(hits, either)
    value, low, high = (None if end is None else 2 * end / (1 + end) for end in (j.value, j.low, j.high))
    return Estimate(value, low, high, j.method)


def by_influence(
    value: float,
    influence: NDArray[np.float64],
    bounds: tuple[float, float],
    *,
    counts: NDArray[np.float64] | float = 1.0,
    sizes: NDArray[np.integer] | None = None,
    bias: float = 0.0,
    skewed: bool = False,
    of_counts: bool = False,
    name: str = "jackknife",
) -> Estimate:
    """The interval of a smooth metric by the infinitesimal jackknife (Jaeckel 1972, Efron 1982), within its range.

    influence (m,): by how much the value grows with the weight of a sample, over n; `counts` (m,) samples have each.
    The variance is the sum of squares. Between finite `bounds` the ends are Wilson's, of the share of the range that
    the value is, and of as many samples as would give it this variance (Franco et al. 2019); with one finite bound
    the distance to it is moved on a log scale. So no end leaves the range. The quantile is Student's t, its
    degrees of freedom those of the variance (Satterthwaite 1946) from the influences' kurtosis: where few samples
    decide the value, its error is not known well. They are halved for `skewed` influences, whose sample understates its
    own kurtosis. `of_counts`: the same, but only the kurtosis beyond that of a share counts, whose own Wilson's ends
    allow for. The interval is about value - bias, at most half way to a bound. A value at a bound has one only with
    `sizes`: see `at_bound`.
    """
    if math.isnan(value):
        return Estimate(None)
    weights = np.broadcast_to(counts, influence.shape)
    n, squares = float(weights.sum()), float(weights @ influence**2)
    low, high = bounds
    if min(value - low, high - value) < 1e-12 or n < 2 or squares == 0:
        return without(value, "all samples agree") if sizes is None else at_bound(value, bounds, sizes)
    centre, variance = min(max(value - bias, (value + low) / 2), (value + high) / 2), squares * n / (n - 1)
    # relative variance of the variance, over 2
    uncertainty = float(weights @ influence**4 / squares**2) - 1 / n
    if of_counts:
        uncertainty -= _of_share(centre, variance, bounds)
    freedom = n - 1
    if uncertainty > 0:
        freedom = min(freedom, max(_FREEDOM, (1 if skewed or of_counts else 2) / uncertainty))
    low, high = _ends(centre, math.sqrt(variance), float(stdtrit(freedom, 0.975)), bounds)
    return Estimate(float(value), low, high, f"{name}, {_FORMS[bounds]}")


def _of_share(value: float, variance: float, bounds: tuple[float, float]) -> float:
    """Relative variance, over 2, of the variance of a share of the range that is as uncertain as this value."""
    low, high = bounds
    product = (value - low) * (high - value)
    return max((high - low) ** 2 / product - 4, 0.0) * variance / product


def _ends(value: float, error: float, quantile: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """Ends of the interval of a value with a standard error, none beyond `bounds`."""
    low, high = bounds
    below, above, reach = value - low, high - value, quantile * error
    if math.isinf(above) and math.isinf(below):
        return value - reach, value + reach
    if math.isinf(above):
        factor = math.exp(min(reach / below, _LARGEST))
        return low + below / factor, low + below * factor
    if math.isinf(below):
        factor = math.exp(min(reach / above, _LARGEST))
        return high - above * factor, high - above / factor
    ends = _score_ends(below / (high - low), below * above / error**2, quantile)
    return low + (high - low) * ends[0], low + (high - low) * ends[1]


def at_bound(value: float, bounds: tuple[float, float], sizes: NDArray[np.integer]) -> Estimate:
    """Of a perfect score, or the opposite: Newcombe's of classes of so many samples, all right, or all wrong."""
    perfect = newcombe(sizes, sizes)
    reach = 1.0 - (perfect.low or 0.0)
    low, high = bounds
    low, high = (high - reach, high) if high - value < value - low else (low, low + reach)
    return Estimate(float(value), low, high, "Newcombe, all agree")


def percentiles(value: float, resampled: NDArray[np.float64]) -> Estimate:
    """The bootstrap's 95 % interval (Efron 1979) from resampled values (R,); undefined ones are left out.

    Where every resample gives the same value (a perfect score) the bootstrap knows nothing of the
    uncertainty: there is then no interval, rather than one of width 0.
    """
    if math.isnan(value):
        return Estimate(None)
    defined = resampled[~np.isnan(resampled)]
    count = len(defined)
    if count < 2 or np.ptp(defined) < 1e-12:
        return without(value, "all resamples agree")
    if count < _MIN_FOR_PERCENTILES:
        half = Z * float(np.std(defined, ddof=1))
        return Estimate(float(value), value - half, value + half, f"bootstrap SE, {count} resamples")
    low, high = np.percentile(defined, _TAILS)
    return Estimate(float(value), float(low), float(high), f"bootstrap, {count} resamples")


def mean_loss(losses: NDArray[np.float64], errors: int) -> Estimate:
    """Mean of losses (N,) >= 0, with an interval where there are three errors or more.

    An error costs far more than another sample. A split with fewer says next to nothing of what errors cost: in
    simulations of nearly perfect nets every method covered .3 to .9. Below five the lower end is 0: three may be many
    for the net, as splits with fewer are not shown.
    """
    value = float(losses.mean())
    if errors < _FEWEST:
        return without(value, f"only {plural(errors, 'error')}")
    found = by_influence(value, (losses - value) / len(losses), POSITIVE)
    return found if errors >= _FEW else Estimate(value, 0.0, found.high, found.method + ", from 0")
