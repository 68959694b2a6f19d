"""Findings from the losses and gradient norms of the steps: spikes, divergence, explosion. Plain numbers, no torch.

Loss spikes as in llm-foundry's KillLossSpike (twice the mean of 100 steps, five in a row), and 4 standard deviations.
"""

import math
import statistics
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from leyden.health.findings import Finding
from leyden.health.settings import DiagnosticsSettings
from leyden.utils.text import percent

_WINDOW = 100  # steps
_FEWEST = 20  # steps before the mean is used
_IN_A_ROW = 5  # consecutive spikes that are reported
VALUES_EXCESS = (
    1.0  # of a first loss over that of the mean: outputs that vary as much as the targets double it
)
_START = 10  # steps whose median is the initial loss


class StepSeries:
    """Series of losses and gradient norms, and the findings they give.

    Args:
        settings: thresholds.
        max_norm: norm at which gradients are clipped; None: no clipping.
    """

    def __init__(self, settings: DiagnosticsSettings, max_norm: float | None) -> None:
        self.settings, self._max_norm = settings, max_norm
        self._first: list[float] = []
        self._normal: deque[float] = deque(maxlen=_WINDOW)
        self._last: deque[float] = deque(maxlen=settings.spike_lasting)
        self._norms: deque[float] = deque(maxlen=2 * _WINDOW)
        self._consecutive = 0
        self.spike_lasts = False

    def add(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> Iterator[Finding]:
        """Add losses and gradient norms of consecutive steps, the first of which is `step`; yields the findings."""
        for offset, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
            yield from self._step(step + offset, loss, norm)
        yield from self._gradients(step + len(losses))

    def _step(self, step: int, loss: float, norm: float) -> Iterator[Finding]:
        if len(self._first) < _START:
            self._first.append(loss)
        self._last.append(loss)
        self._norms.append(norm)
        if not self._is_spike(loss):
            self._consecutive = 0
            self._normal.append(loss)
        else:
            self._consecutive += 1
            if self._consecutive == _IN_A_ROW:
                yield self._spike_finding(step, loss)
            self.spike_lasts = self._consecutive >= self.settings.spike_lasting
            if self._consecutive == self.settings.spike_lasting:
                yield self._divergence_finding(step, statistics.fmean(self._normal))
        yield from self._divergence(step)

    def _divergence(self, step: int) -> Iterator[Finding]:
        """Divergence: the loss stays 3 times above its initial value, or for a shorter time 10,000 times."""
        least, start = min(self._last), max(self._first[0], 1e-3)
        if least > 1e4 * max(1.0, start) and len(self._last) >= _FEWEST:
            yield self._divergence_finding(step, start)
        elif least > 3 * start and len(self._last) == self.settings.spike_lasting:
            start = statistics.median(self._first)
            if least > 3 * start:
                yield self._divergence_finding(step, start)

    def _is_spike(self, loss: float) -> bool:
        if len(self._normal) < _FEWEST:
            return False
        mean = statistics.fmean(self._normal)
        if loss <= self.settings.spike * mean:
            return False
        spread = math.sqrt(statistics.fmean((x - mean) ** 2 for x in self._normal))
        return loss > mean + self.settings.spike_z * spread

    def _spike_finding(self, step: int, loss: float) -> Finding:
        mean = statistics.fmean(self._normal)
        return Finding(
            "loss_spike",
            "warning",
            f"the loss jumped from {mean:.3g} to {loss:.3g} and stayed there for {_IN_A_ROW} steps",
            advice=("trainer.gradient_clip_val=1", "health=recover"),
            evidence={"mean": mean, "loss": loss},
            step=step,
        )

    def _divergence_finding(self, step: int, before: float) -> Finding:
        now = statistics.median(self._last)
        return Finding(
            "diverged",
            "error",
            f"training diverged: the loss rose from {before:.3g} to {now:.3g}; the learning rate is too high",
            advice=("optimizer.lr={rate/10}", "trainer.gradient_clip_val=1"),
            evidence={"before": before, "loss": now},
            step=step,
        )

    def _gradients(self, step: int) -> Iterator[Finding]:
        """Gradient norms of the last 100 steps against the 100 steps before them."""
        if len(self._norms) < 2 * _WINDOW:
            return
        norms = list(self._norms)
        before, now = statistics.median(norms[:_WINDOW]), statistics.median(norms[_WINDOW:])
        if before > 0 and now > self.settings.growth * before:
            yield Finding(
                "exploding_gradients",
                "warning",
                f"the gradient norm grew from {before:.3g} to {now:.3g} in {_WINDOW} steps",
                advice=("trainer.gradient_clip_val=1", "optimizer.lr={rate/3}"),
                evidence={"before": before, "norm": now},
                step=step,
            )
        if self._max_norm:
            share = statistics.fmean(norm > self._max_norm for norm in norms)
            if share > self.settings.clipped and now > 10 * self._max_norm:
                yield Finding(
                    "gradient_clipping",
                    "warning",
                    f"{percent(share, 2)} of the gradients are clipped, by a factor of {now / self._max_norm:.0f} "
                    "(median): clipping decides the size of most steps",
                    advice=("optimizer.lr={rate/3}",),
                    evidence={"share": share, "norm": now},
                    step=step,
                )

    def state(self) -> dict[str, Any]:
        """State for a checkpoint, as plain numbers."""
        return {
            "first": self._first,
            "normal": list(self._normal),
            "last": list(self._last),
            "norms": list(self._norms),
            "consecutive": self._consecutive,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self._first, self._consecutive = list(state["first"]), state["consecutive"]
        self._normal = deque(state["normal"], maxlen=_WINDOW)
        self._last = deque(state["last"], maxlen=self.settings.spike_lasting)
        self._norms = deque(state["norms"], maxlen=2 * _WINDOW)


class ExpectedLoss(NamedTuple):
    """What a first loss should be.

    value: the loss. words: what has it. excess: relative, above which a first loss is reported.
    """

    value: float
    words: str
    excess: float


def expected_loss(loss_name: str, outputs: int, settings: DiagnosticsSettings) -> ExpectedLoss | None:
    """What a net that knows nothing has; None: it depends on the data.

    Args:
        loss_name: name of the loss's class.
        outputs: how many the net has.
        settings: thresholds.
    """
    if loss_name == "CrossEntropy" and outputs > 1:
        value = math.log(outputs)
        return ExpectedLoss(value, f"uniform predictions give ln {outputs} =", settings.initial_loss)
    if loss_name == "BinaryCrossEntropy":
        return ExpectedLoss(math.log(2), "probabilities of .5 give ln 2 =", settings.initial_loss)
    if loss_name == "MeanSquaredError":
        return ExpectedLoss(1.0, "the mean of the standardised targets gives", VALUES_EXCESS)
    return None


def initial_loss(loss: float, expected: ExpectedLoss) -> Iterator[Finding]:
    """The finding for a first loss far above that of a net that knows nothing."""
    if loss > (1 + expected.excess) * expected.value:
        yield Finding(
            "initial_loss",
            "warning",
            f"the first loss is {loss:.3g}, {expected.words} {expected.value:.3g}: the initial weights of the last "
            "layer are too large, or the targets are wrong",
            evidence={"loss": loss, "expected": expected.value},
            step=0,
        )
