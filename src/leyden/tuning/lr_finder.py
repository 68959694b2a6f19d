"""Learning-rate range test (Smith 2017, arXiv:1506.01186): the loss at a learning rate that grows with every step.

Beyond the rate of the minimum loss, training diverges. Suggested is the rate of the steepest descent, but at most a
tenth of the rate at the minimum (Howard's rule, in fastai): with sparse gradients the two are close together.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import RenderableType

from leyden.data.batch import Batch
from leyden.modules.session import Session
from leyden.modules.standalone import optimizer_of, preserved_state
from leyden.reporting.finders import rate_figure
from leyden.reporting.terminal.findings import suggested_commands
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.text import plural

LOWEST, HIGHEST = 1e-7, 10.0
STEPS, PASSES = 100, 3
_WIDTH = 3.0  # steps: standard deviation of the Gaussian smoothing; a running mean would lag behind
MARGIN = 10.0  # rate of the minimum loss over the suggestion, at least
_MAX_MINIMUM = 0.98  # minimum loss over the first loss; above, the loss does not fall
_DIVERGED = 4.0  # loss over the first loss at which a pass ends


@dataclass(frozen=True)
class RateCurve:
    """Result of a range test.

    Args:
        rates: (n,), learning rates, geometrically spaced.
        losses: (n,), training losses, averaged over the passes and smoothed over the steps.
        steepest: rate at which the loss falls fastest.
        lowest: rate of the minimum loss; beyond it training diverges.
        now: the configured rate.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    steepest: float
    lowest: float
    now: float

    @property
    def suggestion(self) -> float:
        """The suggested rate: the steepest, but at most a tenth of that of the minimum loss."""
        return min(self.steepest, self.lowest / MARGIN)


def find(session: Session) -> RateCurve:
    """Run the range test: several passes from the same initial weights over different batches, averaged.

    Raises:
        UserError: the optimizer has no argument lr, or the loss never falls.
    """
    if "lr" not in session.config.optimizer:
        raise UserError("leyden find lr: the optimizer has no argument lr")
    rates = np.geomspace(LOWEST, HIGHEST, STEPS)
    batches = _endless_batches(session)
    with console.status(f"{plural(PASSES, 'pass', 'passes')} of {STEPS} steps each"):
        passes = [_pass(session, rates, batches) for _ in range(PASSES)]
    shortest = min(map(len, passes))
    rates, losses = rates[:shortest], smooth(np.mean([losses[:shortest] for losses in passes], axis=0))
    steepest, lowest = steepest_and_lowest(losses)
    if losses[lowest] > _MAX_MINIMUM * losses[0]:
        raise UserError(
            f"leyden find lr: the loss does not fall at any rate from {LOWEST:g} to {HIGHEST:g}: "
            "check the model first (leyden check model)"
        )
    return RateCurve(
        rates, losses, float(rates[steepest]), float(rates[lowest]), float(session.config.optimizer["lr"])
    )


def _endless_batches(session: Session) -> Iterator[Batch]:
    loader = session.data.training_loader(session.config.epochs)
    while True:
        yield from loader


def _pass(session: Session, rates: NDArray[np.float64], batches: Iterator[Batch]) -> list[float]:
    """The loss at each rate, until it diverges."""
    module = copy.deepcopy(session.module)
    optimizer = optimizer_of(module)
    configured = session.config.optimizer["lr"]
    factors = [group["lr"] / configured for group in optimizer.param_groups]
    losses: list[float] = []
    with preserved_state(module, training=True):
        for rate in rates:
            for group, factor in zip(optimizer.param_groups, factors, strict=True):
                group["lr"] = float(rate) * factor
            loss = float(session.step(module, optimizer, next(batches).to(session.device)))
            if not math.isfinite(loss) or loss > _DIVERGED * max((losses or [loss])[0], 1e-3):
                break
            losses.append(loss)
    return losses


def smooth(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses (n,) smoothed by a Gaussian over the steps."""
    steps = np.arange(len(losses))
    weights = np.exp(-0.5 * ((steps[:, None] - steps) / _WIDTH) ** 2)
    means: NDArray[np.float64] = weights @ losses / weights.sum(1)
    return means


def steepest_and_lowest(losses: NDArray[np.float64]) -> tuple[int, int]:
    """Indices of the steepest descent and of the minimum of losses (n,)."""
    lowest = int(losses.argmin())
    return int(np.gradient(losses)[: lowest + 1].argmin()), lowest


def describe(found: RateCurve, command: Sequence[str]) -> Iterator[RenderableType]:
    """The suggestion, with the steepest and the lowest rate, and the command to use it."""
    yield (
        f"the loss falls fastest at a rate of {found.steepest:.2g} and is lowest at {found.lowest:.2g}, beyond which "
        f"training diverges; configured is {found.now:g}, suggested {found.suggestion:.2g}"
    )
    yield suggested_commands(command, f"optimizer.lr={found.suggestion:.2g}")


def figure(found: RateCurve) -> Figure:
    """Figure of the loss against the learning rate."""
    marks = {"suggested": found.suggestion, "falls fastest": found.steepest, "lowest": found.lowest}
    return rate_figure(found.rates, found.losses, {**marks, "configured": found.now})
