"""The learning-rate range test (Smith 2017, arXiv:1506.01186): a rate that grows a little at every step, and the loss.

Where the loss is least is the end of what the net bears. Taken is the rate at which it falls fastest, and at most a
tenth of that end (Howard's rule, in fastai): with sparse gradients the two lie close together.
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
from leyden.reporting.format import plural
from leyden.reporting.terminal.findings import suggested_commands
from leyden.utils.console import console
from leyden.utils.errors import UserError

LOWEST, HIGHEST = 1e-7, 10.0
STEPS, PASSES = 100, 3
_WIDTH = 3.0  # steps: of the bell over which losses are averaged; a running mean would lag behind
MARGIN = 10.0  # between the end and the rate to take, at least
_FALLEN = 0.98  # of the first loss, at most, where it is least
_TOO_MUCH = 4.0  # times the first loss: the pass ends


@dataclass(frozen=True)
class RateCurve:
    """What was found.

    Args:
        rates: (n,), growing by the same factor.
        losses: (n,), the training loss, averaged over the passes and over the steps around.
        steepest: where it falls fastest.
        lowest: where it is least: beyond, training goes wrong.
        now: the configured rate.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    steepest: float
    lowest: float
    now: float

    @property
    def suggestion(self) -> float:
        """The rate to take."""
        return min(self.steepest, self.lowest / MARGIN)


def find(made: Session) -> RateCurve:
    """Several passes from the same initial weights over different batches.

    Raises:
        UserError: the optimizer has no rate, or the loss never falls.
    """
    if "lr" not in made.config.optimizer:
        raise UserError("leyden find lr: the optimizer has no argument lr")
    rates = np.geomspace(LOWEST, HIGHEST, STEPS)
    batches = _endless(made)
    with console.status(f"{plural(PASSES, 'pass', 'passes')} of {STEPS} steps each"):
        passes = [_pass(made, rates, batches) for _ in range(PASSES)]
    shortest = min(map(len, passes))
    rates, losses = rates[:shortest], smoothed(np.mean([losses[:shortest] for losses in passes], axis=0))
    steepest, lowest = places(losses)
    if losses[lowest] > _FALLEN * losses[0]:
        raise UserError(
            f"leyden find lr: the loss does not fall at any rate from {LOWEST:g} to {HIGHEST:g}: "
            "look at the model first (leyden check model)"
        )
    return RateCurve(
        rates, losses, float(rates[steepest]), float(rates[lowest]), float(made.config.optimizer["lr"])
    )


def _endless(made: Session) -> Iterator[Batch]:
    loader = made.data.training_loader(made.config.epochs)
    while True:
        yield from loader


def _pass(made: Session, rates: NDArray[np.float64], batches: Iterator[Batch]) -> list[float]:
    """The loss before each step."""
    module = copy.deepcopy(made.module)
    optimizer = optimizer_of(module)
    base = made.config.optimizer["lr"]
    shares = [group["lr"] / base for group in optimizer.param_groups]
    losses: list[float] = []
    with preserved_state(module, training=True):
        for rate in rates:
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = float(rate) * share
            loss = float(made.step(module, optimizer, next(batches).to(made.device)))
            if not math.isfinite(loss) or loss > _TOO_MUCH * max((losses or [loss])[0], 1e-3):
                break
            losses.append(loss)
    return losses


def smoothed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) averaged by a bell over the steps around each."""
    steps = np.arange(len(losses))
    weights = np.exp(-0.5 * ((steps[:, None] - steps) / _WIDTH) ** 2)
    means: NDArray[np.float64] = weights @ losses / weights.sum(1)
    return means


def places(losses: NDArray[np.float64]) -> tuple[int, int]:
    """(where the curve falls fastest, where it is least)."""
    lowest = int(losses.argmin())
    return int(np.gradient(losses)[: lowest + 1].argmin()), lowest


def describe(found: RateCurve, command: Sequence[str]) -> Iterator[RenderableType]:
    """What to take, and between what it stands."""
    yield (
        f"the loss falls fastest at a rate of {found.steepest:.2g} and is least at {found.lowest:.2g}, beyond which "
        f"training goes wrong; configured is {found.now:g}, suggested {found.suggestion:.2g}"
    )
    yield suggested_commands(command, f"optimizer.lr={found.suggestion:.2g}")


def figure(found: RateCurve) -> Figure:
    """Loss against rate."""
    marks = {"suggested": found.suggestion, "falls fastest": found.steepest, "least": found.lowest}
    return rate_figure(found.rates, found.losses, {**marks, "configured": found.now})
