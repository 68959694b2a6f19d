"""False positives and power of the findings that are statistical tests: the table of docs/health.md, held to it.

`label_noise` is in test_label_noise.py.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from leyden.health.data import count_checks, distribution_shift, value_checks
from leyden.health.epoch_rules import judge
from leyden.health.epoch_stats import EpochStats, ValidationFacts
from leyden.health.settings import DiagnosticsSettings
from leyden.imbalance.class_exposure import exposure_findings
from leyden.metrics.calibration import binned_gaps, error

TIMES = 400
Random = np.random.Generator


def memorised(rng: Random, gap: float) -> bool:
    """Ten classes of 20 training and 20 validation samples, training recall .95; validation recall lower for one."""
    known, new = rng.binomial(20, 0.95, 10) / 20, rng.binomial(20, [0.95 - gap, *[0.95] * 9]) / 20
    rows = [
        {"name": str(c), "samples": 20, "draws_per_sample": 50.0, "recall_gap": known[c] - new[c]}
        for c in range(10)
    ]
    train, val = ([{"recall": {"value": r}, "n": 20} for r in recalls] for recalls in (known, new))
    return bool(list(exposure_findings(rows, train, val)))


def mismatched(rng: Random, above: float) -> bool:
    """Ten epochs of accuracies on 500 samples of ten even classes: `above` chance, when training samples are known."""
    scalars = {"train/accuracy": 0.9, "train/loss": 0.3, "val/loss": 3.0}
    epochs = [
        EpochStats(10, {**scalars, "val/accuracy": rng.binomial(500, 0.1 + above) / 500}, 0.1)
        for _ in range(10)
    ]
    facts = ValidationFacts([0.1] * 10, 500, [str(c) for c in range(10)])
    found = judge(epochs, facts, DiagnosticsSettings())
    return any(finding.id == "validation_mismatch" for finding in found)


def miscalibrated(rng: Random, excess: float) -> bool:
    """1,500 samples whose confidence is `excess` above the probability of being right, at most 1."""
    right = rng.beta(4, 1.5, 1500)
    gaps = binned_gaps(np.minimum(right + excess, 1.0), rng.random(1500) < right)
    epoch = EpochStats(10, {"val/ece": float(error(gaps, 1500))}, 0.1)
    facts = ValidationFacts([0.1] * 10, 1500, [str(c) for c in range(10)])
    return any(finding.id == "miscalibrated" for finding in judge([epoch], facts, DiagnosticsSettings()))


def labels_shifted(rng: Random, distance: float) -> bool:
    """Classes of 300 validation and 300 test samples, ten of even shares; `distance` moves to the first of them."""
    shares = np.full(10, 0.1) - distance / 9
    shares[0] = 0.1 + distance
    val, test = rng.multinomial(300, np.full(10, 0.1)), rng.multinomial(300, shares)
    apart = np.abs(val - test).sum() / 600
    return bool(
        apart > count_checks.MAX_DISTANCE and count_checks._p_value(val, test) <= count_checks.SIGNIFICANCE
    )


def targets_shifted(rng: Random, deviations: float) -> bool:
    """A normal target of 300 rows each, the means `deviations` apart."""
    one, other = rng.standard_normal(300), rng.standard_normal(300) + deviations
    distance = value_checks._distance(one, other)
    p = value_checks._p_value(distance, 300, 300)
    return bool(distance > value_checks.MAX_DISTANCE and p < value_checks.SIGNIFICANCE)


def inputs_shifted(rng: Random, deviations: float) -> bool:
    """Sixteen normal features of 200 rows each, the means `deviations` apart along one direction."""
    one, other = rng.standard_normal((200, 16)), rng.standard_normal((200, 16)) + deviations / 4
    return distribution_shift._separability(one, other) > distribution_shift.MAX_AUROC


@pytest.mark.slow
@pytest.mark.parametrize(
    ("finding", "effect", "rate"),
    [
        (memorised, 0.0, 0.01),
        (memorised, 0.3, 0.35),
        (memorised, 0.5, 0.8),
        (mismatched, 0.1, 0.01),
        (mismatched, 0.0, 0.99),
        (miscalibrated, 0.0, 0.01),
        (miscalibrated, 0.08, 0.97),
        (labels_shifted, 0.0, 0.001),
        (labels_shifted, 0.2, 0.9),
        (targets_shifted, 0.0, 0.001),
        (targets_shifted, 0.5, 0.9),
        (inputs_shifted, 0.0, 0.001),
        (inputs_shifted, 1.0, 0.01),
        (inputs_shifted, 2.0, 0.99),
    ],
)
def test_how_often_it_is_found(finding: Callable[[Random, float], bool], effect: float, rate: float) -> None:
    found = sum(finding(np.random.default_rng([trial, 7]), effect) for trial in range(TIMES))
    print(f"{finding.__name__} {effect}: {found / TIMES:.3f}")
    assert binom.ppf(0.0005, TIMES, rate) <= found <= binom.ppf(0.9995, TIMES, rate)
