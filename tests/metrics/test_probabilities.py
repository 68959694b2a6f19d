"""Log softmax against its definition, along each axis, and where exp overflows."""

import numpy as np
import pytest

from leyden.metrics.probabilities import log_softmax


@pytest.mark.parametrize("axis", [0, 1])
def test_log_softmax_is_its_definition(axis: int) -> None:
    scores = np.random.default_rng(0).normal(size=(5, 7))
    expected = np.log(np.exp(scores) / np.exp(scores).sum(axis, keepdims=True))
    np.testing.assert_allclose(log_softmax(scores, axis), expected, rtol=1e-12)


def test_scores_of_any_size_give_probabilities() -> None:
    log_p = log_softmax(np.array([[1e4, 0.0, -1e4], [-1e9, -1e9, -1e9]]))
    np.testing.assert_allclose(np.exp(log_p), [[1, 0, 0], [1 / 3] * 3])
    assert np.isfinite(log_p).all()
