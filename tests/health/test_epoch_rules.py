"""Findings from plain numbers: epochs, steps, suggestions, ranking. Each threshold from both sides."""

import ast
import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import leyden
from leyden.health.data.input_checks import InputChecks
from leyden.health.data.modality_checks import CHECKS
from leyden.health.epoch_rules import judge
from leyden.health.epoch_stats import EpochStats, ValidationFacts
from leyden.health.findings import Finding
from leyden.health.settings import TRAINING_FIELDS, DiagnosticsSettings
from leyden.health.step_rules import StepSeries, expected_loss, initial_loss
from leyden.health.suggestions import fill_in
from leyden.health.training_monitor import TrainingMonitor

FACTS = ValidationFacts([0.25] * 4, 1600, ["a", "b", "c", "d"])
SETTINGS = DiagnosticsSettings()


def ids(
    epochs: list[EpochStats], facts: ValidationFacts = FACTS, settings: DiagnosticsSettings = SETTINGS
) -> list[tuple[str, str]]:
    """(id, level) of every finding."""
    return [(finding.id, finding.level) for finding in judge(epochs, facts, settings)]


def epoch(
    train: float = 0.8, val: float = 0.8, loss: float = 0.5, rate: float = 0.1, **more: Any
) -> EpochStats:
    """Statistics of a healthy epoch, except for the given values."""
    scalars = {"train/accuracy": train, "val/accuracy": val, "val/loss": loss, "train/loss": loss}
    scalars |= more.pop("scalars", {})
    more = {"update": {"one": 1e-3, "two": 1e-3}, "gradient": {"one": 0.5, "two": 1.0}} | more
    return EpochStats(10, scalars, rate, **more)


def test_a_healthy_training() -> None:
    assert ids([epoch(loss=1 / n) for n in range(1, 10)]) == []
    assert ids([]) == []


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        ([epoch(rate=0)] * 2, ("zero_learning_rate", "error")),
        ([epoch(update={"one": 0, "two": 0})] * 2, ("frozen", "error")),
        ([epoch(update={"one": 0, "two": 1e-3})] * 2, ("frozen_layers", "warning")),
        ([epoch(dead={"one": 0.11})] * 2, ("dead_units", "warning")),
        ([epoch(dead={"one": 0.41})], ("dead_units", "error")),
        ([epoch(saturated={"one": 0.51})], ("saturated_gates", "warning")),
        ([epoch(gradient={"one": 0.9e-4, "two": 1.0})] * 3, ("vanishing_gradients", "warning")),
        ([epoch(update={"one": 0.11, "two": 0.11})] * 3, ("large_updates", "warning")),
        ([epoch(update={"one": 0.9e-5, "two": 0.9e-5})] * 3, ("small_updates", "warning")),
        ([epoch(predicted=[0.95, 0.05, 0, 0])], ("collapsed", "warning")),
        ([epoch(predicted=[1.0, 0, 0, 0])], ("collapsed", "error")),
        ([epoch(train=0.9, val=0.26)] * 2, ("validation_mismatch", "error")),
        ([epoch(0.95, 0.79, loss) for loss in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)], ("overfitting", "warning")),
        ([epoch(train=0.29, val=0.29)] * 2, ("underfitting", "warning")),
        ([epoch(scalars={"val/ece": 0.06})], ("miscalibrated", "info")),
        ([epoch(waiting=0.21)] * 3, ("data_wait", "warning")),
    ],
)
def test_each_finding(epochs: list[EpochStats], said: tuple[str, str]) -> None:
    assert ids(epochs) == [said]


@pytest.mark.parametrize(
    "epochs",
    [
        [epoch(dead={"one": 0.1}, saturated={"one": 0.5})] * 2,
        [epoch(dead={"one": 0.4})],
        [epoch(dead={"one": 0.9}), epoch(dead={"one": 0.0})],
        [epoch(gradient={"one": 1.1e-4, "two": 1.0})] * 3,
        [
            epoch(gradient={"one": 0.9e-4, "two": 1.0}, loss=1 / n) for n in (1, 2, 3)
        ],  # it learns nevertheless
        [epoch(update={"one": 0.09, "two": 0.11})] * 3,
        [epoch(update={"one": 1.1e-5, "two": 0.9e-5})] * 3,
        [epoch(update={"one": 0.9e-5, "two": 0.9e-5}, loss=1 / n) for n in (1, 2, 3)],
        [epoch(predicted=[0.9, 0.1, 0, 0])],
        [epoch(0.95, 0.79, loss) for loss in (0.3, 0.4, 0.5, 0.6, 0.7)],  # risen for four epochs only
        [epoch(0.93, 0.79, loss) for loss in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)],
        [epoch(scalars={"val/ece": 0.05})],
        [epoch(waiting=0.3), epoch(waiting=0.1), epoch(waiting=0.1)],  # the first epoch's start-up
    ],
)
def test_values_within_the_thresholds(epochs: list[EpochStats]) -> None:
    assert ids(epochs) == []


def test_a_dominant_class_is_no_collapse() -> None:
    """With 96 % of one class, 99 % of predictions in it are expected."""
    facts = ValidationFacts([0.96, 0.04], 800, ["ham", "spam"])
    assert ids([epoch(0.97, 0.97, predicted=[0.99, 0.01])], facts) in ([], [("underfitting", "warning")])


# --- labels and values ---

LABELS = ValidationFacts([0.2, 0.3, 0.4], 1600, ["a", "b", "c"], "labels")
VALUES = ValidationFacts([], 800, ["angle", "size"], "values")


def other(predicted: list[float], train: float = 0.5, val: float = 0.5, **metrics: float) -> EpochStats:
    """Statistics of an epoch of a task without classes; train, val: losses."""
    scalars = {"train/loss": train, "val/loss": val, **{f"val/{k}": v for k, v in metrics.items()}}
    return EpochStats(10, scalars, 0.1, predicted, {"one": 1e-3, "two": 1e-3}, {"one": 0.5, "two": 1.0})


@pytest.mark.parametrize(
    ("epochs", "facts", "said"),
    [
        ([other([0.1, 0.0, 0.2], average_precision=0.8)], LABELS, []),
        ([other([0.0, 0.0, 0.0], average_precision=0.8)], LABELS, [("collapsed", "info")]),
        ([other([0.0, 0.0, 0.0])], LABELS, [("collapsed", "warning")]),
        (
            [other([0.0, 0.0, 0.0], average_precision=0.3)],
            LABELS,
            [("collapsed", "warning"), ("underfitting", "warning")],
        ),
        ([other([0.1, 0.1, 0.1], average_precision=0.34)], LABELS, [("underfitting", "warning")]),
        ([other([0.1, 0.1, 0.1], average_precision=0.36)], LABELS, []),
        (
            [other([0.1, 0.1, 0.1], 0.1, 0.9, average_precision=0.34)] * 2,
            LABELS,
            [("validation_mismatch", "error")],
        ),
        ([other([0.1, 0.1, 0.1], 0.1, 0.9, average_precision=ap) for ap in (0.5, 0.34)], LABELS, []),
        ([other([0.1, 0.1, 0.1], ece=0.06)], LABELS, [("miscalibrated", "info")]),
        ([other([1.0, 0.9], r2=0.8)], VALUES, []),
        ([other([0.9, 0.021], r2=0.8)], VALUES, []),
        ([other([0.9, 0.019], r2=0.8)], VALUES, [("collapsed", "warning")]),
        ([other([0.9, 0.0], r2=0.8)], VALUES, [("collapsed", "error")]),
        ([other([0.9, 0.9], r2=0.04)], VALUES, [("underfitting", "warning")]),
        ([other([0.9, 0.9], r2=0.06)], VALUES, []),
        ([other([0.9, 0.9], 0.1, 1.2, r2=-0.2)] * 2, VALUES, [("validation_mismatch", "error")]),
        ([other([0.9, 0.9])], VALUES, []),
        (
            [other([0.9, 0.9], 0.1, loss, r2=0.5) for loss in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)],
            VALUES,
            [("overfitting", "warning")],
        ),
    ],
)
def test_findings_of_labels_and_values(
    epochs: list[EpochStats], facts: ValidationFacts, said: list[tuple[str, str]]
) -> None:
    assert ids(epochs, facts) == said


def test_nothing_is_said_of_the_fit_of_what_was_not_trained() -> None:
    still = dataclasses.replace(other([0.9, 0.9], r2=0.0), rate=0.0, update={}, gradient={})
    assert ids([still], VALUES) == [("zero_learning_rate", "error")]


def test_a_collapse_of_labels_names_what_helps() -> None:
    (ranked,) = judge([other([0.0] * 3, average_precision=0.8)], LABELS, SETTINGS)
    assert ranked.advice[0] == "decision=label_macro_f1"
    assert "one has 0.9 labels" in ranked.message
    (narrow,) = judge([other([0.9, 0.01], r2=0.8)], VALUES, SETTINGS)
    assert narrow.where == "size"


# --- steps ---


def steps(losses: list[float], norms: list[float] | None = None, clip: float | None = None) -> list[str]:
    """Ids of the findings in a series."""
    series = StepSeries(SETTINGS, clip)
    norms = norms or [1.0] * len(losses)
    found: list[Finding] = []
    for start in range(0, len(losses), 50):
        found += series.add(start, losses[start : start + 50], norms[start : start + 50])
    return list(dict.fromkeys(finding.id for finding in found))


def test_spikes_and_divergence() -> None:
    rng = np.random.default_rng(0)
    calm = (1 + 0.05 * rng.standard_normal(200)).tolist()
    assert steps(calm) == []
    assert steps([*calm, 5.0, *calm]) == []  # one batch
    assert steps([*calm, *[5.0] * 5, *calm]) == ["loss_spike"]
    assert "diverged" in steps([*calm, *[5.0] * 60])
    assert steps([2.3 * 0.99**n for n in range(300)]) == []
    assert "diverged" in steps([2.3 * 1.05**n for n in range(100)])


def test_a_spike_is_at_its_step() -> None:
    series = StepSeries(SETTINGS, None)
    (finding,) = series.add(0, [1.0] * 100 + [9.0] * 5, [1.0] * 105)
    assert (finding.id, finding.step) == ("loss_spike", 104)


def test_gradients_that_grow_or_are_clipped() -> None:
    assert steps([1.0] * 200, [1.0] * 100 + [11.0] * 100) == ["exploding_gradients"]
    assert steps([1.0] * 200, [1.0] * 100 + [9.0] * 100) == []
    assert steps([1.0] * 200, [11.0] * 200, clip=1.0) == ["gradient_clipping"]
    assert steps([1.0] * 200, [9.0] * 200, clip=1.0) == []


def test_a_series_is_resumed_exactly() -> None:
    rng = np.random.default_rng(1)
    losses = [*(1 + 0.1 * rng.standard_normal(150)), *[4.0] * 70]
    whole = StepSeries(SETTINGS, None)
    expected = [*whole.add(0, losses[:170], [1.0] * 170), *whole.add(170, losses[170:], [1.0] * 50)]
    first = StepSeries(SETTINGS, None)
    found = list(first.add(0, losses[:170], [1.0] * 170))
    second = StepSeries(SETTINGS, None)
    second.load(first.state())
    found += second.add(170, losses[170:], [1.0] * 50)
    assert found == expected
    assert list(dict.fromkeys(finding.id for finding in found)) == ["loss_spike", "diverged"]


@pytest.mark.parametrize(
    ("loss", "outputs", "value", "most"),
    [
        ("CrossEntropy", 10, math.log(10), 1.3),
        ("BinaryCrossEntropy", 5, math.log(2), 1.3),
        ("MeanSquaredError", 1, 1.0, 2.0),
    ],
)
def test_the_first_loss_of_a_net_that_knows_nothing(
    loss: str, outputs: int, value: float, most: float
) -> None:
    expected = expected_loss(loss, outputs, SETTINGS)
    assert expected is not None
    assert not list(initial_loss(0.99 * most * value, expected))
    (finding,) = initial_loss(1.01 * most * value, expected)
    assert (finding.id, finding.evidence["expected"]) == ("initial_loss", pytest.approx(value))


def test_other_first_losses_depend_on_the_data() -> None:
    assert expected_loss("FocalSoftmax", 10, SETTINGS) is None
    assert expected_loss("CrossEntropy", 0, SETTINGS) is None  # a module that has no names of its outputs


# --- suggestions and ranking ---


def test_advice_has_the_runs_own_numbers() -> None:
    advice = ("optimizer.lr={rate/10}", "trainer.max_epochs={epochs*3}", "trainer.gradient_clip_val=1")
    finding = Finding("diverged", "error", "", advice=advice)
    told = fill_in(finding, {"lr": 0.02}, {"max_epochs": 5})
    assert told.advice == ("optimizer.lr=0.002", "trainer.max_epochs=15", "trainer.gradient_clip_val=1")
    clipped = fill_in(finding, {}, {"max_epochs": 5, "gradient_clip_val": 0.5})
    assert clipped.advice == ("trainer.max_epochs=15",)  # no rate to fill in, clipped already


def test_a_cause_comes_before_its_consequences() -> None:
    monitor = TrainingMonitor(SETTINGS, nn.Linear(2, 2), None)
    monitor.found = [Finding("diverged", "error", "up"), Finding("diverged", "error", "again")]
    monitor.epochs = [epoch(dead={"one": 0.9}, predicted=[1.0, 0, 0, 0])]
    found = monitor.findings(FACTS)
    assert [(f.id, f.level) for f in found] == [
        ("diverged", "error"),
        ("dead_units", "info"),
        ("collapsed", "info"),
    ]
    assert found[0].message == "up"
    assert "a consequence of diverged" in found[1].message


def finding_ids() -> Iterator[str]:
    """Ids of all findings in the code."""
    for path in Path(leyden.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            position = {"Finding": 0, "check_failed": 1}.get(getattr(getattr(node, "func", None), "id", ""))
            if isinstance(node, ast.Call) and position is not None and len(node.args) > position:
                identity = node.args[position]
                if isinstance(identity, ast.Constant):
                    yield str(identity.value)


def test_every_finding_and_threshold_is_documented() -> None:
    root = Path(__file__).parents[2]
    pages = "".join((root / "docs" / name).read_text() for name in ("health.md", "check-model.md"))
    documented = set(re.findall(r"`(\w+)`", pages))
    constant = {checks.constant_words.id for checks in (InputChecks, *CHECKS.values())}
    assert {*finding_ids(), *constant} - documented == set()
    fields = {field.name for field in dataclasses.fields(DiagnosticsSettings)} - set(TRAINING_FIELDS)
    assert fields - documented == set()
    assert len(set(finding_ids())) > 30


@pytest.mark.parametrize(
    "mark", [{"dead": {"one": 0.5}}, {"saturated": {"one": 0.9}}, {"update": {"a": 9, "b": 9}}]
)
def test_where_the_rate_is_far_too_high_a_lower_one_is_the_first_advice(mark: dict[str, Any]) -> None:
    """Of each finding, also of those that call for a higher rate in a training that is slow."""
    epochs = [
        dataclasses.replace(epoch(train=0.26, val=0.25, **mark), predicted=(1.0, 0, 0, 0)) for _ in range(2)
    ]
    found = {finding.id: finding.advice for finding in judge(epochs, FACTS, SETTINGS)}
    assert {"collapsed", "underfitting"} < found.keys()
    for advice in found.values():
        assert advice[0] == "optimizer.lr={rate/10}"
        assert not any("rate*" in each for each in advice)
    slow = [dataclasses.replace(each, dead={}, saturated={}, update={"a": 1e-3}) for each in epochs]
    (underfitting,) = (finding for finding in judge(slow, FACTS, SETTINGS) if finding.id == "underfitting")
    assert underfitting.advice[0] == "optimizer.lr={rate*3}"
