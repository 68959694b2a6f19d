"""Label noise by confident learning, against labels flipped on purpose."""

import numpy as np
import pytest
from numpy.typing import NDArray

from leyden.health.label_noise import label_noise, suspects
from leyden.health.settings import DiagnosticsSettings

N, CLASSES = 600, 4


def model(
    share: float, sure: float = 0.95, wrong: float = 0.0, seed: int = 0
) -> tuple[NDArray, NDArray, NDArray]:
    """Probabilities of a model that knows the true classes, labels with a share flipped, and the flipped rows."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, N)
    says = np.where(rng.random(N) < wrong, (truth + 1) % CLASSES, truth)
    own = np.clip(sure + 0.03 * rng.standard_normal(N), 0.5, 0.995)
    probabilities = np.repeat(((1 - own) / (CLASSES - 1))[:, None], CLASSES, axis=1)
    probabilities[np.arange(N), says] = own
    flipped = np.sort(rng.choice(N, round(share * N), replace=False))
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + rng.integers(1, CLASSES, len(flipped))) % CLASSES
    return probabilities, labels, flipped


def found(share: float, **more: float) -> list:
    probabilities, labels, _ = model(share, **more)
    return list(
        label_noise(
            probabilities,
            labels,
            np.arange(probabilities.shape[1])[None],
            [f"s{i}" for i in range(N)],
            DiagnosticsSettings(),
        )
    )


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_flipped_labels_are_the_suspects(share: float) -> None:
    probabilities, labels, flipped = model(share)
    named = suspects(probabilities, labels, np.arange(probabilities.shape[1])[None])
    assert len(np.intersect1d(named, flipped)) >= 0.9 * len(flipped)
    assert len(np.setdiff1d(named, flipped)) <= 0.02 * N


def test_the_most_probable_classes_and_the_true_one_suffice() -> None:
    """What is stored of many classes names the same suspects."""
    probabilities, labels, _ = model(0.1)
    classes = np.column_stack((np.argsort(-probabilities, axis=1)[:, :2], labels))
    some = np.take_along_axis(probabilities, classes, axis=1)
    everything = suspects(probabilities, labels, np.arange(CLASSES)[None])
    np.testing.assert_array_equal(suspects(some, labels, classes), everything)


def test_the_most_certain_comes_first() -> None:
    probabilities, labels, flipped = model(0.05)
    margins = probabilities.max(1) - probabilities[np.arange(N), labels]
    named = suspects(probabilities, labels, np.arange(probabilities.shape[1])[None])
    assert (np.diff(margins[named]) <= 0).all()
    assert named[0] in flipped


def test_it_is_an_error_with_names() -> None:
    (finding,) = found(0.1)
    assert (finding.id, finding.level, finding.where) == ("label_noise", "error", "val")
    assert finding.evidence["share"] == pytest.approx(0.1, abs=0.02)
    assert f"s{finding.evidence['rows'][0]}" in finding.message


@pytest.mark.parametrize(
    ("share", "more"),
    [
        (0.0, {}),  # clean
        (0.02, {}),  # below the threshold, or by chance
        (0.1, {"sure": 0.55}),  # an unconfident model
        (0.1, {"wrong": 0.6}),  # a model that is wrong more often than the labels
    ],
)
def test_no_false_alarm(share: float, more: dict[str, float]) -> None:
    assert found(share, **more) == []


def test_a_class_without_samples() -> None:
    probabilities, labels, _ = model(0.0)
    labels[labels == 3] = 2
    of_the_missing = probabilities.argmax(1) == 3
    assert not of_the_missing[suspects(probabilities, labels, np.arange(probabilities.shape[1])[None])].any()
