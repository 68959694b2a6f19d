"""From a black box to words: the step is done again under a watch, and the birth of the bad value is named.

The same for a run that has just stopped and for `leyden replay RUN` months later.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    """What a run's black box tells; the module's weights become those before the bad step.

    Args:
        folder: of the run.
        config: its configuration, for the advice.
        module: as `build.module` makes it.
        trainer: of the same precision.
        data: names the samples.
    """
    boxes = step_snapshot.read(folder)
    found = [_replayed(box, module, trainer) for box in boxes]
    box, taken, birth = next((each for each in found if each[2] is not None), found[0])
    return _finding(box, taken, birth, config, data)


def _replayed(
    box: StepSnapshot, module: LightningModule, trainer: Trainer
) -> tuple[StepSnapshot, RecordedBatch, NonFiniteOrigin | None]:
    """Each batch of the step in turn, until one goes wrong."""
    plugin = trainer.precision_plugin
    module = plugin.convert_module(module)  # type: ignore[assignment]
    module.load_state_dict(box.weights)
    before = rng_state()
    module.train()
    try:
        if not box.batches:
            return box, RecordedBatch(None, -1, {}), nan_tracer.check_weights(module)
        for taken in box.batches:
            birth = _step(taken, module, plugin)
            if birth is not None:
                return box, taken, birth
        return box, box.batches[-1], None
    finally:
        set_rng_state(before)


def _step(taken: RecordedBatch, module: LightningModule, plugin: Any) -> NonFiniteOrigin | None:
    set_torch_rng(taken.rng)
    tensors = [t for t in tree_leaves(taken.batch) if isinstance(t, Tensor)]

    def step() -> Tensor:
        with plugin.forward_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a module that logs, without a trainer at work
            outcome = module.training_step(taken.batch, taken.index)
        return outcome["loss"] if isinstance(outcome, dict) else outcome  # type: ignore[return-value]

    size = len(taken.batch.targets) if isinstance(taken.batch, Batch) else 0
    return nan_tracer.trace_step(module, tensors, step, size)[0]


# --- words ---


def _finding(
    box: StepSnapshot, taken: RecordedBatch, birth: NonFiniteOrigin | None, config: Config, data: DataModule
) -> Finding:
    value = {"nan": "NaN", "inf": "an infinity"}[birth.kind] if birth else "a value that is not finite"
    batch = f", batch {taken.index + 1}" if box.batches else ""
    when = f"step {box.step} (epoch {box.epoch + 1}{batch})"
    samples = _samples(taken, birth, data)
    rank = f" on rank {box.rank}" if box.rank else ""
    message = f"the {box.what} is not finite at {when}{rank}: {_story(birth, value)}{_for(samples, taken)}"
    evidence = {
        "epoch": box.epoch,
        "batch": taken.index,
        "what": box.what,
        "rank": box.rank,
        "rows": taken.rows,
        "samples": samples,
        **(birth.__dict__ if birth else {}),
    }
    if birth:
        evidence["samples"] = samples
    where = "" if birth is None else birth.module or _outside(birth)
    return Finding("non_finite", "error", message, where, _advice(birth, config, samples), evidence, box.step)


def _story(birth: NonFiniteOrigin | None, value: str) -> str:
    if birth is None:
        return "done again from the black box it is finite (the device does not compute it twice alike)"
    if birth.phase == "weights":
        return f"{birth.module} was not finite before the step: the update before it made it so"
    if birth.phase == "batch":
        return f"{value} came in with the batch"
    if birth.operation == "norm":
        return f"the gradients explode: their norm overflows, and that of {birth.module} is the largest"
    place = birth.module or _outside(birth)
    operation = f"{birth.operation} gives {value}" if birth.operation else f"{value} appears"
    line = f" ({birth.line})" if birth.line else ""
    direction = " in the backward pass" if birth.phase == "backward" else ""
    return f"{operation} in {place}{direction}{line}"


def _outside(birth: NonFiniteOrigin) -> str:
    """A place that is no module: the loss, or whatever stands behind the module that ran last."""
    return f"what follows {birth.after}" if birth.after else "the module's own training_step"


def _for(samples: Sequence[str], taken: RecordedBatch) -> str:
    if not samples:
        return ""
    all_of = len(taken.rows)
    shown = ", ".join(samples[:_NAMED]) + (", ..." if len(samples) > _NAMED else "")
    return f", for {len(samples)} of {all_of} samples: {shown}" if all_of else ""


def _samples(taken: RecordedBatch, birth: NonFiniteOrigin | None, data: DataModule) -> list[str]:
    """Names of the samples in question, where it is not all of them."""
    if birth is None or not birth.samples or not isinstance(taken.batch, Batch):
        return []
    if len(birth.samples) == len(taken.rows):
        return []
    names = data.table.index.names
    return [str(names[taken.rows[place]]) for place in birth.samples]


def _advice(birth: NonFiniteOrigin | None, config: Config, samples: Sequence[str]) -> tuple[str, ...]:
    """What to change: by where the value was born."""
    rate = config.optimizer.get("lr")
    slower = [f"optimizer.lr={float(rate) / 10:g}"] if isinstance(rate, int | float) else []
    clipped = [] if config.trainer.get("gradient_clip_val") else ["trainer.gradient_clip_val=1"]
    if birth is None:
        return ("trainer.deterministic=true", *slower)
    half = str(config.trainer.get("precision", "32-true")).startswith("16")
    wider = ["trainer.precision=bf16-mixed"] if half else []
    if birth.phase == "batch" or samples:
        return ("data.on_bad=skip", "health=guard")
    if birth.phase == "weights":
        return (*wider, *slower, *clipped)
    if birth.kind == "inf" and not birth.module and birth.operation in ("log", "div", "reciprocal"):
        return ("loss=cross_entropy",)
    return (*wider, *clipped, *slower, "health=guard")
