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
from leyden.config.instantiate import instantiate_with_facts
from leyden.config.schema import Config
from leyden.config.signatures import parameters_of
from leyden.config.validate import EPOCH, import_target
from leyden.data.datamodule import DataModule, reading_options
from leyden.data.spec import DataSpec
from leyden.data.tokenizers import Tokenizer
from leyden.decision import DecisionRule
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
        tokenizer = instantiate_with_facts(
            "model.tokenizer" if own else "data.tokenizer", own or config.data.tokenizer, {}
        )
    return DataModule(
        source=instantiate_with_facts("data.source", config.data.source, {}),
        split=instantiate_with_facts("split", config.split, {}),
        long_tail=instantiate_with_facts("long_tail", config.long_tail, {}),
        policy=instantiate_with_facts("sampling", config.sampling, {}),
        tokenizer=tokenizer,
        cache=Path(config.cache),
        batch_size=config.batch_size,
        seed=config.seed,
        reading=reading_options(config.data),
    )


def module(config: Config, spec: DataSpec, steps_per_epoch: int) -> LightningModule:
    """The LightningModule with its net, at its initial weights (drawn from `config.seed`)."""
    seed_everything(config.seed, workers=True, verbose=False)
    facts = spec.facts()
    frontend = (
        instantiate_with_facts("model.frontend", config.model.frontend, facts)
        if config.model.frontend
        else nn.Identity()
    )
    facts |= getattr(frontend, "facts", dict)()
    net = instantiate_with_facts("model.net", config.model.net, facts) if config.model.net else nn.Identity()
    if not isinstance(maker := instantiate_with_facts("head", config.head, {}), heads.Plain):
        heads.replace(net, spec.num_outputs, maker)
    facts |= {"epochs": int(config.trainer["max_epochs"])}
    loss = instantiate_with_facts("loss", config.loss, facts)
    _verify_scale(loss, maker)
    times = {
        "steps_per_epoch": steps_per_epoch,
        "total_steps": steps_per_epoch * config.trainer["max_epochs"],
    }
    parts = {
        "net": net,
        "frontend": frontend,
        "loss": loss,
        "augment": [
            instantiate_with_facts(f"augment.{name}", node, facts) for name, node in config.augment.items()
        ],
        "optimizer": functools.partial(_optimizer, config),
        "scheduler": functools.partial(_scheduler, config, times),
        "seed": config.seed,
        "monitor": config.monitor,
    }
    built: LightningModule = instantiate_with_facts(
        "model.module", config.model.module, {**facts, **times, **parts}
    )
    start(built, config, spec.num_outputs)
    return built


def decision_rule(config: Config, spec: DataSpec) -> DecisionRule:
    """The choice of the operating point, which is made after training.

    Raises:
        UserError: it names a class that there is not, or needs validation samples that there are not.
    """
    choice: DecisionRule = instantiate_with_facts("decision", config.decision, {})
    choice.verify(spec.target_names)
    if choice.reads_validation and not spec.sizes[1]:
        raise UserError(
            "decision: is chosen on validation samples, and the split has none; choose decision=none"
        )
    return choice


def _verify_scale(loss: nn.Module, head: heads.Head) -> None:
    """A loss with margins on the cosine needs a head that gives it, of the same scale.

    Raises:
        UserError: it has another.
    """
    scale = next((part.scale for part in loss.modules() if getattr(part, "needs_cosine", False)), None)
    if scale is None:
        return
    if not isinstance(head, heads.Cosine):
        raise UserError(f"loss: {type(loss).__name__} needs cosine logits: add head=cosine")
    if head.scale != scale:
        raise UserError(f"head.scale={head.scale} and the loss's scale={scale} must be the same")


def ledger(config: Config, data: DataModule, module: LightningModule) -> Ledger:
    """The class prior that the loss sees in every epoch.

    Raises:
        UserError: sampling and loss both correct it, and `allow_stacking` is not set.
    """
    epochs = int(config.trainer["max_epochs"])
    loss = getattr(module, "loss_fn", None)
    made = Ledger.of(
        data.spec.class_counts, data.epoch_sampler(epochs).prior, functools.partial(_correction, loss), epochs
    )
    if made.stacked() and not config.allow_stacking:
        names = {"sampling": _option_name("sampling", config.sampling)}
        names |= dict.fromkeys(("weights", "offsets"), _option_name("loss", config.loss))
        made.refuse_stacking(names, data.spec.target_names)
    return made


def _correction(loss: Any, epoch: int) -> Correction | None:
    """What the loss in force in an epoch imposes, as NumPy arrays; None: nothing."""
    now = loss.at(epoch) if hasattr(loss, "at") else loss
    found = now.correction() if hasattr(now, "correction") else None
    return None if found is None else (found[0].double().cpu().numpy(), found[1].double().cpu().numpy())


def _option_name(group: str, node: Mapping[str, Any]) -> str:
    """A part as it is chosen on the command line; one that is no option as it stands, by its class."""
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        if yaml.safe_load(path.read_text(encoding="utf-8")) == node:
            return f"{group}={path.stem}"
    return f"{group}={node['_target_'].rpartition('.')[2]}"


def configuration_notes(config: Config) -> Iterator[str]:
    """What a module of one's own leaves aside, which would otherwise surprise: groups, the monitor's direction."""
    module = import_target(config.model.module["_target_"], "model.module")
    chosen = {
        **{"frontend": config.model.frontend, "net": config.model.net, "augment": config.augment},
        **{"loss": config.loss, "optimizer": config.optimizer, "scheduler": config.scheduler},
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
    made: torch.optim.Optimizer = instantiate_with_facts("optimizer", node, {"params": params})
    return made


def _scheduler(config: Config, times: Mapping[str, int], optimizer: torch.optim.Optimizer) -> Any:
    """Call the schedule with as much of the run's length as it asks for."""
    schedule = instantiate_with_facts("scheduler", config.scheduler, {})
    offered = {**times, "optimizer": optimizer, "higher_is_better": more_is_better(config)}
    asked = inspect.signature(schedule).parameters
    try:
        return schedule(**{name: value for name, value in offered.items() if name in asked})
    except ValueError as error:
        raise UserError(f"scheduler: {error}") from error
