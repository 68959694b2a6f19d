"""Collects statistics of a training by step and by epoch, and derives its findings."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from torch import nn

from leyden.health.epoch_rules import judge
from leyden.health.epoch_stats import EpochStats, ValidationFacts
from leyden.health.findings import Finding
from leyden.health.layer_stats import ActivationStats, UpdateRatios
from leyden.health.settings import DiagnosticsSettings
from leyden.health.step_rules import StepSeries

_READ_EVERY = 50  # steps
_FIRST_PROBE = 5  # step of the first layer statistics; then every _READ_EVERY
# Causes before consequences: a net that diverged has dead units and predicts one class.
_CAUSES = (
    *(
        "non_finite",
        "zero_learning_rate",
        "frozen",
        "diverged",
        "dead_units",
        "validation_mismatch",
        "collapsed",
    ),
    "label_noise",
)


class TrainingMonitor:
    """Statistics and findings of one training.

    Args:
        settings: thresholds.
        root: the trained module.
        max_norm: norm at which gradients are clipped; None: no clipping.
    """

    def __init__(self, settings: DiagnosticsSettings, root: nn.Module, max_norm: float | None) -> None:
        self.settings, self._root = settings, root
        self.series, self._updates = StepSeries(settings, max_norm), UpdateRatios(root)
        self.found: list[Finding] = []
        self.epochs: list[EpochStats] = []
        self._stored: list[
            str
        ] = []  # each of them as JSON: a checkpoint writes a text faster than its numbers
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._layers: dict[str, dict[str, float]] = {}
        self._rate = 0.0
        self.predicted: list[float] = []  # of the last validation, see `EpochStats`
        self._began = time.perf_counter()
        self._trained = 0.0  # seconds of training in this epoch
        self._activations: ActivationStats | None = None
        self._probe = ExitStack()

    def before_step(self, number: int, rate: float) -> None:
        """Call before each optimizer step, with gradients present: `number` of the step, its learning `rate`."""
        self._rate = max(self._rate, rate)
        self._finish_probe()
        if number % _READ_EVERY == _FIRST_PROBE:
            self._updates.before()

    def _finish_probe(self) -> None:
        """Finish the layer statistics of the last step, if they were started."""
        if self._updates.waiting:
            self._layers = self._updates.after()

    def record(self, number: int, loss: float, norm: float) -> None:
        """Record loss and gradient norm of step `number`; in order, possibly some steps later."""
        self._losses.append(loss)
        self._norms.append(norm)
        if len(self._losses) >= _READ_EVERY:
            self._read(number)

    def _read(self, number: int) -> None:
        first = number + 1 - len(self._losses)
        for finding in self.series.add(first, self._losses, self._norms):
            if all(finding.id != known.id for known in self.found):
                self.found.append(finding)
        self._losses, self._norms = [], []

    def begin_epoch(self) -> None:
        """Start the clock of an epoch's training."""
        self._began, self._trained = time.perf_counter(), 0.0

    def pause(self) -> None:
        """Stop the clock: a validation follows."""
        self._trained = self._trained or time.perf_counter() - self._began

    def start_probe(self) -> None:
        """Start collecting activation statistics, before a validation batch."""
        self._finish_probe()
        self._activations = ActivationStats(self._root)
        self._probe.enter_context(self._activations.watching())

    def stop_probe(self) -> None:
        """Stop collecting activation statistics, after the batch."""
        self._probe.close()

    def end_epoch(self, step: int, scalars: dict[str, float], waited: float) -> EpochStats:
        """Finish an epoch and return its statistics.

        Args:
            step: optimizer steps at its end.
            scalars: the metrics logged in it.
            waited: seconds spent waiting for data.
        """
        self.pause()
        self._read(step - 1)
        activations = self._activations
        stats = EpochStats(
            step,
            scalars,
            self._rate,
            list(self.predicted),
            **self._layers,
            dead=activations.dead() if activations else {},
            saturated=activations.saturated() if activations else {},
            waiting=min(1.0, waited / self._trained) if self._trained else 0.0,
        )
        self.epochs.append(stats)
        self._stored.append(json.dumps(vars(stats)))
        self._layers, self._rate, self._activations = {}, 0.0, None
        return stats

    def findings(self, facts: ValidationFacts, more: Sequence[Finding] = ()) -> list[Finding]:
        """All findings, the first of each id; consequences of another error are lowered to level info.

        Args:
            facts: facts of the validation split.
            more: findings from elsewhere, put first.
        """
        collected = [*more, *self.found, *judge(self.epochs, facts, self.settings)]
        first = list({finding.id: finding for finding in reversed(collected)}.values())[::-1]
        return list(_ranked(first))

    def state(self) -> dict[str, Any]:
        """State for a checkpoint; call it between two steps, when the last update is complete."""
        self._finish_probe()
        return {
            "series": self.series.state(),
            "found": [finding.to_dict() for finding in self.found],
            "epochs": list(self._stored),
            "losses": self._losses,
            "norms": self._norms,
            "seen": self._layers,
            "rate": self._rate,
            "predicted": self.predicted,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.series.load(state["series"])
        self.found = [Finding.from_dict(stored) for stored in state["found"]]
        # an earlier version stored the numbers themselves
        self._stored = [x if isinstance(x, str) else json.dumps(x) for x in state["epochs"]]
        self.epochs = [EpochStats(**json.loads(stored)) for stored in self._stored]
        self._losses, self._norms = list(state["losses"]), list(state["norms"])
        self._layers, self._rate = dict(state["seen"]), state["rate"]
        self.predicted = state.get("predicted", [])  # earlier checkpoints have none


def _ranked(findings: Sequence[Finding]) -> Iterator[Finding]:
    errors = [f.id for f in findings if f.level == "error" and f.id in _CAUSES]
    cause = min(errors, key=_CAUSES.index, default="")
    for finding in findings:
        if finding.id in errors and finding.id != cause:
            message = f"{finding.message} (a consequence of {cause})"
            yield Finding(**{**vars(finding), "level": "info", "message": message})
        else:
            yield finding
