"""Label noise by confident learning, against labels flipped on purpose."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import binom
from sklearn.datasets import load_digits

from leyden.health.label_noise import estimate, label_noise, suspects
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
    rest = rng.uniform(0.5, 1.5, (N, CLASSES))  # of the other classes, of which one is the second choice
    rest[np.arange(N), says] = 0
    probabilities = rest / rest.sum(1, keepdims=True) * (1 - own)[:, None]
    probabilities[np.arange(N), says] = own
    flipped = np.sort(rng.choice(N, round(share * N), replace=False))
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + rng.integers(1, CLASSES, len(flipped))) % CLASSES
    return probabilities, labels, flipped


def found(share: float, **more: float) -> list:
    probabilities, labels, _ = model(share, **more)
    return findings(probabilities, labels)


def findings(probabilities: NDArray, labels: NDArray) -> list:
    return list(
        label_noise(
            probabilities,
            labels,
            np.arange(probabilities.shape[1])[None],
            [f"s{i}" for i in range(len(labels))],
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
    assert finding.evidence["share"] == pytest.approx(
        0.1, abs=0.06
    )  # a third of 300 samples' flips is not seen
    assert finding.evidence["low"] < 0.1
    assert f"s{finding.evidence['rows'][0]}" in finding.message


@pytest.mark.parametrize(
    ("share", "more"),
    [
        (0.0, {}),  # clean
        (0.02, {}),  # below the threshold, or by chance
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


def test_an_unsure_model_tells_as_well() -> None:
    """Trained on wrong labels it doubts every answer."""
    assert found(0.1, sure=0.6)


def test_the_estimate_is_the_share_that_was_flipped() -> None:
    shares = []
    for seed in range(50):
        probabilities, labels, _ = model(0.1, seed=seed)
        own = probabilities[np.arange(N), labels]
        shares.append(estimate(probabilities, own, CLASSES).share)
    assert np.mean(shares) == pytest.approx(
        0.1, abs=0.012
    )  # 3.3 standard errors of 50 times 200 visible of 300


def test_hard_samples_are_no_wrong_labels() -> None:
    """Ten classes of which neighbours overlap, exact probabilities: accuracy .8, and every label as it was drawn."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 10, 2000)
        z = -(((y + 0.39 * rng.standard_normal(2000))[:, None] - np.arange(10)) ** 2) / 2 / 0.39**2
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        assert 0.75 < (p.argmax(1) == y).mean() < 0.85
        assert findings(p, y) == []


def discriminant(x: NDArray, y: NDArray, new: NDArray) -> NDArray:
    """Probabilities of linear discriminant analysis: Gaussian classes of one covariance."""
    shares = np.bincount(y) / len(y)
    means = np.stack([x[y == c].mean(0) for c in range(len(shares))])
    covariance = np.cov((x - means[y]).T) + 0.003 * np.eye(x.shape[1])
    w = np.linalg.solve(covariance, means.T)
    return softmax(new @ w - (means * w.T).sum(1) / 2 + np.log(shares), axis=1)


def runs(share: float, times: int, two: bool) -> int:
    """In how many of `times` splits of the digits the finding comes, by a model that was trained on flipped labels.

    two: even digits against odd ones, on random waves of the pixels, since they are not linearly separable.
    """
    digits, count = load_digits(), 0
    x, truth = digits.data / 16, digits.target % 2 if two else digits.target
    if two:
        x = x @ np.random.default_rng(0).standard_normal((64, 300)) / 3
        x = np.cos(x + np.random.default_rng(1).uniform(0, 6.3, 300))
    classes = int(truth.max()) + 1
    for seed in range(times):
        rng = np.random.default_rng(seed)
        order, y = rng.permutation(len(truth)), truth.copy()
        flipped = order[rng.permutation(len(truth))[: round(share * len(truth))]]
        y[flipped] = (y[flipped] + rng.integers(1, classes, len(flipped))) % classes
        train, val = order[539:], order[:539]
        count += bool(findings(discriminant(x[train], y[train], x[val]), y[val]))
    return count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "two", "least", "most"),
    [
        (0.0, False, 0, 0.05),
        (0.05, False, 0.6, 1),
        (0.1, False, 0.95, 1),
        (0.0, True, 0, 0.05),
        (0.1, True, 0.9, 1),
    ],
)
def test_its_power_and_false_positives_are_as_documented(
    share: float, two: bool, least: float, most: float
) -> None:
    """docs/health.md: bounds are those of the binomial at 99.9 %."""
    times = 60
    count = runs(share, times, two)
    assert binom.ppf(0.0005, times, least) <= count <= binom.ppf(0.9995, times, most)
