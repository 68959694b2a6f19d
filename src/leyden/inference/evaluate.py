"""Evaluate a finished run again, or on other data, whose classes are matched by name."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leyden.config.overrides import parse
from leyden.health.findings import NonFinite
from leyden.utils.errors import UserError, nearest
from leyden.utils.text import plural

if TYPE_CHECKING:
    from leyden.config.schema import Config
    from leyden.data.spec import DataSpec
    from leyden.inference.load import LoadedRun
    from leyden.training.build import Experiment
    from leyden.training.evaluation import Choice, TrainedEvaluation


# What makes inputs as the run's were, by fact.
_AS_TRAINED = {
    "image_size": "type data.source.size={0.image_size[0]}",
    "in_channels": "type data.source.channels={0.in_channels}",
    "sample_rate": "type data.source.sample_rate={0.sample_rate}",
}
_USED = ("data", "split", "trainer", "cache")  # of the configuration, by an evaluation


def evaluate(
    folder: Path,
    overrides: Sequence[str] = (),
    splits: tuple[str, ...] = (),
    decision: str | None = None,
    config_dirs: Sequence[str] = (),
    say: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Metrics of each split by the run's best checkpoint; the run's folder is not changed.

    Args:
        folder: of the run.
        overrides: of its configuration.
        splits: to evaluate; (): val and test, or all rows of other data, as test.
        decision: an option of group `decision`, chosen anew on the validation split; None: the run's own point.
        config_dirs: folders of options, beside which code lies that the run needs.
        say: is told what is measured.

    Raises:
        UserError: not a finished run, or data that its model was not built for.
    """
    from leyden.utils.runtime import load_torch, prepare

    load_torch()
    from leyden.config.compose import compose
    from leyden.config.validate import bind
    from leyden.inference.load import config_of, load
    from leyden.runs.result import threads_used
    from leyden.training import build
    from leyden.training.evaluation import TrainedEvaluation
    from leyden.training.impossible_rows import leave_out_impossible
    from leyden.training.trainer import evaluation_trainer

    restored = load(folder, config_dirs)
    computed = (restored.run.result() or {}).get("compute")  # as in training: other threads, other rounding
    prepare(threads_used(computed)[-1] if computed else restored.config.threads)
    chosen = [word for word in overrides if word.startswith("decision.")] if decision else []
    rest = [_accelerator(word, config_dirs) for word in overrides if word not in chosen]
    config = config_of(folder, config_dirs, rest)
    _verify_effect(rest)
    whole = not splits and decision is None and not any(word.startswith("split") for word in rest)
    made = _measured(build.experiment(config, restored.tokenizer), restored, whole)
    leave_out_impossible(restored.module, made.data)
    _verify_facts(config, made.data.input_facts(), restored.spec)
    for line in (*made.data.remarks(), _what(made)):
        say(line)
    with tempfile.TemporaryDirectory() as scratch:
        evaluation = TrainedEvaluation(made, evaluation_trainer(config, Path(scratch)), restored.module)
        rule = None
        if decision is not None:
            node = compose([f"decision={decision}", *chosen])["decision"]
            bind("decision", node)
            rule = build.decision_rule(
                config.model_copy(update={"decision": node}), made.task, made.data.spec
            )
        choice = _choice(evaluation, made, restored, rule)
        try:
            return evaluation.metrics(choice, splits or ("val", "test"))
        except NonFinite as error:
            raise UserError(f"{folder}: {error}, so they have no metrics") from error


def _choice(
    evaluation: "TrainedEvaluation", made: "Experiment", restored: "LoadedRun", rule: Any
) -> "Choice":
    """What a rule chooses; None: the run's own decision, which rows of its own data had a part in."""
    from leyden.imbalance.class_prior import ClassPrior
    from leyden.training.evaluation import Choice

    own = made.data.fingerprint == restored.run.manifest().get("data") and len(made.data.splits.val)
    if rule is None and not own:
        return Choice(restored.decision)
    stored = (restored.run.result() or {}).get("prior") or {}
    prior = ClassPrior.of(stored) if stored.get("phases") else None
    return evaluation.choose(prior, rule, restored.decision if rule is None else None)


def _accelerator(word: str, config_dirs: Sequence[str]) -> str:
    """Of `trainer=OPTION` what an evaluation takes of it: where to run, not the precision, which is the run's."""
    from leyden.config.compose import compose

    if not word.startswith("trainer="):
        return word
    return f"trainer.accelerator={compose([word], config_dirs)['trainer'].get('accelerator', 'auto')}"


def _measured(made: "Experiment", run: "LoadedRun", whole: bool) -> "Experiment":
    """The experiment on data for evaluation; `whole`: data that are not the run's are not split."""
    from leyden.data.measured import MeasuredData

    others = made.config.data.source != run.config.data.source
    whole = whole and others and made.data.fingerprint != run.run.manifest().get("data")
    return replace(made, data=MeasuredData(made.data, run.spec, whole))


def _what(made: "Experiment") -> str:
    """How many rows there are to measure, and in which splits."""
    sizes = {name: len(rows) for name, rows in made.data.splits._asdict().items() if len(rows)}
    if list(sizes) == ["test"]:
        return f"measured: all {plural(sizes['test'], 'row')}, as test"
    return "there are " + ", ".join(f"{name} {n:,}" for name, n in sizes.items()) + " rows"


def _verify_effect(overrides: Sequence[str]) -> None:
    """Refuse a key that training is over with."""
    for override in parse(overrides):
        root = override.key_or_group.partition(".")[0]
        if root == "decision":
            raise UserError(
                f"{override.input_line}: name the rule to start from: --decision OPTION, see `leyden list decision`"
            )
        if root not in _USED:
            raise UserError(
                f"{override.key_or_group}: has no effect on a finished run; {nearest(root, _USED)}"
            )


def _verify_facts(config: "Config", now: Mapping[str, Any], then: "DataSpec") -> None:
    """What the run's model was built for must hold for these data, too."""
    from leyden.config.signatures import parameters_of
    from leyden.config.validate import import_target, targets

    models = [(path, node) for path, node, _ in targets(config) if path.startswith("model")]
    asked = {name for path, node in models for name in parameters_of(import_target(node["_target_"], path))}
    for name, found in now.items():
        wanted = getattr(then, name)
        if name in asked and found != wanted:
            raise UserError(
                f"the data have {name} {_shown(found)}, the run {_shown(wanted)}: they must be the same; "
                f"{_AS_TRAINED.get(name, 'choose data.source.* so that they are').format(then)}"
            )


def _shown(fact: Any) -> str:
    return ", ".join(map(str, fact[:10])) if isinstance(fact, tuple) else str(fact)
