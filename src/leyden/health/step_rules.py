"""What the losses and gradient norms of the steps tell, one after another: plain numbers, no torch.

Spikes: llm-foundry's KillLossSpike (twice the mean of a hundred steps, five in a row), and four standard deviations.
"""

import math
import statistics
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from leyden.health.findings import Finding
from leyden.health.settings import DiagnosticsSettings

_MEMORY = 100  # steps
_FEWEST = 20  # of them, before there is a mean to speak of
_IN_A_ROW = 5
_BEGINNING = 10  # steps whose median is the loss at the start


class StepSeries:
    """Loss and gradient norm, step by step.

    Args:
        policy: thresholds.
        max_norm: at which gradients are clipped; None: they are not.
    """

    def __init__(self, policy: DiagnosticsSettings, max_norm: float | None) -> None:
        self.policy, self._max_norm = policy, max_norm
        self._first: list[float] = []
        self._calm: deque[float] = deque(maxlen=_MEMORY)
        self._last: deque[float] = deque(maxlen=policy.spike_lasting)
        self._norms: deque[float] = deque(maxlen=2 * _MEMORY)
        self._row = 0
        self.spike_lasts = False

    def add(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> Iterator[Finding]:
        """Take in the steps from `step` on."""
        for place, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
            yield from self._step(step + place, loss, norm)
        yield from self._gradients(step + len(losses))

    def _step(self, step: int, loss: float, norm: float) -> Iterator[Finding]:
        if len(self._first) < _BEGINNING:
            self._first.append(loss)
        self._last.append(loss)
        self._norms.append(norm)
        if not self._spikes(loss):
            self._row = 0
            self._calm.append(loss)
        else:
            self._row += 1
            if self._row == _IN_A_ROW:
                yield self._spike(step, loss)
            self.spike_lasts = self._row >= self.policy.spike_lasting
            if self._row == self.policy.spike_lasting:
                yield self._diverged(step, statistics.fmean(self._calm))
        yield from self._far(step)

    def _far(self, step: int) -> Iterator[Finding]:
        """Whether the loss has been far above its beginning for long, or for a while beyond all bounds."""
        least, start = min(self._last), max(self._first[0], 1e-3)
        if least > 1e4 * max(1.0, start) and len(self._last) >= _FEWEST:
            yield self._diverged(step, start)
        elif least > 3 * start and len(self._last) == self.policy.spike_lasting:
            start = statistics.median(self._first)
            if least > 3 * start:
                yield self._diverged(step, start)

    def _spikes(self, loss: float) -> bool:
        if len(self._calm) < _FEWEST:
            return False
        mean = statistics.fmean(self._calm)
        if loss <= self.policy.spike * mean:
            return False
        spread = math.sqrt(statistics.fmean((x - mean) ** 2 for x in self._calm))
        return loss > mean + self.policy.spike_z * spread

    def _spike(self, step: int, loss: float) -> Finding:
        mean = statistics.fmean(self._calm)
        return Finding(
            "loss_spike",
            "warning",
            f"the loss jumped from {mean:.3g} to {loss:.3g} and stayed there for {_IN_A_ROW} steps",
            advice=("trainer.gradient_clip_val=1", "health=recover"),
            evidence={"mean": mean, "loss": loss},
            step=step,
        )

    def _diverged(self, step: int, before: float) -> Finding:
        now = statistics.median(self._last)
        return Finding(
            "diverged",
            "error",
            f"training diverged: the loss is {now:.3g}, it was {before:.3g} before; the learning rate is too high",
            advice=("optimizer.lr={rate/10}", "trainer.gradient_clip_val=1"),
            evidence={"before": before, "loss": now},
            step=step,
        )

    def _gradients(self, step: int) -> Iterator[Finding]:
        """Of the last hundred steps against the hundred before them."""
        if len(self._norms) < 2 * _MEMORY:
            return
        norms = list(self._norms)
        before, now = statistics.median(norms[:_MEMORY]), statistics.median(norms[_MEMORY:])
        if before > 0 and now > self.policy.growth * before:
            yield Finding(
                "exploding_gradients",
                "warning",
                f"the gradient's norm grew from {before:.3g} to {now:.3g} in {_MEMORY} steps",
                advice=("trainer.gradient_clip_val=1", "optimizer.lr={rate/3}"),
                evidence={"before": before, "norm": now},
                step=step,
            )
        if self._max_norm:
            share = statistics.fmean(norm > self._max_norm for norm in norms)
            if share > self.policy.clipped and now > 10 * self._max_norm:
                yield Finding(
                    "clipping",
                    "warning",
                    f"{share:.0%} of the gradients are clipped, to a {now / self._max_norm:.0f}th: the step is mostly "
                    "the clip's",
                    advice=("optimizer.lr={rate/3}",),
                    evidence={"share": share, "norm": now},
                    step=step,
                )

    def state(self) -> dict[str, Any]:
        """What a resume goes on from."""
        return {
            "first": self._first,
            "calm": list(self._calm),
            "last": list(self._last),
            "norms": list(self._norms),
            "row": self._row,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take that up."""
        self._first, self._row = list(state["first"]), state["row"]
        self._calm = deque(state["calm"], maxlen=_MEMORY)
        self._last = deque(state["last"], maxlen=self.policy.spike_lasting)
        self._norms = deque(state["norms"], maxlen=2 * _MEMORY)


def initial_loss(loss: float, classes: int, policy: DiagnosticsSettings) -> Iterator[Finding]:
    """A net that knows nothing answers every class with 1 / C: the first loss is ln C."""
    expected = math.log(classes)
    if loss > (1 + policy.initial_loss) * expected:
        yield Finding(
            "initial_loss",
            "warning",
            f"the first loss is {loss:.3g}, a net that knows nothing has ln {classes} = {expected:.3g}: "
            "its last layer starts too large, or the labels are not what they seem",
            evidence={"loss": loss, "expected": expected},
            step=0,
        )
