"""Prototypes: means of the other input, absent rows and classes, probabilities, storage."""

import json

import numpy as np
import pytest

from leyden.decision.prototypes import Prototypes


def unit(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def test_an_input_is_compared_with_the_means_of_the_other() -> None:
    rng = np.random.default_rng(0)
    z, classes = unit(rng.normal(size=(40, 2, 5))), rng.integers(0, 3, 40)
    z[3, 1] = 0
    made = Prototypes.of(z, classes, 4)
    for way in (0, 1):
        there = z[:, 1 - way].any(axis=1)
        means = unit(np.stack([z[there & (classes == c), 1 - way].mean(0) for c in range(3)]))
        assert made.cosines(z)[:, way, :3] == pytest.approx(z[:, way] @ means.T)
        assert (made.cosines(z)[:, way, 3] == -np.inf).all()  # no training row
    assert made.classes(z)[3].tolist()[1] == -1
    assert np.exp(made.log_probabilities(z)).sum(axis=2) == pytest.approx(np.ones((40, 2)))


def test_probabilities_are_calibrated_on_the_rows_that_are_judged() -> None:
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(3, 5)))
    classes = rng.integers(0, 3, 3000)
    z = unit(centres[classes][:, None] + 0.6 * rng.normal(size=(3000, 2, 5)))
    plain = Prototypes.of(z[:2000], classes[:2000], 3)
    scaled = Prototypes.of(z[:2000], classes[:2000], 3, (z[1000:2000], classes[1000:2000]))
    rows, right = np.arange(1000), classes[2000:]
    for way in (0, 1):
        before, after = (
            -made.log_probabilities(z[2000:])[rows, way, right].mean() for made in (plain, scaled)
        )
        assert after < before - 0.05
        confidence = np.exp(scaled.log_probabilities(z[2000:])[:, way].max(axis=1))
        assert abs(confidence.mean() - (scaled.classes(z[2000:])[:, way] == right).mean()) < 0.05


def test_storage_gives_the_same_answers_and_refuses_others() -> None:
    rng = np.random.default_rng(1)
    z, classes = unit(rng.normal(size=(30, 2, 4))), rng.integers(0, 3, 30)
    made = Prototypes.of(z, classes, 3, (z, classes))
    again = Prototypes.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again.log_probabilities(z) == pytest.approx(made.log_probabilities(z), abs=1e-3)
    assert not Prototypes.from_dict(json.loads(json.dumps(Prototypes.unknown().to_dict()))).is_known
    for bad in (
        {},
        {"criterion": "greedy"},
        {**made.to_dict(), "means": [[1.0]]},
        {**made.to_dict(), "scales": [1]},
    ):
        with pytest.raises((ValueError, KeyError)):
            Prototypes.from_dict(bad)
