"""Findings from the statistics of all epochs: overfitting, collapse, dead units, frozen layers. Plain numbers."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leyden.health.findings import Finding, Level
from leyden.health.settings import DiagnosticsSettings
from leyden.utils.text import and_more

_LISTED = 3  # layers
_CERTAIN = 3.0  # standard errors
_FEWEST_CALIBRATION = 500  # samples


@dataclass
class EpochStats:
    """Statistics of one epoch.

    Args:
        step: optimizer steps at its end.
        scalars: logged metrics: "train/accuracy", "val/loss", ...
        rate: the largest learning rate of a step.
        predicted: share of validation predictions in each class (C,); empty if predictions are not stored.
        update: update-to-weight ratio of the last measured step, by layer.
        gradient: gradient norm of the last measured step, by layer.
        dead: share of dead ReLU channels in a validation batch, by layer.
        saturated: share of saturated recurrent units in a validation batch, by layer.
        waiting: share of the training time spent waiting for data.
    """

    step: int
    scalars: dict[str, float]
    rate: float
    predicted: list[float] = field(default_factory=list)
    update: dict[str, float] = field(default_factory=dict)
    gradient: dict[str, float] = field(default_factory=dict)
    dead: dict[str, float] = field(default_factory=dict)
    saturated: dict[str, float] = field(default_factory=dict)
    waiting: float = 0.0

    def get(self, name: str) -> float | None:
        """The logged metric `name`; None if it was not logged."""
        return self.scalars.get(name)


@dataclass(frozen=True)
class ValidationFacts:
    """Facts of the validation split: share of each class (C,), number of samples, class names (C,)."""

    shares: Sequence[float]
    samples: int
    names: Sequence[str]


def judge(
    epochs: Sequence[EpochStats], facts: ValidationFacts, policy: DiagnosticsSettings
) -> Iterator[Finding]:
    """Every finding of a finished training from the statistics of its epochs."""
    if not epochs:
        return
    yield from _frozen(epochs)
    moving = any(any(ratio > 0 for ratio in epoch.update.values()) for epoch in epochs)
    if moving or not epochs[-1].update:
        yield from _dead(epochs[-2:], policy)
        yield from _collapse(epochs, facts, policy)
    yield from _updates(epochs, policy)
    yield from _fit(epochs, facts, policy)
    yield from _calibration(epochs[-1], facts, policy)
    waits = [epoch.waiting for epoch in epochs]
    if statistics.median(waits) > policy.data_wait:
        yield Finding(
            "data_wait",
            "warning",
            f"{statistics.median(waits):.0%} of the training time is spent waiting for data",
            advice=("data.workers=4", "data.limit_gb=32"),
            evidence={"share": statistics.median(waits)},
        )


def _frozen(epochs: Sequence[EpochStats]) -> Iterator[Finding]:
    """Weights that are not updated: all of them, or those of some layers."""
    if all(epoch.rate == 0 for epoch in epochs):
        yield Finding(
            "zero_rate", "error", "the learning rate is 0 in every step", advice=("optimizer.lr=0.001",)
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


def _dead(latest: Sequence[EpochStats], policy: DiagnosticsSettings) -> Iterator[Finding]:
    """ReLU channels dead in the last two epochs, and saturated units; a single epoch needs the error threshold."""
    shares = {name: min(e.dead.get(name, 0.0) for e in latest) for name in latest[-1].dead}
    least = policy.dead if len(latest) > 1 else policy.dead_error
    bad = {name: share for name, share in shares.items() if share > least}
    if bad:
        worst = max(bad, key=lambda name: bad[name])
        level: Level = "error" if bad[worst] > policy.dead_error else "warning"
        yield Finding(
            "dead_units",
            level,
            f"{bad[worst]:.0%} of the channels of {worst} are 0 for every sample of a validation batch"
            + (
                f"; more than {policy.dead:.0%} are dead in {len(bad) - 1} other layers"
                if len(bad) > 1
                else ""
            ),
            where=worst,
            advice=("optimizer.lr={rate/10}",),
            evidence={"layers": bad},
        )
    saturated = {name: share for name, share in latest[-1].saturated.items() if share > policy.saturated}
    if saturated:
        worst = max(saturated, key=lambda name: saturated[name])
        yield Finding(
            "saturated_gates",
            "warning",
            f"{saturated[worst]:.0%} of the units of {worst} are saturated (at an end of their range)",
            where=worst,
            advice=("optimizer.lr={rate/10}", "trainer.gradient_clip_val=1"),
            evidence={"layers": saturated},
        )


def _updates(epochs: Sequence[EpochStats], policy: DiagnosticsSettings) -> Iterator[Finding]:
    """Vanishing gradients, and updates that are too small or too large for their weights."""
    measured = [epoch for epoch in epochs if len(epoch.gradient) > 1]
    falling = len(epochs) > 1 and _last(epochs, "train/loss") < 0.9 * (epochs[0].get("train/loss") or 0)
    ratios = []
    for epoch in measured:
        norms = [norm for norm in epoch.gradient.values() if norm > 0]
        if len(norms) > 1:
            ratios.append(norms[0] / norms[-1])
    if ratios and not falling and statistics.median(ratios) < policy.vanishing:
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
    slow = {layer: ratio for layer, ratio in typical.items() if 0 < ratio < policy.slow}
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
    fast = {layer: ratio for layer, ratio in typical.items() if ratio > policy.fast}
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


def _collapse(
    epochs: Sequence[EpochStats], facts: ValidationFacts, policy: DiagnosticsSettings
) -> Iterator[Finding]:
    """Collapse: nearly all predictions are one class."""
    predicted = epochs[-1].predicted
    if not predicted or not facts.samples:
        return
    k = max(range(len(predicted)), key=lambda c: predicted[c])
    if predicted[k] > max(policy.collapse, min(2 * facts.shares[k], 0.999)) or predicted[k] == 1.0:
        level: Level = "error" if predicted[k] == 1.0 else "warning"
        yield Finding(
            "collapsed",
            level,
            f"{predicted[k]:.0%} of the validation samples are predicted as {facts.names[k]!r}, "
            f"{facts.shares[k]:.0%} belong to it",
            where=str(facts.names[k]),
            advice=("imbalance=auto", "optimizer.lr={rate/10}"),
            evidence={"predicted": predicted},
        )


def _fit(
    epochs: Sequence[EpochStats], facts: ValidationFacts, policy: DiagnosticsSettings
) -> Iterator[Finding]:
    """Overfitting, underfitting, and a validation split at chance accuracy."""
    train, val = epochs[-1].get("train/accuracy"), epochs[-1].get("val/accuracy")
    rising = _loss_rises(epochs, policy)
    if train is None or val is None or not facts.shares:
        if rising and _last(epochs, "train/loss") < _last(epochs, "val/loss"):
            yield _overfitting(f"the training loss is {_last(epochs, 'train/loss'):.3g}", rising, {})
        return
    chance = max(facts.shares)
    error = (chance * (1 - chance) / facts.samples) ** 0.5
    evidence: Mapping[str, Any] = {"train": train, "val": val, "largest_class": chance}
    best_val = max(epoch.get("val/accuracy") or 0.0 for epoch in epochs)
    if train > chance + 0.3 and best_val < chance + _CERTAIN * error and len(epochs) > 1:
        yield Finding(
            "validation_mismatch",
            "error",
            f"training accuracy is {train:.2f}, but validation accuracy is never above {best_val:.2f}, and the largest "
            f"class has a share of {chance:.2f}: inputs or labels of the splits differ in kind, or the model memorises "
            "the training samples without generalising",
            where="val",
            evidence=evidence,
        )
        return
    if train - val > policy.gap and rising:
        words = f"accuracy is {train:.2f} in training and {val:.2f} in validation"
        yield _overfitting(words, rising, evidence)
    if train < chance + policy.underfit:
        yield Finding(
            "underfitting",
            "warning",
            f"underfitting: training accuracy is {train:.2f}, always predicting the largest class gives {chance:.2f}",
            advice=("optimizer.lr={rate*3}", "trainer.max_epochs={epochs*3}"),
            evidence=evidence,
        )


def _loss_rises(epochs: Sequence[EpochStats], policy: DiagnosticsSettings) -> tuple[float, float] | None:
    """(least, last) validation loss, where the least is `gap_epochs` or more epochs ago."""
    losses = [epoch.get("val/loss") for epoch in epochs]
    known = [loss for loss in losses if loss is not None]
    if len(known) <= policy.gap_epochs or len(known) - 1 - known.index(min(known)) < policy.gap_epochs:
        return None
    return min(known), known[-1]


def _overfitting(words: str, rising: tuple[float, float], evidence: Mapping[str, Any]) -> Finding:
    return Finding(
        "overfitting",
        "warning",
        f"overfitting: {words}, and the validation loss has risen from {rising[0]:.3g} to {rising[1]:.3g}",
        advice=("callbacks=early_stopping", "model.net.dropout=0.5", "optimizer.weight_decay=0.01"),
        evidence=evidence,
    )


def _calibration(last: EpochStats, facts: ValidationFacts, policy: DiagnosticsSettings) -> Iterator[Finding]:
    """Miscalibrated probabilities; not tested on few samples, where the calibration error is large by chance."""
    error = last.get("val/ece")
    if error is not None and error > policy.calibration and facts.samples >= _FEWEST_CALIBRATION:
        yield Finding(
            "miscalibrated",
            "info",
            f"the probabilities are miscalibrated: expected calibration error {error:.1%} on validation",
            advice=("decision=calibrated",),
            evidence={"ece": error},
        )


def _last(epochs: Sequence[EpochStats], name: str) -> float:
    value = epochs[-1].get(name)
    return float("inf") if value is None else value
