"""The shares that a net answers by, found on validation rows, against nets whose shares are known."""

import numpy as np
import pytest
from scipy.special import logit

from leyden.decision import DecisionRule
from leyden.decision.answered_prior import answered_prior
from leyden.decision.label_rule import LabelPriorRule
from leyden.metrics.probabilities import log_softmax
from leyden.utils.errors import UserError

MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
SHARES = np.array([0.6, 0.3, 0.1])  # that the net answers by
OTHERS = np.array([0.2, 0.3, 0.5])  # of the rows


def drawn(n: int, shares: np.ndarray, answers_by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact logits (n, 3) under `answers_by`, of rows with `shares`."""
    rng = np.random.default_rng(0)
    y = rng.choice(3, n, p=shares)
    x = MEANS[y] + rng.standard_normal((n, 2))
    return -((x[:, None] - MEANS) ** 2).sum(2) / 2 + np.log(answers_by), y


@pytest.mark.parametrize("of_rows", [SHARES, OTHERS])
@pytest.mark.parametrize("imposed", [SHARES, OTHERS])
def test_it_does_not_depend_on_the_shares_of_the_rows(of_rows: np.ndarray, imposed: np.ndarray) -> None:
    z, y = drawn(20_000, of_rows, SHARES)
    temperature, found = answered_prior(z, y, imposed)
    assert temperature == 1
    np.testing.assert_allclose(found, SHARES, atol=0.02)


def test_where_outputs_say_nothing_it_is_their_mean() -> None:
    y = np.repeat(np.arange(3), [700, 200, 100])
    z = np.tile(np.log([0.5, 0.3, 0.2]), (1000, 1)) + 0.1 * np.random.default_rng(0).standard_normal(
        (1000, 3)
    )
    mean = np.exp(log_softmax(z)).mean(0)
    np.testing.assert_allclose(answered_prior(z, y, np.array([0.7, 0.2, 0.1]))[1], mean, atol=0.005)


def test_a_temperature_is_fitted_with_the_shares() -> None:
    z, y = drawn(20_000, OTHERS, SHARES)
    temperature, found = answered_prior(2.5 * z, y, OTHERS, scaled=True)
    assert temperature == pytest.approx(2.5, rel=0.05)
    np.testing.assert_allclose(found, SHARES, atol=0.02)


def test_few_rows_leave_it_near_what_is_imposed() -> None:
    """Rows that all are answered rightly, surely, say nothing."""
    y = np.array([0, 0, 0, 1, 1, 2])
    np.testing.assert_allclose(answered_prior(40 * np.eye(3)[y], y, OTHERS)[1], OTHERS, atol=1e-3)
    z, y = drawn(30, SHARES, SHARES)
    assert abs(answered_prior(z, y, SHARES)[1] - SHARES).max() < 0.1


def test_a_class_without_rows_keeps_its_share_and_no_rows_are_refused() -> None:
    z, y = drawn(2000, SHARES, SHARES)
    z = np.column_stack((z, np.full(len(z), -9.0)))
    imposed = np.array([0.5, 0.2, 0.1, 0.2])
    found = answered_prior(z, y, imposed)[1]
    assert found[3] == 0.2
    np.testing.assert_allclose(found[:3], 0.8 * SHARES, atol=0.05)
    with pytest.raises(UserError, match=r"the split has none: choose decision=none"):
        answered_prior(z[:0], y[:0], imposed)


def test_of_labels() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((20_000, 3)) < [0.05, 0.5, 0.0]).astype(float)
    answers_by = np.array([0.5, 0.2, 0.3])
    z = y + rng.standard_normal(y.shape) - 0.5 + logit(answers_by)  # N(0, 1) and N(1, 1)
    imposed = np.array([0.05, 0.5, 0.3])
    found = answered_prior(z, y, imposed)[1]
    np.testing.assert_allclose(found, answers_by, atol=0.02)
    point = LabelPriorRule("training").fit(z, y, "abc", imposed, imposed, exact=False)
    np.testing.assert_allclose(point.shift, logit(imposed) - logit(found), atol=1e-9)


@pytest.mark.parametrize("temperature", [True, False])
def test_a_rule_starts_from_it_where_the_ledger_is_not_exact(temperature: bool) -> None:
    """Sharpened logits of other shares than the ledger's: after the shift the mean is the shares of the rows."""
    z, y = drawn(20_000, OTHERS, SHARES)
    uniform = np.full(3, 1 / 3)
    rule = DecisionRule(temperature=temperature, target_prior=dict(zip("abc", OTHERS, strict=True)))
    for exact in (True, False):
        point = rule.fit(1.5 * z, y, "abc", uniform, OTHERS, exact)
        gap = abs(np.exp(point.log_probabilities(1.5 * z)).mean(0) - OTHERS).max()
        assert (gap < 0.01) != exact


def test_calibrated_is_for_the_shares_of_validation_and_leaves_the_answers() -> None:
    """After balanced softmax the mean probabilities are those of the data, and the answers as balanced as before."""
    uniform = np.full(3, 1 / 3)
    z, y = drawn(20_000, SHARES, uniform)
    rule = DecisionRule(temperature=True, target_prior="validation", criterion="unchanged")
    point = rule.fit(1.5 * z, y, "abc", uniform, SHARES)
    log_p = point.log_probabilities(1.5 * z)
    np.testing.assert_allclose(np.exp(log_p).mean(0), np.bincount(y) / len(y), atol=0.01)
    np.testing.assert_array_equal(point.decide(log_p), z.argmax(1))
    assert point.temperature == pytest.approx(1.5, rel=0.05)
    assert (log_p.argmax(1) != z.argmax(1)).mean() > 0.05
