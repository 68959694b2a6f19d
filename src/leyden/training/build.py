"""Configuration -> experiment: task, data, LightningModule, decision rule, ledger; each made once and handed on."""

import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningModule, seed_everything
from numpy.typing import NDArray
from torch import nn

from leyden.config.compose import conf_dir
from leyden.config.instantiate import instantiate_with_facts
from leyden.config.schema import Config
from leyden.config.signatures import parameters_of
from leyden.config.validate import EPOCH, import_target, is_ours
from leyden.data.datamodule import DataModule
from leyden.data.reading import reading_options
from leyden.data.spec import DataSpec
from leyden.data.targets import HAS_CLASS_PRIOR, kind_of
from leyden.data.tokenizers import Tokenizer
from leyden.health.output_rules import verify_outputs
from leyden.health.settings import DiagnosticsSettings
from leyden.imbalance.auto import Recipe, apply_auto
from leyden.imbalance.class_prior import Correction, Ledger
from leyden.modules.base import Evaluate, SplitOutputs
from leyden.nets import heads
from leyden.tasks.base import Task
from leyden.tasks.evaluator import Evaluator, Metric, names_of
from leyden.training.impossible_rows import leave_out_impossible
from leyden.training.nets import frontend_and_net
from leyden.training.trainer import health_settings, more_is_better
from leyden.training.transfer import start
from leyden.utils.errors import UserError
from leyden.utils.text import plural


@dataclass(frozen=True)
class Experiment:
    """What a run is made of; the data are read when first asked for.

    Args:
        config: checked; with the recipe of imbalance=auto in it.
        task: what is predicted.
        data: the data layer.
        recipe: of imbalance=auto; None: it was not asked for.
    """

    config: Config
    task: Task
    data: DataModule
    recipe: Recipe | None = None

    @cached_property
    def evaluator(self) -> Evaluator:
        """Every metric of the run."""
        return evaluator(self.config, self.task, self.data.spec)

    @cached_property
    def health(self) -> DiagnosticsSettings:
        """What the health monitor does, and its thresholds."""
        return health_settings(self.config)

    @cached_property
    def rule(self) -> Any:
        """The decision rule, which is fitted after training.

        Raises:
            UserError: it is for another task, names an unknown class, or needs validation samples that do not exist.
        """
        return decision_rule(self.config, self.task, self.data.spec)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch, of which `trainer.limit_train_batches` may train a part."""
        node = self.config.trainer
        accumulate = int(node.get("accumulate_grad_batches") or 1)
        batches = self.data.steps_per_epoch(self.config.epochs) * accumulate
        limit = node.get("overfit_batches") or node.get("limit_train_batches")
        if limit is not None:  # as Lightning reads it: a share where it is no whole number
            batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        return -(-batches // accumulate)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the run: of all epochs, or `trainer.max_steps`. Schedules end with them."""
        steps, most = self.steps_per_epoch * self.config.epochs, self.config.trainer.get("max_steps", -1)
        return steps if most < 0 else min(steps, most)

    @property
    def epochs(self) -> int:
        """Epochs that are trained, the last perhaps in part. What changes with time changes over these."""
        return max(1, -(-self.total_steps // max(1, self.steps_per_epoch)))

    def with_recipe(self) -> "Experiment":
        """With the recipe of imbalance=auto in its configuration, chosen by the class counts; itself without it.

        Raises:
            UserError: the task has no classes, or the configuration chooses what the recipe would.
        """
        if self.config.imbalance == "none":
            return self
        if not self.task.has_class_prior:
            raise UserError(f"imbalance=auto: task={self.task.name} has no classes to balance; leave it out")
        chosen, recipe = apply_auto(self.config, self.data.spec)
        return Experiment(chosen, self.task, self.data, recipe)

    def module(self) -> LightningModule:
        """A module at its initial weights, drawn from the configuration's seed.

        Transcripts too long for its net are left out of the data first, as data.on_bad says.
        """
        made = self._module()
        if not leave_out_impossible(made, self.data):
            return made
        for name in ("evaluator", "steps_per_epoch", "rule"):
            vars(self).pop(name, None)
        return self._module()

    def _module(self) -> LightningModule:
        times = {"steps_per_epoch": self.steps_per_epoch, "total_steps": self.total_steps}
        return module(self.config, self.data.spec, times, self.evaluator, self.epochs)

    def verify_monitor(self) -> None:
        """Refuse a monitored metric that the validation targets leave undefined; a user's own module may log any.

        Raises:
            UserError: with the reason.
        """
        config, data = self.config, self.data
        own = (config.model.module["_target_"], config.task.target["_target_"])
        if config.monitor == EPOCH or not all(map(is_ours, own)):
            return
        targets = data.table.index.targets[data.splits.val]
        undefined = self.evaluator.undefined(targets) if len(targets) else [*self.evaluator.names, "loss"]
        if config.monitor.removeprefix("val/") in undefined:
            known = [f"val/{n}" for n in names_of(self.task, config.metrics) if n not in undefined]
            raise UserError(
                f"monitor={config.monitor} is undefined: {_narrow(targets, data.spec.target_names)}; choose another "
                f"({', '.join([*known, EPOCH])}), or another split"
            )

    def ledger(self, module: LightningModule) -> Ledger | None:
        """The prior of classes or labels that the loss sees in every epoch; None: there are neither.

        Raises:
            UserError: sampling and loss both correct it, and `allow_stacking` is not set.
        """
        return ledger(self, module) if self.task.kind in HAS_CLASS_PRIOR else None


def _narrow(targets: NDArray[Any], names: Sequence[str]) -> str:
    """Why metrics of validation targets (N, ...) are undefined."""
    if not len(targets):
        return "the split has no validation samples"
    kind = kind_of(targets)
    if kind == "classes":
        return f"the validation split has only one class, {names[int(targets[0])]!r} (n={len(targets):,})"
    varying = {
        "labels": "each label is on all samples or on none",
        "values": "the values are constant",
        "sequences": "every transcript is empty",
    }
    return f"in the validation split (n={len(targets):,}) {varying[kind]}"


def experiment(config: Config, tokenizer: Tokenizer | None = None) -> Experiment:
    """The experiment of a checked configuration; nothing is read yet.

    Args:
        config: checked.
        tokenizer: a fitted one, from a run's folder.

    Raises:
        UserError: a part refuses its arguments.
    """
    task = task_of(config)
    return Experiment(config, task, data(config, task, tokenizer))


def task_of(config: Config) -> Task:
    """The task of a configuration."""
    made: Task = instantiate_with_facts("task.target", config.task.target, {})
    return made


def data(config: Config, task: Task, tokenizer: Tokenizer | None = None) -> DataModule:
    """The data layer; nothing is read yet. `tokenizer` is a fitted one, from a run's folder."""
    if tokenizer is None and config.data.tokenizer is not None:
        own = config.model.tokenizer
        tokenizer = instantiate_with_facts(
            "model.tokenizer" if own else "data.tokenizer", own or config.data.tokenizer, {}
        )
    return DataModule(
        source=instantiate_with_facts("data.source", config.data.source, {"reader": task.reader()}),
        split=instantiate_with_facts("split", config.split, {}),
        long_tail=instantiate_with_facts("long_tail", config.long_tail, {}),
        policy=instantiate_with_facts("sampling", config.sampling, {}),
        tokenizer=tokenizer,
        cache=Path(config.cache),
        batch_size=config.batch_size,
        seed=config.seed,
        reading=reading_options(config.data),
        kind=task.kind,
        pieces=task.pieces,
    )


def evaluator(config: Config, task: Task, spec: DataSpec) -> Evaluator:
    """The metrics of the task and those of group `metrics`.

    Raises:
        UserError: a metric of one's own has the name of one of the task's.
    """
    for name in config.metrics:
        if name in (*task.metrics, "loss"):
            raise UserError(f"metrics.{name}: task={task.name} has a metric of this name; rename yours")
    custom: dict[str, Metric] = {
        name: Metric(
            instantiate_with_facts(f"metrics.{name}.function", {**node.function, "_partial_": True}, {}),
            node.higher_is_better,
        )
        for name, node in config.metrics.items()
    }
    return Evaluator(task, spec, custom)


def module(
    config: Config, spec: DataSpec, times: Mapping[str, int], evaluator: Evaluator, epochs: int = 1
) -> LightningModule:
    """The LightningModule with its net, at its initial weights (drawn from `config.seed`).

    times: `steps_per_epoch` and `total_steps`. epochs: that are trained.
    """
    seed_everything(config.seed, workers=True, verbose=False)
    facts = {**spec.facts(), "trivial_outputs": evaluator.task.trivial_outputs(spec)}
    frontend, net, own = frontend_and_net(config, facts, spec)
    facts |= own
    if not isinstance(maker := instantiate_with_facts("head", config.head, {}), heads.Plain):
        heads.replace(net, spec.num_outputs, maker)
    facts |= {"epochs": epochs}
    loss = instantiate_with_facts("loss", config.loss, facts)
    _verify_scale(loss, maker)
    parts = {
        "net": net,
        "frontend": frontend,
        "loss": loss,
        "augment": [
            instantiate_with_facts(f"augment.{name}", node, facts) for name, node in config.augment.items()
        ],
        "optimizer": functools.partial(_optimizer, config),
        "scheduler": functools.partial(_scheduler, config, times),
        "evaluate": _evaluate_with(evaluator, config),
        "seed": config.seed,
        "monitor": config.monitor,
    }
    built: LightningModule = instantiate_with_facts(
        "model.module", config.model.module, {**facts, **times, **parts}
    )
    start(built, config, spec.num_outputs)
    return built


def _evaluate_with(evaluator: Evaluator, config: Config) -> Evaluate:
    def evaluate(done: SplitOutputs) -> Mapping[str, float]:
        verify_outputs(done.outputs, "val", config)
        return evaluator.values(done.outputs, done.targets)

    return evaluate


def decision_rule(config: Config, task: Task, spec: DataSpec) -> Any:
    """The rule of group `decision`; see `Experiment.rule`."""
    rule: Any = instantiate_with_facts("decision", config.decision, {})
    task.verify_rule(rule, spec)
    if rule.reads_validation and not spec.sizes[1]:
        raise UserError(
            "decision: is chosen on validation samples, and the split has none; choose decision=none"
        )
    return rule


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


def ledger(experiment: Experiment, module: LightningModule) -> Ledger:
    """The prior that the loss sees; see `Experiment.ledger`."""
    config, data, epochs = experiment.config, experiment.data, experiment.epochs
    correction = functools.partial(_correction, getattr(module, "loss_fn", None))
    sampled, samples = data.sampled_prior(epochs), data.spec.sizes[0]
    made = Ledger.of(
        data.spec.class_counts,
        sampled,
        correction,
        epochs,
        samples if data.kind == "labels" else None,
        functools.partial(_is_exact, module),
    )
    if made.stacked() and not config.allow_stacking:
        names = {"sampling": _option_name("sampling", config.sampling)}
        names |= dict.fromkeys(("weights", "offsets"), _option_name("loss", config.loss))
        made.refuse_stacking(names, data.spec.target_names)
    rule = experiment.rule
    if not (made.prior.exact or rule.neutral or rule.reads_validation or data.spec.sizes[1]):
        raise UserError(
            f"decision: needs the class shares that the net answers by, which {_option_name('loss', config.loss)} "
            "leaves open; they are estimated on validation samples, and the split has none: choose decision=none"
        )
    return made


def _is_exact(module: LightningModule, epoch: int) -> bool:
    """Whether the net answers by the ledger's prior: a proper loss of unmixed targets and of the head's own outputs."""
    loss: Any = _loss_at(getattr(module, "loss_fn", None), epoch)
    changed = any(
        getattr(part, "stage", "") == "batch" or isinstance(part, heads.TauNormalisedLinear)
        for part in module.modules()
    )
    return bool(getattr(loss, "is_proper", False)) and not changed


def _loss_at(loss: Any, epoch: int) -> Any:
    return loss.at(epoch) if hasattr(loss, "at") else loss


def _correction(loss: Any, epoch: int) -> Correction | None:
    """What the loss in force in an epoch imposes, as NumPy arrays; None: nothing."""
    now = _loss_at(loss, epoch)
    found = now.correction() if hasattr(now, "correction") else None
    return None if found is None else (found[0].double().cpu().numpy(), found[1].double().cpu().numpy())


def _option_name(group: str, node: Mapping[str, Any]) -> str:
    """A part as it is chosen on the command line; one that is no option as it stands, by its class."""
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        if yaml.safe_load(path.read_text(encoding="utf-8")) == node:
            return f"{group}={path.stem}"
    return f"{group}={node['_target_'].rpartition('.')[2]}"


def configuration_notes(made: Experiment) -> Iterator[str]:
    """What would otherwise surprise: a batch cut to the data; groups and direction that a module of one's own lacks."""
    config = made.config
    used = made.data.used_batch_size(made.epochs)
    if used < config.batch_size:
        yield (
            f"batch_size={config.batch_size}: an epoch has only {plural(used, 'training sample')}, in one batch: "
            f"one step an epoch; for more choose batch_size={max(1, used // 8)}"
        )
    module = import_target(config.model.module["_target_"], "model.module")
    chosen = {
        **{"frontend": config.model.frontend, "net": config.model.net, "augment": config.augment},
        **{"loss": config.loss, "optimizer": config.optimizer, "scheduler": config.scheduler},
    }
    asked = parameters_of(module)
    unused = [name for name, node in chosen.items() if node and name not in asked]
    if unused:
        yield f"{module.__name__} asks for no {', '.join(unused)}: what is configured there has no effect"
    known = config.monitor.removeprefix("val/") in (*names_of(made.task, config.metrics), EPOCH)
    if not known and config.monitor not in getattr(module, "lower_is_better", ()):
        yield f"{config.monitor}: more is taken for better, as {module.__name__}.lower_is_better does not list it"


def _optimizer(config: Config, params: Any) -> torch.optim.Optimizer:
    """The optimizer; under 16-bit scaling no fused one, which unscales by itself: too late for monitor and clipping."""
    scaled = str(config.trainer.get("precision", "")) in ("16-mixed", "16")
    node = {k: v for k, v in config.optimizer.items() if not (scaled and k == "fused")}
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
