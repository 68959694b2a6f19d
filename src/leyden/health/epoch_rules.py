"""Findings from the statistics of all epochs: frozen layers, dead units, calibration, waiting. Plain numbers."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from leyden.health import fit_rules
from leyden.health.epoch_stats import EpochStats, ValidationFacts, last_value
from leyden.health.findings import Finding, Level
from leyden.health.settings import DiagnosticsSettings
from leyden.utils.text import and_more, percent

_LISTED = 3  # layers
_OF_A_HIGH_RATE = ("dead_units", "saturated_gates", "large_updates")  # what a rate far too high leaves behind
_OF_NO_FIT = ("collapsed", "underfitting")
_FEWEST_CALIBRATION = 1500  # samples: of 500 a calibrated net has an error above .05 in two of five cases


def judge(
    epochs: Sequence[EpochStats], facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    """Every finding of a finished training from the statistics of its epochs."""
    findings = list(_findings(epochs, facts, settings)) if epochs else []
    too_fast = any(finding.id in _OF_A_HIGH_RATE for finding in findings)
    for finding in findings:
        yield _with_lower_rate(finding) if too_fast and finding.id in _OF_NO_FIT else finding


def _with_lower_rate(finding: Finding) -> Finding:
    """The finding with a lower rate as its first advice, and none that raises it."""
    others = [advice for advice in finding.advice if not advice.startswith("optimizer.lr=")]
    return replace(finding, advice=("optimizer.lr={rate/10}", *others))


def _findings(
    epochs: Sequence[EpochStats], facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    yield from _frozen(epochs)
    moving = any(any(ratio > 0 for ratio in epoch.update.values()) for epoch in epochs)
    if moving or not epochs[-1].update:
        yield from _dead(epochs[-2:], settings)
        yield from fit_rules.collapse(epochs, facts, settings)
    yield from _updates(epochs, settings)
    yield from fit_rules.fit(epochs, facts, settings)
    yield from _calibration(epochs[-1], facts, settings)
    waits = [epoch.waiting for epoch in epochs]
    if statistics.median(waits) > settings.data_wait:
        yield Finding(
            "data_wait",
            "warning",
            f"{percent(statistics.median(waits), 2)} of the training time is spent waiting for data",
            advice=("data.workers=4", "data.limit_gb=32"),
            evidence={"share": statistics.median(waits)},
        )


def _frozen(epochs: Sequence[EpochStats]) -> Iterator[Finding]:
    """Weights that are not updated: all of them, or those of some layers."""
    if all(epoch.rate == 0 for epoch in epochs):
        yield Finding(
            "zero_learning_rate",
            "error",
            "the learning rate is 0 in every step",
            advice=("optimizer.lr=0.001",),
        )
        return
    measured = [epoch for epoch in epochs if epoch.update]
    if not measured:
        return
    layers = list(measured[0].update)
    frozen = [layer for layer in layers if all(e.update.get(layer, 0) == 0 for e in measured)]
    if len(frozen) == len(layers):
        yield Finding(
            "frozen",
            "error",
            "no weight is updated, although the learning rate is not 0: the optimizer does not have the model's "
            "parameters, or no gradient reaches them",
            evidence={"layers": layers},
        )
    elif frozen:
        yield Finding(
            "frozen_layers",
            "warning",
            f"never updated: {and_more(frozen, _LISTED)}: no gradient reaches them",
            where=frozen[0],
            evidence={"layers": frozen},
        )


def _dead(latest: Sequence[EpochStats], settings: DiagnosticsSettings) -> Iterator[Finding]:
    """ReLU channels dead in the last two epochs, and saturated units; a single epoch needs the error threshold."""
    shares = {name: min(e.dead.get(name, 0.0) for e in latest) for name in latest[-1].dead}
    least = settings.dead if len(latest) > 1 else settings.dead_error
    bad = {name: share for name, share in shares.items() if share > least}
    if bad:
        worst = max(bad, key=lambda name: bad[name])
        level: Level = "error" if bad[worst] > settings.dead_error else "warning"
        yield Finding(
            "dead_units",
            level,
            f"{percent(bad[worst], 2)} of the channels of {worst} are 0 for every sample of a validation batch"
            + (
                f"; more than {percent(settings.dead, 2)} are dead in {len(bad) - 1} other layers"
                if len(bad) > 1
                else ""
            ),
            where=worst,
            advice=("optimizer.lr={rate/10}",),
            evidence={"layers": bad},
        )
    saturated = {name: share for name, share in latest[-1].saturated.items() if share > settings.saturated}
    if saturated:
        worst = max(saturated, key=lambda name: saturated[name])
        yield Finding(
            "saturated_gates",
            "warning",
            f"{percent(saturated[worst], 2)} of the units of {worst} are saturated (at an end of their range)",
            where=worst,
            advice=("optimizer.lr={rate/10}", "trainer.gradient_clip_val=1"),
            evidence={"layers": saturated},
        )


def _updates(epochs: Sequence[EpochStats], settings: DiagnosticsSettings) -> Iterator[Finding]:
    """Vanishing gradients, and updates that are too small or too large for their weights."""
    measured = [epoch for epoch in epochs if len(epoch.gradient) > 1]
    falling = len(epochs) > 1 and last_value(epochs, "train/loss") < 0.9 * (epochs[0].get("train/loss") or 0)
    ratios = []
    for epoch in measured:
        norms = [norm for norm in epoch.gradient.values() if norm > 0]
        if len(norms) > 1:
            ratios.append(norms[0] / norms[-1])
    if ratios and not falling and statistics.median(ratios) < settings.vanishing:
        first, *_, last = measured[-1].gradient
        yield Finding(
            "vanishing_gradients",
            "warning",
            f"the gradient norm of {first} is {statistics.median(ratios):.1g} of that of {last}, and the loss does "
            "not fall",
            where=first,
            advice=("model=lstm", "model.net.norm=batch"),
            evidence={"ratio": statistics.median(ratios)},
        )
    if len(measured) < 2:
        return
    typical = {
        layer: statistics.median([e.update.get(layer, 0) for e in measured]) for layer in measured[-1].update
    }
    slow = {layer: ratio for layer, ratio in typical.items() if 0 < ratio < settings.slow}
    if len(slow) > 0.5 * len(typical) and not falling:
        least = min(slow, key=lambda name: slow[name])
        yield Finding(
            "small_updates",
            "warning",
            f"the update-to-weight ratio of {least} is {slow[least]:.1g}, about 1e-3 is usual, and the loss "
            "does not fall",
            where=least,
            advice=("optimizer.lr={rate*10}",),
            evidence={"layers": slow},
        )
    fast = {layer: ratio for layer, ratio in typical.items() if ratio > settings.fast}
    if len(fast) > 0.5 * len(typical):
        worst = max(fast, key=lambda name: fast[name])
        yield Finding(
            "large_updates",
            "warning",
            f"the update-to-weight ratio of {worst} is {fast[worst]:.2g}; about 1e-3 is usual",
            where=worst,
            advice=("optimizer.lr={rate/10}",),
            evidence={"layers": fast},
        )


def _calibration(
    final: EpochStats, facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    """Miscalibrated probabilities; not tested on few samples, where the calibration error is large by chance."""
    error = final.get("val/ece")
    if error is not None and error > settings.calibration and facts.samples >= _FEWEST_CALIBRATION:
        yield Finding(
            "miscalibrated",
            "info",
            f"the probabilities are miscalibrated: expected calibration error {percent(error)} on validation",
            advice=("decision=calibrated",) if facts.kind == "classes" else (),
            evidence={"ece": error},
        )
