"""The compute plan of a run: chosen before the first step, watched, and kept in checkpoints and in the result.

Before the first step plans are tried on a copy (`profiling.plan_trial`) if the run is long enough to pay for it; else
threads are as many as there are free cores. On a GPU a run of a quarter of an hour or more tries a compiled net, too.
Threads are tried again at the end of an epoch whose steps were much slower than in an epoch before, or in which other
processes left more cores free than when the threads were chosen. A resumed run goes on with the plan of its checkpoint.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import Precision

from leyden.config.schema import Config
from leyden.modules.compute_plan import LAYOUTS, Plan, has_convolutions, is_channels_last
from leyden.profiling.plan_trial import Tried, try_plans
from leyden.runs.result import threads_used
from leyden.utils import cpu_load
from leyden.utils.console import console
from leyden.utils.lightning_internals import only_own_hooks
from leyden.utils.text import plural

FEWEST_STEPS = 1000  # of a run that a trial pays for: the trial takes some thirty
MOST_SECONDS, SHARE = 1.0, 0.03  # of a trial, and of the training that it is for
COMPILING = 30.0  # seconds, about: compilation is tried unasked where that is at most `SHARE` of the training
_LEAST_SECONDS = 0.05  # of a trial at the end of an epoch
SLOWER = 1.5  # mean step of an epoch over that of the fastest one, from which threads are tried again
_FREER = 0.5  # cores
_BF16 = "bf16-mixed"

Stage = Callable[[Plan], list[Plan]]


@only_own_hooks
class ComputePlan(Callback):
    """Chooses, sets, watches and records the plan of a run.

    Args:
        config: of the run.
        most: CPU threads that it may have.
        steps: optimizer steps of the run.
        batch: samples of the global batch.
    """

    replayed: ClassVar[Mapping[str, Any] | None] = None  # a record, whose plan and changes every run repeats

    def __init__(self, config: Config, most: int, steps: int, batch: int) -> None:
        self._asked, self._most, self._steps, self._batch = config.compute, most, steps, batch
        self._are_threads_free = config.threads is None and self._asked.threads == "auto"
        self._precision = str(config.trainer.get("precision", "32-true"))
        self.plan = Plan(most, LAYOUTS.get(self._asked.memory_format), compiled=self._asked.compile)
        self.record: dict[str, Any] = {}  # as in result.json; empty until the plan is chosen
        self._fastest: float | None = None  # seconds of a step, in the fastest epoch with these threads
        self._free: float | None = None  # cores, when the threads were chosen
        self._chosen = self._began = self._paused = time.perf_counter()
        self._first = 0  # optimizer step of the epoch
        self._step = math.inf  # seconds of one, about; known from a trial
        self._own_precision: Precision | None = None

    # --- the choice ---

    def on_ready(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the plan, unless it was before an interruption, and set it."""
        if not self.record:
            self._choose(trainer, pl_module)
        elif self.plan.threads != threads_used(self.record)[-1]:
            self._change(trainer.current_epoch, trainer.global_step, self.plan.threads, "resumed")
        if self.plan.compiled and not (self._asked.compile or self._may_compile(trainer)):
            self.plan = self.plan._replace(compiled=False)
            self.record["compiled"] = False
            _say(trainer, "compute: torch.compile is off now: this device or these settings do not allow it")
        self.plan.set_on(pl_module, trainer.optimizers)
        self._own_precision = trainer.precision_plugin
        trainer.strategy.precision_plugin = self.plan.precision(trainer)
        self._chosen = time.perf_counter()

    def _choose(self, trainer: Trainer, module: LightningModule) -> None:
        if self.replayed is not None:
            self.load_state_dict({**self.replayed, "changes": []})
            return
        stages = [self._threads_of(trainer), self._variants_of(trainer, module)]
        stages += [self._compiled] if self._may_compile(trainer) else []
        is_open = trainer.world_size == 1 and any(len(stage(self.plan)) > 1 for stage in stages)
        found = Tried(self.plan, {}, "as asked for")
        if is_open:
            if len(stages[0](self.plan)) > 1 and (free := cpu_load.free_cores()) is not None:
                self._free = free
                self.plan = self.plan._replace(threads=min(self._most, max(1, round(free))))
            found = Tried(self.plan, {}, f"{plural(self._steps, 'step')}: too few for a trial")
            if self._asked.compile:
                found = found._replace(why_not="a compiled net is not tried")
            elif self._steps >= FEWEST_STEPS:
                found = self._try(trainer, module, stages, lambda step: SHARE * self._steps * step)
        self.plan = found.plan
        self.record = self._recorded(found)
        if found.seconds or self._free is not None:
            _say(trainer, f"compute {self.plan.words} ({self.record['reason']})")

    def _threads_of(self, trainer: Trainer) -> Stage:
        """The numbers of threads to choose from, on a CPU: 1, 2, 4, ... and the most."""
        counts = [1 << n for n in range(self._most.bit_length()) if 1 << n < self._most] + [self._most]
        is_free = self._are_threads_free and trainer.strategy.root_device.type == "cpu"
        return lambda plan: [plan._replace(threads=n) for n in counts] if is_free else [plan]

    def _variants_of(self, trainer: Trainer, module: LightningModule) -> Stage:
        """What there is to choose from besides; with threads=N no memory format, which would change last digits."""
        formats = self._are_threads_free and self._asked.memory_format == "auto" and has_convolutions(module)
        bf16 = "bf16" in self._asked.allow and self._precision == "32-true"
        other = not any(is_channels_last(weight) for weight in module.parameters() if weight.ndim == 4)

        def variants(plan: Plan) -> list[Plan]:
            found = [plan, *([plan._replace(channels_last=other)] if formats else [])]
            return [*found, *(each._replace(bf16=True) for each in found if bf16)]

        return variants

    def _may_compile(self, trainer: Trainer) -> bool:
        """Whether a compiled net may be tried: on a GPU if nothing is asked for, elsewhere where it is allowed."""
        on_gpu = self._are_threads_free and trainer.strategy.root_device.type == "cuda"
        return not self._asked.compile and (on_gpu or "compile" in self._asked.allow)

    def _compiled(self, plan: Plan) -> list[Plan]:
        """The net as it is and compiled, where that is asked for or the run is long enough to pay for it."""
        pays = "compile" in self._asked.allow or SHARE * self._steps * self._step >= COMPILING
        return [plan, plan._replace(compiled=True)] if pays else [plan]

    def _try(
        self,
        trainer: Trainer,
        module: LightningModule,
        stages: Sequence[Stage],
        allowed: Callable[[float], float],
    ) -> Tried:
        def budget(step: float) -> float:
            self._step = step
            return min(MOST_SECONDS, allowed(step))

        size = max(1, self._batch // trainer.accumulate_grad_batches)
        return try_plans(trainer, module, stages, self.plan, size, budget)

    def _recorded(self, found: Tried) -> dict[str, Any]:
        plan = found.plan
        return {
            "threads": plan.threads,
            "memory_format": plan.memory_format,
            "precision": _BF16 if plan.bf16 else self._precision,
            "compiled": plan.compiled,
            "reason": self._reason(found),
            "seconds": {each.words: round(seconds, 6) for each, seconds in found.seconds.items()},
            "changes": [],
        }

    def _reason(self, found: Tried) -> str:
        """What was measured; where nothing was, the free cores, and why."""
        if found.seconds:
            return "; ".join(filter(None, (_measured(found), found.why_not)))
        cores = "" if self._free is None else f"{self._free:.1f} of {plural(self._most, 'core')} free; "
        return f"{cores}{found.why_not}"

    # --- the watch ---

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        cpu_load.look()
        self._first, self._began = trainer.global_step, time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock go on."""
        self._began += time.perf_counter() - self._paused

    def on_epoch_done(self, trainer: Trainer) -> None:
        """Try threads again where steps were much slower, or more cores are free; before the epoch's checkpoint."""
        if self.replayed is not None:
            for change in self.replayed["changes"]:
                if change["step"] == trainer.global_step:
                    self._change(**change)
            return
        steps, stage = trainer.global_step - self._first, self._threads_of(trainer)
        left = self._steps - trainer.global_step
        if self.plan.compiled or not (
            steps and left > 0 and trainer.world_size == 1 and len(stage(self.plan)) > 1
        ):
            return
        seconds, free = (time.perf_counter() - self._began) / steps, cpu_load.free_cores()
        is_slower = self._fastest is not None and seconds > SLOWER * self._fastest
        is_freer = free is not None and self._free is not None and free > self._free + _FREER
        self._fastest = min(seconds, self._fastest or seconds)
        allowed = SHARE * min(time.perf_counter() - self._chosen, left * seconds)
        if not (is_slower or (is_freer and self.plan.threads < self._most)) or allowed < _LEAST_SECONDS:
            return
        found = self._try(trainer, trainer.lightning_module, [stage], lambda _: allowed)
        self._free, self._chosen, self._fastest = free, time.perf_counter(), seconds
        if found.plan.threads != self.plan.threads:
            self._fastest = None
            reason = f"{'slower steps' if is_slower else 'more free cores'}: {_measured(found)}"
            self._change(trainer.current_epoch, trainer.global_step, found.plan.threads, reason)
            _say(trainer, f"compute {found.plan.words} from here on ({reason})")

    def _change(self, epoch: int, step: int, threads: int, reason: str) -> None:
        self.record["changes"].append({"epoch": epoch, "step": step, "threads": threads, "reason": reason})
        self.plan = self.plan._replace(threads=threads)
        torch.set_num_threads(threads)

    # --- its end, and checkpoints ---

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate and keep the net in its own memory format, not compiled, in the precision asked for."""
        self.plan._replace(channels_last=None, compiled=False).set_on(pl_module, trainer.optimizers)
        if self._own_precision is not None:
            trainer.strategy.precision_plugin = self._own_precision

    def state_dict(self) -> dict[str, Any]:
        """The plan and its changes."""
        return self.record

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take the plan up again, but for what is asked for otherwise (`continue`), or more threads than there are."""
        self.record = {**state_dict, "changes": list(state_dict["changes"])}
        threads = min(threads_used(self.record)[-1], self._most) if self._are_threads_free else self._most
        if (asked := self._asked.memory_format) != "auto":
            self.record["memory_format"] = asked
        if "bf16" not in self._asked.allow:
            self.record["precision"] = self._precision
        self.record["compiled"] = self._asked.compile or bool(self.record.get("compiled"))
        layout, is_bf16 = LAYOUTS[self.record["memory_format"]], self.record["precision"] == _BF16
        self.plan = Plan(threads, layout, is_bf16 and self._precision != _BF16, self.record["compiled"])
        torch.set_num_threads(threads)


def _measured(found: Tried) -> str:
    """Milliseconds of a step, of the chosen plan and of the others: "1.31 ms a step; 2 threads 2.05"."""
    others = [f"{plan.words} {1000 * s:.3g}" for plan, s in found.seconds.items() if plan != found.plan]
    return "; ".join([f"{1000 * found.seconds[found.plan]:.3g} ms a step", *others])


def _say(trainer: Trainer, line: str) -> None:
    if trainer.is_global_zero:
        console.print(line)
