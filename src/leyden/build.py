"""Configuration -> datamodule, module, trainer. The only caller of Hydra's instantiate.

Facts go to a target by parameter name: `provide` gives a constructor exactly those of the offered values that
its signature asks for.
"""

import functools
import inspect
import json
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from leyden import loops, tasks
from leyden.callbacks.checkpoint import Checkpoint
from leyden.callbacks.doctor import Doctor
from leyden.callbacks.history import History
from leyden.callbacks.interrupt import Interrupt
from leyden.callbacks.progress import ProgressBar
from leyden.callbacks.pruning import Pruning
from leyden.callbacks.tensorboard import Events
from leyden.check import EPOCH, locate
from leyden.compose import conf_dir
from leyden.config import Config
from leyden.console import console
from leyden.data.datamodule import DataModule, reading
from leyden.data.ledger import Correction, Ledger
from leyden.data.spec import DataSpec
from leyden.data.tokenizers import Tokenizer
from leyden.errors import UserError, nearest
from leyden.health.policy import Policy
from leyden.metrics import METRICS, higher_is_better
from leyden.modules.parameters import freeze, names_of, transfer
from leyden.nets import heads
from leyden.operating import Choice
from leyden.signatures import parameters_of


def provide(path: str, node: Mapping[str, Any], offered: Mapping[str, Any]) -> Any:
    """Call a target with its own arguments and with those of `offered` that its signature names.

    Raises:
        UserError: the target refuses its arguments, or fails otherwise; the message names `path`.
    """
    parameters = parameters_of(locate(node["_target_"], path))
    given = {name: value for name, value in offered.items() if name in parameters}
    parts = {
        name: provide(f"{path}.{name}", part, offered)
        for name, part in node.items()
        if isinstance(part, Mapping) and "_target_" in part
    }
    plain = {name: value for name, value in node.items() if name not in parts}
    try:
        if not parts:
            return instantiate(plain, **given, _convert_="all")
        # made apart: Hydra would turn a part that is a dataclass into a dictionary
        made = instantiate({**plain, "_partial_": True}, **given, _convert_="all")
        return functools.partial(made, **parts) if node.get("_partial_") else made(**parts)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(_refusal(path, node, cause or error)) from cause


def _refusal(path: str, node: Mapping[str, Any], cause: BaseException) -> str:
    """What a target says of its arguments; an error that speaks of something else, with its place in the code."""
    if isinstance(cause, ValueError | MisconfigurationException):
        return f"{path}: {cause}"
    where = traceback.extract_tb(cause.__traceback__)[-1]
    return (
        f"{path}: {node['_target_']} fails: {type(cause).__name__}: {cause} ({where.filename}:{where.lineno})"
    )


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


def start(built: LightningModule, config: Config, num_classes: int) -> None:
    """Take over weights (`init.from`, less `init.redraw`) and freeze (`init.freeze`).

    Raises:
        UserError: no such file or run, no weight fits, or a pattern matches nothing.
    """
    named = {"head", "backbone"} & {*config.init.redraw, *config.init.freeze}
    head = f"net.{heads.find(built.net, num_classes)}." if named else ""  # type: ignore[arg-type]
    if config.init.source is not None:
        path = weight_file(Path(config.init.source))
        try:
            redrawn = names_of(built, config.init.redraw, head)
            kept = {name: value for name, value in weights(path).items() if name not in redrawn}
            copied, left = transfer(built, kept)
        except ValueError as error:
            raise UserError(f"init.from={config.init.source}: {error}") from error
        console.print(
            f"init.from: {len(copied)} tensors taken from {path}; left as drawn: {', '.join(left) or 'none'}"
        )
    try:
        frozen = freeze(built, names_of(built, config.init.freeze, head))
    except ValueError as error:
        raise UserError(f"init.freeze: {error}") from error
    if frozen:
        console.print(f"init.freeze: {frozen:,} parameters frozen")


def weight_file(path: Path) -> Path:
    """The weights that `path` means: itself, or the best checkpoint of the run whose folder it is."""
    if path.is_file():
        return path
    best = path / "checkpoints" / "best.ckpt"
    if not best.exists():
        near = (str(p.parents[1]) for p in path.parent.glob("*/checkpoints/best.ckpt"))
        raise UserError(
            f"init.from={path}: neither a weight file nor a run with a best checkpoint; "
            f"{nearest(str(path), near)}"
        )
    return best


def weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint or of a plain state_dict, whose names get the prefix of the net's.

    Raises:
        UserError: the file holds no weights.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=path.suffix != ".ckpt")
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as weights ({type(error).__name__}): it is damaged, or no checkpoint or state_dict"
        ) from error
    if isinstance(stored, Mapping) and "state_dict" in stored:
        return dict(stored["state_dict"])
    if not isinstance(stored, Mapping) or not all(isinstance(v, torch.Tensor) for v in stored.values()):
        raise UserError(f"{path} holds neither a checkpoint nor a state_dict")
    return {f"net.{name}": value for name, value in stored.items()}


def policy(config: Config) -> Policy:
    """What the doctor does."""
    made: Policy = provide("health", config.health, {})
    return made


def trainer(config: Config, folder: Path, resumed_step: int | None = None, exact: bool = False) -> Trainer:
    """The Trainer with Leyden's callbacks and the user's; it draws no bar and writes no checkpoint of its own.

    exact: whether the doctor reads every step's values, also where that halts a GPU's queue.
    """
    higher = more_is_better(config)
    offered = {
        "folder": folder,
        "resumed_step": resumed_step,
        "monitor": config.monitor,
        "higher_is_better": higher,
    }
    loggers = [provide(f"logger.{name}", node, offered) for name, node in config.logger.items()]
    own = [provide(f"callbacks.{name}", node, offered) for name, node in config.callbacks.items()]
    checkpoint = Checkpoint(
        folder / "checkpoints", config.monitor, higher, config.checkpoint_minutes, config.checkpoint_steps
    )
    bar = ProgressBar(console, config.monitor)
    search = [Pruning(config.trial, config.monitor)] if config.trial else []
    doctor = [Doctor(chosen, folder, exact)] if (chosen := policy(config)).on_bad != "ignore" else []
    ours = [
        *doctor,
        History(folder / "metrics.csv"),
        *own,
        Events(folder),
        checkpoint,
        *search,
        Interrupt(checkpoint),
        bar,
    ]
    made = _quiet_trainer(config.trainer, ours, loggers, folder)
    loops.install(made)
    return made


def _quiet_trainer(
    node: Mapping[str, Any], callbacks: list[Any], loggers: list[Any], folder: Path
) -> Trainer:
    made: Trainer = provide(
        "trainer",
        node,
        {
            "callbacks": callbacks,
            "logger": loggers or False,
            "default_root_dir": str(folder),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": bool(
                callbacks
            ),  # by ours: Lightning adds its own only where there is none
            "use_distributed_sampler": False,
            "num_sanity_val_steps": 0,
            **({"plugins": plugins} if (plugins := tasks.environment()) and "plugins" not in node else {}),
        },
    )
    return made


def verify_trainer(config: Config) -> None:
    """Refuse what Lightning refuses, such as a device that is not there, before any work.

    Raises:
        UserError: devices, precision, strategy or limits that cannot be had here.
    """
    if config.trainer.get("fast_dev_run"):
        raise UserError(
            "trainer.fast_dev_run: would be recorded as a complete run; a quick look is trainer.max_epochs=1 "
            "trainer.limit_train_batches=1 trainer.limit_val_batches=1 trainer.limit_test_batches=1"
        )
    try:
        _try_trainer(json.dumps(config.trainer))
    except UserError as error:
        given = config.trainer.get("accelerator", "auto")
        advice = "" if given in ("auto", "cpu") else " (trainer=cpu trains on the processor)"
        raise UserError(f"{error}{advice}") from error


@functools.lru_cache(16)  # the jobs of a sweep have one trainer
def _try_trainer(node: str) -> None:
    _quiet_trainer(json.loads(node), [], [], Path.cwd())


def more_is_better(config: Config) -> bool:
    """The direction of the monitor: as the module declares in `lower_is_better`, else as its name says."""
    module = locate(config.model.module["_target_"], "model.module")
    return config.monitor not in getattr(module, "lower_is_better", ()) and higher_is_better(config.monitor)


def evaluator(config: Config, folder: Path) -> Trainer:
    """A Trainer that only evaluates: one device, no logger, no callback."""
    node = {k: v for k, v in config.trainer.items() if k in ("_target_", "accelerator", "precision")}
    return _quiet_trainer({**node, "devices": 1}, [], [], folder)
