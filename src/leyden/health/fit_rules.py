"""Findings on how well a finished training fits: collapse, overfitting, underfitting, mismatched validation.

What is no better than a constant answer depends on the kind of targets: the largest class, the share of each label,
the mean.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from leyden.health.epoch_stats import EpochStats, ValidationFacts, last_value
from leyden.health.findings import Finding, Level
from leyden.health.settings import DiagnosticsSettings
from leyden.utils.text import percent

_CERTAIN = 3.0  # standard errors
_NARROW = 0.02  # deviation of predictions over that of the targets, below which all are the same number
_CONSTANT = 1e-6  # the same, of predictions that do not depend on the inputs at all
_BETTER = {1: "above", -1: "below"}
_SAME_EMBEDDING = 0.999  # length of the mean of embeddings of length 1, above which all are nearly the same
_LEARNED = 0.5  # training loss over validation loss, below which the training samples were learned


def collapse(
    epochs: Sequence[EpochStats], facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    """Collapse: nearly all predictions are the same."""
    if epochs[-1].predicted and facts.samples:
        yield from _COLLAPSE[facts.kind](epochs, facts, settings)


def _one_class(
    epochs: Sequence[EpochStats], facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    predicted = epochs[-1].predicted
    k = max(range(len(predicted)), key=lambda c: predicted[c])
    if predicted[k] > max(settings.collapse, min(2 * facts.shares[k], 0.999)) or predicted[k] == 1.0:
        level: Level = "error" if predicted[k] == 1.0 else "warning"
        yield Finding(
            "collapsed",
            level,
            f"{percent(predicted[k], 2)} of the validation samples are predicted as {facts.names[k]!r}, "
            f"{percent(facts.shares[k], 2)} belong to it",
            where=str(facts.names[k]),
            advice=("imbalance=auto", "optimizer.lr={rate/10}"),
            evidence={"predicted": predicted},
        )


def _no_label(
    epochs: Sequence[EpochStats], facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    """No label is predicted for any sample; thresholds help if the labels are ranked well nevertheless."""
    if any(epochs[-1].predicted):
        return
    chance, precision = _mean(facts.shares), epochs[-1].get("val/average_precision")
    is_ranked = precision is not None and precision > chance + settings.underfit
    words = f", although the average precision is {precision:.2f}" if is_ranked else ""
    advice = ("decision=label_macro_f1", "loss=bce_weighted", "loss=asymmetric")
    yield Finding(
        "collapsed",
        "info" if is_ranked else "warning",
        f"no label is predicted for any validation sample{words}; one has {sum(facts.shares):.2g} labels on average",
        advice=advice if is_ranked else advice[1:],
        evidence={"shares": list(facts.shares)},
    )


def _one_value(
    epochs: Sequence[EpochStats], facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    predicted = epochs[-1].predicted
    k = min(range(len(predicted)), key=lambda target: predicted[target])
    if predicted[k] < _NARROW:
        yield Finding(
            "collapsed",
            "error" if predicted[k] < _CONSTANT else "warning",
            f"all validation samples are predicted to have nearly the same {facts.names[k]}: the deviation of the "
            f"predictions is {predicted[k]:.2g} of that of the targets",
            where=str(facts.names[k]),
            advice=("optimizer.lr={rate/10}", "optimizer.lr={rate*3}"),
            evidence={"deviation": predicted},
        )


def _all_blank(
    epochs: Sequence[EpochStats], facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    """Every frame is answered by the blank; most of them are in a healthy net, too."""
    if epochs[-1].predicted[0] < 1:
        return
    yield Finding(
        "collapsed",
        "error",
        "every frame of the validation recordings is answered by the blank, so every transcript is empty: the net is "
        "still where CTC begins, or has stayed there",
        advice=("trainer.max_epochs={epochs*3}", "optimizer.lr={rate*3}", "optimizer.lr={rate/10}"),
        evidence={"blank": epochs[-1].predicted[0]},
    )


def _one_embedding(
    epochs: Sequence[EpochStats], facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    """All rows have nearly the same embedding by an input: their mean is as long as each of them."""
    length = epochs[-1].predicted[0]
    if length > _SAME_EMBEDDING:
        yield Finding(
            "collapsed",
            "error",
            "by one of the inputs all validation samples have nearly the same embedding: the mean of these vectors of "
            f"length 1 has length {length:.4f}",
            advice=("optimizer.lr={rate/10}", "optimizer.lr={rate*3}"),
            evidence={"length": length},
        )


_COLLAPSE = {
    **{"classes": _one_class, "labels": _no_label, "values": _one_value, "sequences": _all_blank},
    "pairs": _one_embedding,
}


def fit(
    epochs: Sequence[EpochStats], facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    """Overfitting, underfitting, and a validation split with a result no better than a constant answer."""
    train, val = epochs[-1].get("train/accuracy"), epochs[-1].get("val/accuracy")
    if facts.kind == "classes" and facts.shares and train is not None and val is not None:
        yield from _fit_of_classes(epochs, facts, settings, (train, val))
        return
    rising = _loss_rises(epochs, settings)
    if rising and last_value(epochs, "train/loss") < last_value(epochs, "val/loss"):
        yield _overfitting(f"the training loss is {last_value(epochs, 'train/loss'):.3g}", rising, {})
    yield from _fit_by_losses(epochs, facts, settings)


def _fit_of_classes(
    epochs: Sequence[EpochStats],
    facts: ValidationFacts,
    settings: DiagnosticsSettings,
    accuracy: tuple[float, float],
) -> Iterator[Finding]:
    """accuracy: of training and of validation, in the last epoch."""
    (train, val), rising = accuracy, _loss_rises(epochs, settings)
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
    if train - val > settings.gap and rising:
        words = f"accuracy is {train:.2f} in training and {val:.2f} in validation"
        yield _overfitting(words, rising, evidence)
    if train < chance + settings.underfit:
        yield Finding(
            "underfitting",
            "warning",
            f"underfitting: training accuracy is {train:.2f}, always predicting the largest class gives {chance:.2f}",
            advice=("optimizer.lr={rate*3}", "trainer.max_epochs={epochs*3}"),
            evidence=evidence,
        )


def _fit_by_losses(
    epochs: Sequence[EpochStats], facts: ValidationFacts, settings: DiagnosticsSettings
) -> Iterator[Finding]:
    """Labels that are not ranked better than by their shares; values, transcripts that a constant answer equals."""
    name, chance, constant, sign = {
        "classes": ("", 0.0, "", 1),
        "labels": ("average_precision", _mean(facts.shares), "their shares", 1),
        "values": ("r2", 0.0, "the mean", 1),
        "sequences": ("wer", 1.0, "an empty transcript", -1),
        "pairs": ("", 0.0, "", 1),
    }[facts.kind]
    found = [value for epoch in epochs if (value := epoch.get(f"val/{name}")) is not None]
    gains = [sign * (value - chance) for value in found]
    is_trained = any(epoch.rate for epoch in epochs)
    if not is_trained or not found or gains[-1] >= settings.underfit:
        return
    losses = last_value(epochs, "train/loss"), last_value(epochs, "val/loss")
    evidence = {name: found[-1], "constant": chance, "train_loss": losses[0], "val_loss": losses[1]}
    best = found[gains.index(max(gains))]
    if losses[0] >= _LEARNED * losses[1]:
        yield Finding(
            "underfitting",
            "warning",
            f"underfitting: val/{name} is {found[-1]:.2f}, always predicting {constant} gives {chance:.2f}",
            advice=("optimizer.lr={rate*3}", "trainer.max_epochs={epochs*3}"),
            evidence=evidence,
        )
    elif max(gains) < settings.underfit and len(epochs) > 1:
        yield Finding(
            "validation_mismatch",
            "error",
            f"the training loss is {losses[0]:.2g}, the validation loss {losses[1]:.2g}, but val/{name} is never "
            f"{_BETTER[sign]} {best:.2f}, and always predicting {constant} gives {chance:.2f}: inputs or targets of "
            "the splits differ in kind, or the model memorises the training samples without generalising",
            where="val",
            evidence=evidence,
        )


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / max(1, len(shares))


def _loss_rises(epochs: Sequence[EpochStats], settings: DiagnosticsSettings) -> tuple[float, float] | None:
    """(least, last) validation loss, where the least is `gap_epochs` or more epochs ago."""
    losses = [epoch.get("val/loss") for epoch in epochs]
    known = [loss for loss in losses if loss is not None]
    if len(known) <= settings.gap_epochs or len(known) - 1 - known.index(min(known)) < settings.gap_epochs:
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
