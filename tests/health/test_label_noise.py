"""Label noise by margins: a group apart is found, hard samples and classes that were not learned are none."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import binom, norm
from sklearn.mixture import GaussianMixture

from leyden.health.findings import Finding
from leyden.health.label_noise import Noise, find_noise, fit_modes, label_noise, ranking
from leyden.health.settings import DiagnosticsSettings
from leyden.training.job import train

N = 2000
RIGHT, WRONG, WIDTH = 1.4, 0.2, 0.3  # of atanh(margin)


def two_groups(share: float, seed: int = 0, wrong: float = WRONG) -> tuple[NDArray, NDArray, NDArray]:
    """Margins, classes, and which labels are wrong."""
    rng = np.random.default_rng(seed)
    is_wrong = np.arange(N) < round(share * N)
    x = np.where(is_wrong, wrong, RIGHT) + WIDTH * rng.standard_normal(N)
    return np.tanh(x).astype(np.float32), rng.integers(0, 10, N), is_wrong


def noise_of(margins: NDArray, labels: NDArray, draws: int = 9) -> Noise:
    return find_noise(margins, np.full(len(margins), draws), labels)


def test_the_valley_is_that_of_the_mixture() -> None:
    """Of .9 N(1.4, .3) + .1 N(.2, .3) by its own density."""

    def density(x: float) -> float:
        return float(0.9 * norm.pdf(x, RIGHT, WIDTH) + 0.1 * norm.pdf(x, WRONG, WIDTH))

    expected = minimize_scalar(density, bounds=(WRONG, RIGHT), method="bounded").x
    at = [np.arctanh(noise_of(*two_groups(0.1, seed)[:2]).valley) for seed in range(20)]
    assert np.mean(at) == pytest.approx(expected, abs=0.02)


def test_the_mixture_is_that_of_greatest_likelihood() -> None:
    """As scikit-learn finds it; the bins are narrow, and the least width adds little."""
    x = np.arctanh(two_groups(0.1)[0].astype(np.float64))
    oracle = GaussianMixture(2, means_init=[[RIGHT], [WRONG]], tol=1e-8, max_iter=1000).fit(x[:, None])
    found = fit_modes(x)
    np.testing.assert_allclose(found.means, oracle.means_[:, 0], atol=0.01)
    np.testing.assert_allclose(found.weights, oracle.weights_, atol=0.005)
    np.testing.assert_allclose(found.deviations, np.sqrt(oracle.covariances_[:, 0, 0]), atol=0.01)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_the_flagged_are_wrong_and_their_share_is_the_rate(share: float) -> None:
    for seed in range(10):
        margins, labels, wrong = two_groups(share, seed)
        found = noise_of(margins, labels)
        assert wrong[found.flagged].mean() > 0.9
        assert found.flagged[wrong].mean() > 0.7
        assert found.share == pytest.approx(share, abs=0.015)
        assert found.low < found.share < found.high


def test_hard_samples_do_not_widen_the_lower_group_until_it_is_none() -> None:
    """Margins as on recordings: right labels with heavy tails, wrong ones spread more widely."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        wrong = np.arange(N) < N // 10
        x = np.where(wrong, -1.5 + 0.8 * rng.standard_normal(N), 0.45 + 0.34 * rng.standard_t(6, N))
        found = noise_of(np.tanh(x).astype(np.float32), rng.integers(0, 10, N))
        assert found.share == pytest.approx(0.1, abs=0.03)
        assert wrong[found.flagged].mean() > 0.9


def test_one_group_has_no_suspects() -> None:
    for seed in range(30):
        margins, labels, _ = two_groups(0.0, seed)
        found = noise_of(margins, labels)
        assert found.flagged.mean() < 0.005  # one or two rows that are far from all others
        assert found_in(found, margins) == []


def overlapping(seed: int, width: float, classes: int = 10, share: float = 0.0) -> tuple[NDArray, NDArray]:
    """Mean margins of the exact posterior of classes along a line, which overlap: hard samples, rightly labelled."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, N)
    x = y + width * rng.standard_normal(N)
    flipped = rng.random(N) < share
    labels = np.where(flipped, (y + rng.integers(1, classes, N)) % classes, y)
    z = -((x[:, None] - np.arange(classes)) ** 2) / 2 / width**2
    own = z[np.arange(N), labels]
    z[np.arange(N), labels] = -np.inf
    return np.tanh((own - z.max(1)) / 2).astype(np.float32), labels


@pytest.mark.parametrize("width", [0.3, 0.39, 0.5, 1.0])
def test_hard_samples_are_no_wrong_labels(width: float) -> None:
    for seed in range(20):
        margins, labels = overlapping(seed, width)
        assert found_in(noise_of(margins, labels), margins) == []


def test_a_class_that_was_not_learned_is_left_out() -> None:
    margins, labels, wrong = two_groups(0.05)
    unlearned = labels == 3
    margins[unlearned] = np.tanh(-1 + 0.3 * np.random.default_rng(1).standard_normal(unlearned.sum()))
    found = noise_of(margins, labels)
    assert not found.flagged[unlearned].any()
    assert found.flagged[wrong & ~unlearned].mean() > 0.7


def test_few_draws_tell_nothing() -> None:
    margins, labels, _ = two_groups(0.1)
    assert noise_of(margins, labels, draws=2).flagged.any()
    assert not noise_of(margins, labels, draws=1).flagged.any()
    assert not noise_of(margins[:40], labels[:40]).flagged.any()


def test_rows_that_were_not_drawn_are_no_suspects() -> None:
    margins, labels, _ = two_groups(0.1)
    margins[::7] = np.nan
    found = noise_of(margins, labels)
    assert found.flagged.any()
    assert not found.flagged[::7].any()
    assert np.isnan(margins[ranking(margins)[-len(margins[::7]) :]]).all()


def found_in(noise: Noise, margins: NDArray) -> list[Finding]:
    rows = np.arange(len(margins)) + 100
    return list(label_noise(noise, margins, rows, ["a.png ('1', else answered '7')"], DiagnosticsSettings()))


def test_it_is_an_error_with_names() -> None:
    margins, labels, _ = two_groups(0.1)
    (finding,) = found_in(noise_of(margins, labels), margins)
    assert (finding.id, finding.level, finding.where) == ("label_noise", "error", "train")
    assert "about 9.35 % of the training labels" in finding.message
    assert "a.png ('1', else answered '7')" in finding.message
    assert finding.evidence["low"] < finding.evidence["share"] < finding.evidence["high"]
    assert finding.evidence["rows"][0] == int(margins.argmin()) + 100


def test_few_wrong_labels_are_no_finding() -> None:
    """One in a hundred is below the threshold, of 1.5 %."""
    margins, labels, wrong = two_groups(0.01, wrong=-0.5)
    found = noise_of(margins, labels)
    assert found.flagged[wrong].mean() > 0.7
    assert found_in(found, margins) == []


@pytest.mark.slow
@pytest.mark.parametrize(("share", "rate"), [(0.0, 0.0), (0.1, 0.95)])
def test_its_power_and_false_positives_are_as_documented(
    share: float, rate: float, tiny: Callable[..., list[str]]
) -> None:
    """docs/health.md, of a net that is trained in a second; bounds are those of the binomial at 99.9 %."""
    times = 12
    words = [
        "data=digits",
        "model=mlp",
        "trainer=cpu",
        "threads=1",
        "logger=none",
        f"data.flipped_labels={share}",
    ]
    count = 0
    tiny()  # in a folder of its own
    for seed in range(times):
        result = train([*words, f"seed={seed}", f"data.flip_seed={seed}"]).result
        count += any(finding["id"] == "label_noise" for finding in result["doctor"])
    assert binom.ppf(0.0005, times, rate) <= count <= binom.ppf(0.9995, times, rate)
