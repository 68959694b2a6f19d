"""What a trained module answers, under its decision: the numbers of result.json, split by split.

Each split goes through the net once: its outputs serve the decision, the metrics, the predictions and the checks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray

from leyden.data.loader import Loader
from leyden.decision.answered_prior import answered_prior
from leyden.decision.cross_fit import FOLDS, Fit, cross_fitted, rarest
from leyden.health.findings import Finding
from leyden.health.output_rules import verify_outputs
from leyden.imbalance import class_exposure
from leyden.imbalance.auto import EVEN, ratio
from leyden.imbalance.class_prior import ClassPrior
from leyden.metrics.results import MOST_ROWS
from leyden.modules.base import SplitOutputs
from leyden.tasks.base import Decision, Floats
from leyden.training.build import Experiment
from leyden.training.input_subsets import InputSubsets, has_subsets
from leyden.utils.errors import UserError
from leyden.utils.files import atomic_write

_CROSS_FITTED = f"cross-fitted over {FOLDS} folds of the validation samples"
_CHOSEN_HERE = "chosen here: on the samples that it is measured on, too few to cross-fit"


class Choice(NamedTuple):
    """A decision, and how it was chosen.

    decision: of new inputs, chosen on all validation rows.
    fit: chooses one on some of them; None: it was not chosen on them.
    by_class: whether the choice for each class rests on the rows of that class.
    """

    decision: Decision
    fit: Fit | None = None
    by_class: bool = False


class TrainedEvaluation:
    """A trained module on the splits of its experiment.

    Args:
        made: the experiment.
        trainer: that evaluates.
        module: with the weights to be evaluated.
    """

    def __init__(self, made: Experiment, trainer: Trainer, module: LightningModule) -> None:
        self._made, self._trainer, self._module = made, trainer, module
        self._outputs: dict[str, SplitOutputs | None] = {}

    def outputs(self, split: str) -> SplitOutputs | None:
        """What the module says of a split; None: it is the user's own and keeps nothing.

        Raises:
            NonFinite: outputs are NaN or infinite.
        """
        if split not in self._outputs:
            found = self._outputs[split] = self._run(self._made.data.evaluation_loader(split))
            if found is not None:
                verify_outputs(found.outputs, split, self._made.config)
        return self._outputs[split]

    def _run(self, loader: Loader) -> SplitOutputs | None:
        kept: Any = getattr(self._module, "evaluations", None)
        if kept is None:
            return None
        self._trainer.test(self._module, dataloaders=loader, verbose=False)
        found: SplitOutputs = kept.pop("test")
        return found

    def answered(self, prior: ClassPrior | None) -> Floats | None:
        """Shares (C,) or (L,) that the net was found to answer by on validation; None: they are exact, or not known."""
        has_rows = len(self._made.data.splits.val) > 0
        outputs = self.outputs("val") if prior is not None and not prior.exact and has_rows else None
        if prior is None or outputs is None:
            return None
        return answered_prior(*_arrays(outputs), prior.effective)[1]

    def choose(self, prior: ClassPrior | None, rule: Any = None, decision: Decision | None = None) -> Choice:
        """The decision of a rule, fitted on the validation split alone.

        Args:
            prior: that the net was trained under; None: rows have neither classes nor labels.
            rule: of group `decision`; None: the experiment's own.
            decision: of this rule, where it has been fitted already.

        Raises:
            UserError: a module of the user's own that keeps no outputs.
        """
        spec = self._made.data.spec
        rule = rule or self._made.rule
        if rule.neutral:
            return Choice(decision or self._made.task.without_rule(spec, self._arrays_of))
        if hasattr(rule, "of_training"):  # a language model is of the training transcripts
            rule = rule.of_training(self._made.data.table.index.targets[self._made.data.splits.train])
        none = np.zeros(0)
        prior = prior or ClassPrior(none, none)
        reads = rule.reads_validation or not prior.exact

        def fit(z: Floats, y: NDArray[Any]) -> Decision:
            fitted: Decision = rule.fit(z, y, spec.target_names, prior.effective, prior.training, prior.exact)
            return fitted

        if decision is None:
            z, y = np.zeros((0, spec.num_outputs)), np.zeros(0, np.int64)
            if reads and len(self._made.data.splits.val):
                if (found := self.outputs("val")) is None:
                    raise UserError(
                        "decision: needs outputs, which a module of your own does not keep: decision=none"
                    )
                z, y = _arrays(found)
            decision = fit(z, y)
        return Choice(decision, fit if reads else None, getattr(rule, "chooses_by_class", True))

    def _arrays_of(self, split: str) -> tuple[Floats, NDArray[Any]] | None:
        """Outputs and targets of a split, of train, too; None: it has no rows, or the module keeps nothing."""
        rows = getattr(self._made.data.splits, split)
        found = self.outputs(split) if len(rows) else None
        return None if found is None else _arrays(found)

    def metrics(
        self,
        choice: Choice,
        splits: tuple[str, ...] = ("val", "test"),
        predictions: Path | None = None,
    ) -> dict[str, Any]:
        """Metrics with intervals of each split that has rows.

        Those of the validation split are of cross-fitted decisions, where the decision was chosen on it. Outputs go to
        the folder `predictions`, if there is one. A LightningModule of the user's own that keeps no `evaluations` gives
        the scalars that it logs.
        """
        found: dict[str, Any] = {}
        for split in (split for split in splits if len(getattr(self._made.data.splits, split))):
            outputs = self.outputs(split)
            if outputs is None:
                found[split] = {"scalars": self._scalars(split)}
                continue
            decision, remark = choice.decision, ""
            if split == "val" and choice.fit is not None:
                decision, remark = _judged(choice, *_arrays(outputs))
            if predictions is not None:
                self._store(outputs, decision, predictions / f"{split}.npz")
            groups = self._groups(outputs)
            of_split = self._made.evaluator.evaluate(outputs.outputs, outputs.targets, decision, groups)
            for name in getattr(decision, "held_out", ()) if remark else ():
                of_split["values"].pop(name, None)
            found[split] = {**_remarked(of_split, remark), "loss": float(outputs.losses.double().mean())}
        return found

    def by_inputs(self, choice: Choice) -> tuple[dict[str, Any] | None, list[Finding]]:
        """What is answered by each subset of several inputs, of the test rows (of validation where there are none)."""
        split = "test" if len(self._made.data.splits.test) else "val"
        whole = self.outputs(split) if has_subsets(self._made, split) else None
        if whole is None:  # rows have one input, or the module is the user's own and keeps no outputs
            return None, []
        of = InputSubsets(self._made, self._run, whole, choice.decision, split)
        return of.compared(of.measured())

    def _groups(self, outputs: SplitOutputs) -> list[str] | None:
        """The group of each sample; None: there are none."""
        index = self._made.data.table.index
        if index.group is None:
            return None
        return [index.group_names[group] for group in index.group[outputs.rows.numpy()].tolist()]

    def _store(self, outputs: SplitOutputs, decision: Decision, path: Path) -> None:
        arrays = self._made.task.predictions(*_arrays(outputs), decision)
        write_arrays(path, {"rows": outputs.rows.numpy(), **arrays})

    def _scalars(self, split: str) -> dict[str, float]:
        """What a module of the user's own logs, by its validation_step for val, else by its test_step."""
        evaluate = self._trainer.validate if split == "val" else self._trainer.test
        loader = self._made.data.evaluation_loader(split)
        (logged,) = evaluate(self._module, dataloaders=loader, verbose=False)
        own = "val/" if split == "val" else "test/"
        return {name.removeprefix(own): float(value) for name, value in logged.items()}

    def class_exposure(
        self, decision: Decision, val: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """How often each class was seen, and findings; empty for even classes, more than MOST_ROWS, or none."""
        data, spec = self._made.data, self._made.data.spec
        if not self._made.task.has_class_prior or ratio(spec.class_counts) < EVEN:
            return [], []
        if spec.num_outputs > MOST_ROWS:
            return [], []
        rows = data.splits.train
        chosen = rows[class_exposure.some_of_each(data.table.index.targets[rows], spec.num_outputs)]
        outputs = self._run(data.rows_loader(chosen))
        if outputs is None:
            return [], []
        known = self._made.task.evaluate(*_arrays(outputs), spec, decision, intervals=False)
        train, there = known.to_dict()["per_class"], val.get("per_class", [])
        sampler = data.epoch_sampler(self._made.epochs)
        table = class_exposure.exposure_table(
            spec.target_names, sampler, self._trainer.current_epoch, train, there
        )
        found = class_exposure.exposure_findings(table, train, there)
        return table, [finding.to_dict() for finding in found]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name into a file of the run's folder `predictions`, atomically."""
    with atomic_write(path) as file:
        np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]


def _arrays(found: SplitOutputs) -> tuple[Floats, NDArray[Any]]:
    """Outputs float64 (N, ...) and targets (N, ...)."""
    return found.outputs.double().numpy(), found.targets.numpy()


def _judged(choice: Choice, z: Floats, y: NDArray[Any]) -> tuple[Any, str]:
    """(what validation rows are measured under, the remark for each estimate)."""
    assert choice.fit is not None
    enough = not choice.by_class or rarest(y) >= FOLDS
    found = cross_fitted(choice.fit, z, y) if enough else None
    return (choice.decision, _CHOSEN_HERE) if found is None else (found, _CROSS_FITTED)


def _remarked(stored: dict[str, Any], remark: str) -> dict[str, Any]:
    """Metrics with the remark in the method of what a decision changes; without interval where it is chosen here."""
    if not remark or "before" not in stored:
        return stored

    def with_remark(part: Any) -> Any:
        if isinstance(part, list):
            return [with_remark(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "method" not in part:
            return {name: with_remark(each) for name, each in part.items()}
        if remark == _CHOSEN_HERE:
            return {**part, "low": None, "high": None, "method": remark}
        return {**part, "method": ", ".join(filter(None, (part["method"], remark)))}

    values = {
        name: e if e["value"] == stored["before"].get(name) else with_remark(e)
        for name, e in stored["values"].items()
    }
    details: dict[str, Any] = {
        name: with_remark(stored[name]) for name in ("per_class", "per_label", "groups") if name in stored
    }
    return {**stored, "values": values, **details}
