"""The trial of compute plans: training steps of a copy of the module, in turns, judged by wall time.

It leaves no trace. Module and optimizer are copies, the batch is gathered beside the loader, random numbers and threads
are put back, and the learning rate is zero, so that no step can diverge.
"""

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer

from leyden.data.batch import Batch
from leyden.data.typical_batch import median_length_batch
from leyden.modules.compute_plan import Plan
from leyden.modules.standalone import optimizer_of, training_loss
from leyden.optim.gradients import gradient_norm
from leyden.profiling.race import beats, race
from leyden.utils.random_state import rng_state, set_rng_state

TIE = 0.05  # share by which a plan must be faster than one before it
_ENOUGH = 0.02  # seconds of a step, beyond which a larger part of the batch would tell the same
_FIRST, _FACTOR = 8, 4  # samples of the first step, and how they grow


class Tried(NamedTuple):
    """The chosen plan, seconds of a step of every plan that was measured, and why others were not."""

    plan: Plan
    seconds: dict[Plan, float]
    why_not: str = ""


def try_plans(
    trainer: Trainer,
    module: LightningModule,
    stages: Sequence[Callable[[Plan], Sequence[Plan]]],
    start: Plan,
    size: int,
    allowed: Callable[[float], float],
) -> Tried:
    """The fastest plan of each stage in turn; one gives way to a later one that beats it by the share `TIE`.

    Args:
        trainer: of the run, in its fit.
        module: is copied.
        stages: the best plan so far -> those of the stage.
        start: the plan that counts if nothing can be measured.
        size: samples of a batch of this process.
        allowed: seconds of a step -> seconds of the trial; those of a stage that compiles come on top.
    """
    began, random, threads = time.perf_counter(), rng_state(), torch.get_num_threads()
    found = Tried(start, {})
    try:
        trial = _Trial(trainer, module, size)
        budget = allowed(trial.seconds())
        for number, stage in enumerate(stages):
            plans = stage(found.plan)
            if trial.compile(plans):
                began = time.perf_counter()  # beside what that took, the budget is little
            left, share = budget - (time.perf_counter() - began), 1 / (len(stages) - number)
            if len(plans) > 1 and (turns := trial.turns(plans, left, share)):
                chosen = plans[0]
                for plan in plans[1:]:
                    chosen = plan if beats(turns[plan], turns[chosen], TIE) else chosen
                seconds = {plan: statistics.median(of_plan) for plan, of_plan in turns.items()}
                found = Tried(chosen, {**found.seconds, **seconds})
    except Exception as error:  # of the user's own code, or memory: what it means, the training will say
        return found._replace(why_not=f"no trial: {type(error).__name__}")
    finally:
        set_rng_state(random)
        torch.set_num_threads(threads)
    return found if found.seconds else Tried(start, {}, "too short for a trial")


class _Trial:
    """Steps of a copy of a module, under any plan."""

    def __init__(self, trainer: Trainer, module: LightningModule, size: int) -> None:
        self._module: LightningModule = copy.deepcopy(module, {id(trainer): None})
        self._module.train()
        self._optimizer = optimizer_of(self._module)
        for group in self._optimizer.param_groups:
            group["lr"] = 0.0
        self._trainer, self._size, self._plan = trainer, size, Plan(torch.get_num_threads())
        self._batch = self._take(min(size, _FIRST))

    def _take(self, samples: int) -> Batch:
        data: Any = self._trainer.datamodule  # type: ignore[attr-defined]
        return median_length_batch(data, samples).to(self._trainer.strategy.root_device)

    def seconds(self) -> float:
        """Of a step of the whole batch, about; the trial goes on with as much of a batch as a measurement needs."""
        while True:
            samples = len(self._batch.targets)
            self._step()
            began = time.perf_counter()
            self._step()
            seconds = time.perf_counter() - began
            if samples >= self._size or seconds > _ENOUGH:
                return seconds * self._size / samples
            self._batch = self._take(min(self._size, _FACTOR * samples))

    def compile(self, plans: Sequence[Plan]) -> bool:
        """Take the steps in which nets are compiled; returns whether there are any."""
        compiled = [plan for plan in plans if plan.compiled and len(plans) > 1]
        for plan in compiled:
            self._under(plan)()
        return bool(compiled)

    def turns(self, plans: Sequence[Plan], budget: float, share: float) -> dict[Plan, list[float]]:
        """Seconds of a step of the whole batch under each plan, turn by turn, as `race` finds them."""
        scale = self._size / len(self._batch.targets)
        found = race({plan: self._under(plan) for plan in plans}, budget, share)
        return {plan: [scale * seconds for seconds in of_plan] for plan, of_plan in found.items()}

    def _under(self, plan: Plan) -> Callable[[], None]:
        def step() -> None:
            if plan != self._plan:
                plan.set_on(self._module, [self._optimizer])
                self._plan = plan
            self._step()

        return step

    def _step(self) -> None:
        """A step as the Trainer takes it, with the norm that the doctor reads."""
        with self._plan.precision(self._trainer).forward_context():
            loss = training_loss(self._module, self._batch)
        self._optimizer.zero_grad()
        loss.backward()
        float(gradient_norm(self._optimizer))
        self._optimizer.step()
