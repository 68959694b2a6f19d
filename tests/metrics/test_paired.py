"""McNemar's test against scipy's binomial test; the interval of the difference against what it promises."""

import numpy as np
import pytest
from scipy import stats

from leyden.metrics.paired import error_difference, mcnemar


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 5), (3, 14), (90, 5), (0, 30), (400, 380)])
def test_mcnemar_is_the_binomial_test_of_the_discordant_samples(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_the_difference_is_that_of_the_error_rates() -> None:
    here, there = np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.array([0, 0, 1, 1, 0, 0, 0, 0])
    first, second = int((here > there).sum()), int((there > here).sum())
    found = error_difference(first, second, 8)
    assert found.value == pytest.approx(there.mean() - here.mean())
    other = error_difference(second, first, 8)
    assert (found.low, found.high) == pytest.approx((-(other.high or 0), -(other.low or 0)))


@pytest.mark.parametrize(
    ("n", "p", "q"), [(40, 0.05, 0.02), (100, 0.1, 0.1), (300, 0.2, 0.05), (60, 0.01, 0.3)]
)
def test_the_interval_holds_the_true_difference_in_ninety_five_percent(n: int, p: float, q: float) -> None:
    drawn = np.random.default_rng(0).multinomial(n, [p, q, 1 - p - q], 4000)
    cells, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    held = 0
    for (first, second), count in zip(cells.tolist(), times.tolist(), strict=True):
        found = error_difference(first, second, n)
        held += count * ((found.low or 0) <= q - p <= (found.high or 0))
    assert held / 4000 >= 0.935


def test_no_difference_has_an_interval_too() -> None:
    found = error_difference(0, 0, 50)
    assert found.value == 0
    assert (found.low or 0) < -0.02
    assert (found.high or 0) > 0.02
