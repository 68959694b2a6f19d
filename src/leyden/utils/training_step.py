"""A training step that makes the calls of Lightning's step which have an effect, and no others.

Between two batches Lightning 2.6.6 looks some thirty hooks up, most of which do nothing, and asks each time whether the
batch has to be moved, whether gradients accumulate and what the signature of `training_step` is: .4 ms a step, which is
a tenth of that of a small net. `DirectStep` finds out once an epoch what there is to call. It serves one optimizer on
one device; `DirectStep.of` returns None where a module or a Trainer asks for more, and the step is Lightning's then.
Everything around it stays Lightning's loop: progress, schedules, logging, validation, checkpoints.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loops.optimization.automatic import Closure, ClosureResult
from lightning.pytorch.loops.progress import _OptimizerProgress
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import Optimizer

TRAINING_HOOKS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward"),
    *("on_after_backward", "on_before_optimizer_step"),
)
# What a module, or a datamodule, may not have changed.
_MODULE_HOOKS = (
    *(*TRAINING_HOOKS, "on_before_batch_transfer", "on_after_batch_transfer"),
    *("optimizer_zero_grad", "optimizer_step", "backward", "configure_gradient_clipping", "clip_gradients"),
)
_DATA_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


class DirectStep:
    """Forward pass, backward pass and optimizer step of a batch, with the callbacks' hooks in Lightning's order."""

    def __init__(self, trainer: Trainer, module: LightningModule) -> None:
        self._trainer, self._module = trainer, module
        self._optimizer = trainer.optimizers[0]
        self._device = trainer.strategy.root_device
        self._precision = trainer.strategy.precision_plugin
        self._progress: _OptimizerProgress = (
            trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer
        )
        self._hooks = {name: _defined(trainer, name) for name in TRAINING_HOOKS}

    @classmethod
    def of(cls, trainer: Trainer) -> "DirectStep | None":
        """That of this Trainer and its module; None where Lightning's own step is needed."""
        undeclared: Any = trainer
        module, strategy = trainer.lightning_module, trainer.strategy
        precision = strategy.precision_plugin
        fits = (
            module.automatic_optimization
            and len(trainer.optimizers) == 1
            and not _changes(trainer.optimizers[0], Optimizer, "zero_grad")
            and trainer.accumulate_grad_batches == 1
            and type(strategy) is SingleDeviceStrategy
            and (type(precision) is Precision or (type(precision) is MixedPrecision and not precision.scaler))
            and type(undeclared.profiler) is PassThroughProfiler
            and list(inspect.signature(module.training_step).parameters) == ["batch", "batch_idx"]
            and not any(_changes(module, LightningModule, name) for name in _MODULE_HOOKS)
            and not any(_changes(undeclared.datamodule, LightningDataModule, name) for name in _DATA_HOOKS)
        )
        return cls(trainer, module) if fits else None

    def to_device(self, batch: Any) -> Any:
        """The batch, where the module is."""
        return self._module.transfer_batch_to_device(batch, self._device, 0)

    def call(self, hook: str, *arguments: Any) -> None:
        """A hook of the callbacks that define it, in order."""
        if functions := self._hooks[hook]:
            self._module._current_fx_name = hook  # for `self.log`
            for function in functions:
                function(self._trainer, self._module, *arguments)
            self._module._current_fx_name = None

    def run(self, batch: Any, index: int) -> dict[str, Any]:
        """Train on a batch; returns the loss, detached, and whatever else `training_step` returned."""
        outputs: dict[str, Any] = {}

        def closure() -> Tensor | None:
            with torch.enable_grad():
                loss = self._forward(batch, index, outputs)
                self._zero_gradients()
                if loss is not None:
                    self.call("on_before_backward", loss)
                    loss.backward()
                    self.call("on_after_backward")
            self.call("on_before_optimizer_step", self._optimizer)
            self._clip()
            return outputs.get("loss")

        self._progress.step.increment_ready()
        self._optimizer.step(closure)  # type: ignore[arg-type]
        self._progress.step.increment_completed()
        return outputs

    def _forward(self, batch: Any, index: int, outputs: dict[str, Any]) -> Tensor | None:
        self._module._current_fx_name = "training_step"
        with self._precision.train_step_context():
            found = self._module.training_step(batch, index)
        self._module._current_fx_name = None
        if isinstance(found, Tensor):
            outputs["loss"] = found.detach()
            return found
        result = ClosureResult.from_training_step_output(found)  # refuses what has no loss
        if result.closure_loss is None:
            Closure.warning_cache.warn(
                "`training_step` returned `None`. If this was on purpose, ignore this warning..."
            )
        else:
            outputs.update(result.asdict())
        return result.closure_loss

    def _zero_gradients(self) -> None:
        self._progress.zero_grad.increment_ready()
        self.call("on_before_zero_grad", self._optimizer)
        self._progress.zero_grad.increment_started()
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        self._progress.zero_grad.increment_completed()

    def _clip(self) -> None:
        if self._trainer.gradient_clip_val:
            self._module.configure_gradient_clipping(
                self._optimizer, self._trainer.gradient_clip_val, self._trainer.gradient_clip_algorithm
            )


def _defined(trainer: Trainer, name: str) -> list[Callable[..., Any]]:
    found = (getattr(callback, name) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    return [function for function in found if callable(function)]


def _changes(given: object, base: type, name: str) -> bool:
    """Whether it, where there is one, has another method than the class of Lightning's."""
    return given is not None and (
        getattr(type(given), name) is not getattr(base, name) or name in vars(given)
    )
