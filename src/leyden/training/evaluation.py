"""What a trained module answers, under its decision: the numbers of result.json, split by split.

Each split goes through the net once: its outputs serve the decision, the metrics, the predictions and the checks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from leyden.data.loader import Loader
from leyden.health.output_rules import verify_outputs
from leyden.imbalance import class_exposure
from leyden.imbalance.auto import EVEN, ratio
from leyden.imbalance.class_prior import ClassPrior
from leyden.metrics.results import MOST_ROWS
from leyden.modules.base import SplitOutputs
from leyden.tasks.base import Decision
from leyden.training.build import Experiment
from leyden.utils.errors import UserError
from leyden.utils.files import atomic_write


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

    def decision(self, prior: ClassPrior | None, rule: Any = None) -> Decision:
        """Fitted on the validation split alone.

        Args:
            prior: that the net was trained under; None: rows have neither classes nor labels.
            rule: of group `decision`; None: the experiment's own.

        Raises:
            UserError: a module of the user's own that keeps no outputs.
        """
        task, spec = self._made.task, self._made.data.spec
        rule = rule or self._made.rule
        if rule.neutral:
            return task.neutral(spec)
        z, y = np.zeros((0, spec.num_outputs)), np.zeros(0, np.int64)
        if rule.reads_validation:
            found = self.outputs("val")
            if found is None:
                raise UserError(
                    "decision: needs outputs, which a module of your own does not keep: decision=none"
                )
            z, y = found.outputs.double().numpy(), found.targets.numpy()
        effective = np.zeros(0) if prior is None else prior.effective
        training = np.zeros(0) if prior is None else prior.training
        fitted: Decision = rule.fit(z, y, spec.target_names, effective, training)
        return fitted

    def metrics(
        self,
        decision: Decision,
        splits: tuple[str, ...] = ("val", "test"),
        predictions: Path | None = None,
    ) -> dict[str, Any]:
        """Metrics with intervals of each split that has rows.

        Outputs go to the folder `predictions`, if there is one. A LightningModule of the user's own that keeps no
        `evaluations` gives the scalars that it logs.
        """
        found: dict[str, Any] = {}
        for split in (split for split in splits if len(getattr(self._made.data.splits, split))):
            outputs = self.outputs(split)
            if outputs is None:
                found[split] = {"scalars": self._scalars(split)}
                continue
            if predictions is not None:
                self._store(outputs, decision, predictions / f"{split}.npz")
            found[split] = self._made.evaluator.evaluate(outputs.outputs, outputs.targets, decision)
            for name in getattr(decision, "held_out", ()) if split == "val" else ():
                found[split]["values"].pop(name, None)
            found[split]["loss"] = float(outputs.losses.double().mean())
        return found

    def _store(self, outputs: SplitOutputs, decision: Decision, path: Path) -> None:
        z, y = outputs.outputs.double().numpy(), outputs.targets.numpy()
        arrays = self._made.task.predictions(z, y, decision)
        with atomic_write(path) as file:
            np.savez_compressed(file, rows=outputs.rows.numpy(), **dict(arrays))  # type: ignore[arg-type]

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
        z, y = outputs.outputs.double().numpy(), outputs.targets.numpy()
        known = self._made.task.evaluate(z, y, spec, decision, intervals=False)
        train, there = known.to_dict()["per_class"], val.get("per_class", [])
        sampler = data.epoch_sampler(self._made.epochs)
        table = class_exposure.exposure_table(
            spec.target_names, sampler, self._trainer.current_epoch, train, there
        )
        found = class_exposure.exposure_findings(table, train, there)
        return table, [finding.to_dict() for finding in found]
