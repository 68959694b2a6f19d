"""Configuration -> datamodule, LightningModule, ledger, operating point."""

import functools
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningModule, seed_everything
from torch import nn

from leyden.config.compose import conf_dir
from leyden.config.instantiate import provide
from leyden.config.schema import Config
from leyden.config.signatures import parameters_of
from leyden.config.validate import EPOCH, locate
from leyden.data.datamodule import DataModule, reading
from leyden.data.spec import DataSpec
from leyden.data.tokenizers import Tokenizer
from leyden.decision import Choice
from leyden.imbalance.class_prior import Correction, Ledger
from leyden.metrics import METRICS
from leyden.nets import heads
from leyden.training.trainer import more_is_better
from leyden.training.transfer import start
from leyden.utils.errors import UserError


def data(config: Config, tokenizer: Tokenizer | None = None) -> DataModule:
    """The data layer; nothing is read yet. `tokenizer` is a fitted one, from a run's folder."""
    if tokenizer is None and config.data.tokenizer is not None:
        own = config.model.tokenizer
        tokenizer = provide("model.tokenizer" if own else "data.tokenizer", own or config.data.tokenizer, {})
    return DataModule(
        source=provide("data.source", config.data.source, {}),
        split=provide("split", config.split, {}),
        long_tail=provide("long_tail", config.long_tail, {}),
        policy=provide("sampling", config.sampling, {}),
        tokenizer=tokenizer,
        cache=Path(config.cache),
        batch_size=config.batch_size,
        seed=config.seed,
        reading=reading(config.data),
    )


def module(config: Config, spec: DataSpec, steps_per_epoch: int) -> LightningModule:
    """The LightningModule with its net, at its initial weights (drawn from `config.seed`)."""
    seed_everything(config.seed, workers=True, verbose=False)
    facts = spec.facts()
    frontend = (
        provide("model.frontend", config.model.frontend, facts) if config.model.frontend else nn.Identity()
    )
    facts |= getattr(frontend, "facts", dict)()
    net = provide("model.net", config.model.net, facts) if config.model.net else nn.Identity()
    if not isinstance(maker := provide("head", config.head, {}), heads.Plain):
        heads.replace(net, spec.num_classes, maker)
    facts |= {"epochs": int(config.trainer["max_epochs"])}
    objective = provide("objective", config.objective, facts)
    _verify_scale(objective, maker)
    times = {
        "steps_per_epoch": steps_per_epoch,
        "total_steps": steps_per_epoch * config.trainer["max_epochs"],
    }
    parts = {
        "net": net,
        "frontend": frontend,
        "objective": objective,
        "augment": [provide(f"augment.{name}", node, facts) for name, node in config.augment.items()],
        "optimizer": functools.partial(_optimizer, config),
        "schedule": functools.partial(_scheduler, config, times),
        "seed": config.seed,
        "monitor": config.monitor,
    }
    built: LightningModule = provide("model.module", config.model.module, {**facts, **times, **parts})
    start(built, config, spec.num_classes)
    return built


def operating(config: Config, spec: DataSpec) -> Choice:
    """The choice of the operating point, which is made after training.

    Raises:
        UserError: it names a class that there is not, or needs validation samples that there are not.
    """
    choice: Choice = provide("operating", config.operating, {})
    choice.verify(spec.class_names)
    if choice.reads_validation and not spec.sizes[1]:
        raise UserError(
            "operating: is chosen on validation samples, and the split has none; choose operating=none"
        )
    return choice


def _verify_scale(objective: nn.Module, head: heads.Head) -> None:
    """An objective with margins on the cosine needs a head that gives it, of the same scale.

    Raises:
        UserError: it has another.
    """
    scale = next((part.scale for part in objective.modules() if getattr(part, "needs_cosine", False)), None)
    if scale is None:
        return
    if not isinstance(head, heads.Cosine):
        raise UserError(f"objective: {type(objective).__name__} needs cosine logits: add head=cosine")
    if head.scale != scale:
        raise UserError(f"head.scale={head.scale} and the objective's scale={scale} must be the same")


def ledger(config: Config, data: DataModule, module: LightningModule) -> Ledger:
    """The class prior that the loss sees in every epoch.

    Raises:
        UserError: sampling and objective both correct it, and `allow_stacking` is not set.
    """
    epochs = int(config.trainer["max_epochs"])
    objective = getattr(module, "objective", None)
    made = Ledger.of(
        data.spec.class_counts, data.plan(epochs).prior, functools.partial(_correction, objective), epochs
    )
    if made.stacked() and not config.allow_stacking:
        names = {"sampling": _named("sampling", config.sampling)}
        names |= dict.fromkeys(("weights", "offsets"), _named("objective", config.objective))
        made.refuse_stacking(names, data.spec.class_names)
    return made


def _correction(objective: Any, epoch: int) -> Correction | None:
    """What the objective in force in an epoch imposes, as NumPy arrays; None: nothing."""
    now = objective.at(epoch) if hasattr(objective, "at") else objective
    found = now.correction() if hasattr(now, "correction") else None
    return None if found is None else (found[0].double().cpu().numpy(), found[1].double().cpu().numpy())


def _named(group: str, node: Mapping[str, Any]) -> str:
    """A part as it is chosen on the command line; one that is no option as it stands, by its class."""
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        if yaml.safe_load(path.read_text(encoding="utf-8")) == node:
            return f"{group}={path.stem}"
    return f"{group}={node['_target_'].rpartition('.')[2]}"


def remarks(config: Config) -> Iterator[str]:
    """What a module of one's own leaves aside, which would otherwise surprise: groups, the monitor's direction."""
    module = locate(config.model.module["_target_"], "model.module")
    chosen = {
        **{"frontend": config.model.frontend, "net": config.model.net, "augment": config.augment},
        **{"objective": config.objective, "optimizer": config.optimizer, "schedule": config.schedule},
    }
    asked = parameters_of(module)
    unused = [name for name, node in chosen.items() if node and name not in asked]
    if unused:
        yield f"{module.__name__} asks for no {', '.join(unused)}: what is configured there has no effect"
    known = config.monitor.removeprefix("val/") in ("loss", *METRICS, EPOCH)
    if not known and config.monitor not in getattr(module, "lower_is_better", ()):
        yield f"{config.monitor}: more is taken for better, as {module.__name__}.lower_is_better does not list it"


def _optimizer(config: Config, params: Any) -> torch.optim.Optimizer:
    """The optimizer; a fused one unscales by itself, so clipping under 16-bit scaling takes the plain one."""
    scaled = str(config.trainer.get("precision", "")) in ("16-mixed", "16")
    unfused = scaled and config.trainer.get("gradient_clip_val") is not None
    node = {k: v for k, v in config.optimizer.items() if not (unfused and k == "fused")}
    made: torch.optim.Optimizer = provide("optimizer", node, {"params": params})
    return made


def _scheduler(config: Config, times: Mapping[str, int], optimizer: torch.optim.Optimizer) -> Any:
    """Call the schedule with as much of the run's length as it asks for."""
    schedule = provide("schedule", config.schedule, {})
    offered = {**times, "optimizer": optimizer, "higher_is_better": more_is_better(config)}
    asked = inspect.signature(schedule).parameters
    try:
        return schedule(**{name: value for name, value in offered.items() if name in asked})
    except ValueError as error:
        raise UserError(f"schedule: {error}") from error
