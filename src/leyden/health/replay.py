"""Replays a step snapshot and locates the operation that produced the first NaN or infinity.

Used when a run stops and by `leyden replay RUN` later.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils._pytree import tree_leaves

from leyden.config.schema import Config
from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.health import nan_tracer, step_snapshot
from leyden.health.findings import Finding
from leyden.health.nan_tracer import NonFiniteOrigin
from leyden.health.step_snapshot import RecordedBatch, StepSnapshot
from leyden.utils.random_state import rng_state, set_rng_state, set_torch_rng

_NAMED = 3  # samples


def diagnose(
    folder: Path, config: Config, module: LightningModule, trainer: Trainer, data: DataModule
) -> Finding:
    """The diagnosis of a run's step snapshots; the module's weights become those before the bad step.

    Args:
        folder: folder of the run.
        config: its configuration, for the suggestions.
        module: a module as built from the configuration.
        trainer: a trainer of the same precision, on whose device the step is replayed.
        data: the data of the run, for the names of the samples.

    Raises:
        UserError: the run has no step snapshot, or one is damaged.
    """
    snapshots = step_snapshot.read(folder)
    results = [_replay(snapshot, module, trainer) for snapshot in snapshots]
    snapshot, recorded, origin = next((result for result in results if result[2] is not None), results[0])
    return _diagnosis(snapshot, recorded, origin, config, data)


def _replay(
    snapshot: StepSnapshot, module: LightningModule, trainer: Trainer
) -> tuple[StepSnapshot, RecordedBatch, NonFiniteOrigin | None]:
    """Replay each batch of the step until one is not finite: (snapshot, the batch, origin of the value)."""
    plugin, device = trainer.precision_plugin, trainer.strategy.root_device
    module = plugin.convert_module(module).to(device)  # type: ignore[assignment]
    module.load_state_dict(snapshot.weights)
    before = rng_state()
    module.train(snapshot.what != "output")
    try:
        if not snapshot.batches:
            return snapshot, RecordedBatch(None, -1, {}), nan_tracer.check_weights(module)
        for recorded in snapshot.batches:
            origin = _trace_batch(recorded, module, plugin, device)
            if origin is not None:
                return snapshot, recorded, origin
        return snapshot, snapshot.batches[-1], None
    finally:
        set_rng_state(before)


def _trace_batch(
    recorded: RecordedBatch, module: LightningModule, plugin: Any, device: torch.device
) -> NonFiniteOrigin | None:
    set_torch_rng(recorded.rng)
    batch = module.transfer_batch_to_device(recorded.batch, device, 0)
    tensors = [t for t in tree_leaves(batch) if isinstance(t, Tensor)]

    def step() -> Tensor:
        with plugin.forward_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # self.log without a running trainer
            outcome = module.training_step(batch, recorded.index)
        return outcome["loss"] if isinstance(outcome, dict) else outcome  # type: ignore[return-value]

    size = len(recorded.batch.targets) if isinstance(recorded.batch, Batch) else 0
    return nan_tracer.trace_step(module, tensors, step, size)[0]


# --- message ---


def _diagnosis(
    snapshot: StepSnapshot,
    recorded: RecordedBatch,
    origin: NonFiniteOrigin | None,
    config: Config,
    data: DataModule,
) -> Finding:
    value = {"nan": "NaN", "inf": "an infinity"}[origin.kind] if origin else "a value that is not finite"
    batch = f", batch {recorded.index + 1}" if recorded.index >= 0 else ""
    when = f"step {snapshot.step} (epoch {snapshot.epoch + 1}{batch})"
    samples = _sample_names(recorded, origin, data)
    rank = f" on rank {snapshot.rank}" if snapshot.rank else ""
    cause = f"{_describe(origin, value)}{_describe_samples(samples, recorded)}"
    message = f"the {snapshot.what} is not finite at {when}{rank}: {cause}"
    evidence = {
        "epoch": snapshot.epoch,
        "batch": recorded.index,
        "what": snapshot.what,
        "rank": snapshot.rank,
        "rows": recorded.rows,
        "samples": samples,
        **(origin.__dict__ if origin else {}),
    }
    if origin:
        evidence["samples"] = samples
    where = "" if origin is None else origin.module or _location_outside(origin)
    return Finding(
        "non_finite", "error", message, where, _suggest(origin, config, samples), evidence, snapshot.step
    )


def _describe(origin: NonFiniteOrigin | None, value: str) -> str:
    if origin is None:
        return "replayed from the step snapshot it is finite (the computation is not deterministic on this device)"
    if origin.phase == "weights":
        return f"{origin.module} was not finite before the step: the previous update produced it"
    if origin.phase == "batch":
        return f"the batch contains {value}"
    if origin.operation == "norm":
        return f"the gradients explode: their norm overflows, and that of {origin.module} is the largest"
    location = origin.module or _location_outside(origin)
    operation = f"{origin.operation} produces {value}" if origin.operation else f"{value} appears"
    line = f" ({origin.line})" if origin.line else ""
    direction = " in the backward pass" if origin.phase == "backward" else ""
    return f"{operation} in {location}{direction}{line}"


def _location_outside(origin: NonFiniteOrigin) -> str:
    """Location outside of all modules: the loss, or the code that follows the module that ran last."""
    return f"the code after {origin.after}" if origin.after else "the module's own training_step"


def _describe_samples(samples: Sequence[str], recorded: RecordedBatch) -> str:
    if not samples:
        return ""
    total = len(recorded.rows)
    listed = ", ".join(samples[:_NAMED]) + (", ..." if len(samples) > _NAMED else "")
    return f", for {len(samples)} of {total} samples: {listed}" if total else ""


def _sample_names(recorded: RecordedBatch, origin: NonFiniteOrigin | None, data: DataModule) -> list[str]:
    """Names of the affected samples; empty if all samples are affected."""
    if origin is None or not origin.samples or not isinstance(recorded.batch, Batch):
        return []
    if len(origin.samples) == len(recorded.rows):
        return []
    names = data.table.index.names
    return [str(names[recorded.rows[index]]) for index in origin.samples]


def _suggest(origin: NonFiniteOrigin | None, config: Config, samples: Sequence[str]) -> tuple[str, ...]:
    """Suggested overrides, by the origin of the value."""
    rate = config.optimizer.get("lr")
    lower_rate = [f"optimizer.lr={float(rate) / 10:g}"] if isinstance(rate, int | float) else []
    clip = [] if config.trainer.get("gradient_clip_val") else ["trainer.gradient_clip_val=1"]
    if origin is None:
        return ("trainer.deterministic=true", *lower_rate)
    is_half = str(config.trainer.get("precision", "32-true")).startswith("16")
    wider = ["trainer.precision=bf16-mixed"] if is_half else []
    if origin.phase == "batch" or samples:
        return ("data.on_bad=skip", "health=guard")
    if origin.phase == "weights":
        return (*wider, *lower_rate, *clip)
    if origin.kind == "inf" and not origin.module and origin.operation in ("log", "div", "reciprocal"):
        return ("loss=cross_entropy",)
    return (*wider, *lower_rate, *clip, "health=guard")
