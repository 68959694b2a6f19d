"""The patient's chart: what a training shows, kept step by step and epoch by epoch, and read at the end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from torch import nn

from leyden.health.epoch_rules import EpochStats, ValidationFacts, judge
from leyden.health.findings import Finding
from leyden.health.layer_stats import ActivationStats, UpdateRatios
from leyden.health.settings import DiagnosticsSettings
from leyden.health.step_rules import StepSeries

_READ_EVERY = 50  # steps
_FIRST_LOOK = 5  # step at which the layers are looked at first; then every _READ_EVERY
# A cause before its consequences: a net that diverged has dead units, and answers one class.
_CAUSES = (
    *("non_finite", "zero_rate", "frozen", "diverged", "dead_units", "validation_mismatch", "collapsed"),
    "label_noise",
)


class TrainingMonitor:
    """What was seen.

    Args:
        policy: thresholds.
        root: the module that is trained.
        max_norm: at which gradients are clipped; None: they are not.
    """

    def __init__(self, policy: DiagnosticsSettings, root: nn.Module, max_norm: float | None) -> None:
        self.policy, self._root = policy, root
        self.series, self._movement = StepSeries(policy, max_norm), UpdateRatios(root)
        self.found: list[Finding] = []
        self.epochs: list[EpochStats] = []
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._seen: dict[str, dict[str, float]] = {}
        self._rate = 0.0
        self._began = time.perf_counter()
        self._looked = 0.0  # seconds that training has taken in this epoch
        self._activity: ActivationStats | None = None
        self._open = ExitStack()

    def before_step(self, number: int, rate: float) -> None:
        """A step is about to be taken, its gradients are there."""
        self._rate = max(self._rate, rate)
        self._moved()
        if number % _READ_EVERY == _FIRST_LOOK:
            self._movement.before()

    def _moved(self) -> None:
        """If a step was looked at, how far it moved the layers."""
        if self._movement.waiting:
            self._seen = self._movement.after()

    def record(self, number: int, loss: float, norm: float) -> None:
        """Its loss and the norm of its gradient are known; perhaps only some steps later."""
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
        """The clock of the epoch's training starts."""
        self._began, self._looked = time.perf_counter(), 0.0

    def pause(self) -> None:
        """Training of the epoch is over: a validation follows."""
        self._looked = self._looked or time.perf_counter() - self._began

    def start_probe(self) -> None:
        """A validation batch begins that is looked into."""
        self._moved()
        self._activity = ActivationStats(self._root)
        self._open.enter_context(self._activity.watching())

    def stop_probe(self) -> None:
        """It has ended."""
        self._open.close()

    def end_epoch(
        self, step: int, scalars: dict[str, float], predicted: Sequence[float], waited: float
    ) -> EpochStats:
        """Everything that belongs to the epoch is known."""
        self.pause()
        self._read(step - 1)
        activity = self._activity
        made = EpochStats(
            step,
            scalars,
            self._rate,
            list(predicted),
            **self._seen,
            dead=activity.dead() if activity else {},
            saturated=activity.saturated() if activity else {},
            waiting=min(1.0, waited / self._looked) if self._looked else 0.0,
        )
        self.epochs.append(made)
        self._seen, self._rate, self._activity = {}, 0.0, None
        return made

    def findings(self, facts: ValidationFacts, more: Sequence[Finding] = ()) -> list[Finding]:
        """Each kind once, the first time; of several errors the cause stays one, its consequences become remarks."""
        every = [*more, *self.found, *judge(self.epochs, facts, self.policy)]
        first = list({finding.id: finding for finding in reversed(every)}.values())[::-1]
        return list(_ranked(first))

    def state(self) -> dict[str, Any]:
        """What a resume goes on from: between two steps, so that how far the last one moved is known already."""
        self._moved()
        return {
            "series": self.series.state(),
            "found": [finding.to_dict() for finding in self.found],
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "losses": self._losses,
            "norms": self._norms,
            "seen": self._seen,
            "rate": self._rate,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take that up."""
        self.series.load(state["series"])
        self.found = [Finding.from_dict(stored) for stored in state["found"]]
        self.epochs = [EpochStats(**stored) for stored in state["epochs"]]
        self._losses, self._norms = list(state["losses"]), list(state["norms"])
        self._seen, self._rate = dict(state["seen"]), state["rate"]


def _ranked(findings: Sequence[Finding]) -> Iterator[Finding]:
    errors = [f.id for f in findings if f.level == "error" and f.id in _CAUSES]
    cause = min(errors, key=_CAUSES.index, default="")
    for finding in findings:
        if finding.id in errors and finding.id != cause:
            message = f"{finding.message} (a consequence of {cause})"
            yield Finding(**{**vars(finding), "level": "info", "message": message})
        else:
            yield finding
