"""What a net answers by some of its inputs alone: the table of subsets, what fusion adds, and inputs it ignores."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leyden.data.joined import restricted
from leyden.data.loader import Loader
from leyden.health.findings import Finding
from leyden.metrics.intervals import by_influence
from leyden.metrics.paired import error_difference
from leyden.metrics.results import Estimate
from leyden.modules.base import SplitOutputs
from leyden.tasks.base import Decision
from leyden.training.build import Experiment
from leyden.utils.text import percent

MOST = 4  # inputs of which all subsets are measured; of more each alone, all but one, and all
IGNORED = 0.01  # of the answers: an input without which fewer change may be ignored


Evaluate = Callable[[Loader], SplitOutputs | None]


class Subset(NamedTuple):
    """What the net answers by some inputs, of the rows that have one of them."""

    inputs: tuple[str, ...]
    outputs: SplitOutputs
    values: dict[str, Any]
    mistakes: NDArray[np.float64]  # (N,): 1 where a row is answered wrongly, of values the loss


class InputSubsets:
    """A trained net with several inputs on the rows of one split, by each subset of the inputs.

    Args:
        made: the experiment.
        evaluate: a loader -> what the net says of its rows.
        whole: what it says of the rows of the split by all inputs.
        decision: what is done to outputs.
        split: of the rows.
    """

    def __init__(
        self, made: Experiment, evaluate: Evaluate, whole: SplitOutputs, decision: Decision, split: str
    ) -> None:
        self._made, self._evaluate, self._whole = made, evaluate, whole
        self._decision, self._split = decision, split

    def measured(self) -> list[Subset]:
        """Each input alone, then more of them, all at last."""
        names = tuple(self._made.data.parts)
        return [found for inputs in subsets_of(names) if (found := self._subset(inputs)) is not None]

    def _subset(self, inputs: tuple[str, ...]) -> Subset | None:
        outputs = self._whole if inputs == tuple(self._made.data.parts) else self._outputs(inputs)
        if outputs is None:
            return None
        found = self._made.evaluator.evaluate(outputs.outputs, outputs.targets, self._decision)
        return Subset(inputs, outputs, found["values"], self._mistakes(outputs))

    def _outputs(self, inputs: tuple[str, ...]) -> SplitOutputs | None:
        data = self._made.data
        columns, there = restricted(data.columns, inputs)
        rows = getattr(data.splits, self._split)
        rows = rows[there[rows]]
        return self._evaluate(data.rows_loader(rows, columns)) if len(rows) else None

    def _mistakes(self, outputs: SplitOutputs) -> NDArray[np.float64]:
        task = self._made.task
        if task.kind == "values":
            return np.asarray(outputs.losses.double().numpy())
        z, y = outputs.outputs.double().numpy(), outputs.targets.numpy()
        arrays: Mapping[str, Any] = task.predictions(z, y, self._decision)
        return task.wrong({"rows": outputs.rows.numpy(), **arrays}).astype(np.float64)

    def compared(self, subsets: Sequence[Subset]) -> tuple[dict[str, Any], list[Finding]]:
        """`inputs` of result.json, and a finding for each input that the net ignores."""
        whole = subsets[-1]
        table = [{"inputs": list(s.inputs), "n": len(s.outputs.rows), "values": s.values} for s in subsets]
        singles = [s for s in subsets if len(s.inputs) == 1]
        best = min(singles, key=lambda s: float(s.mistakes.mean()))
        measure = "loss" if self._made.task.kind == "values" else "share of rows answered right"
        return {
            "split": self._split,
            "subsets": table,
            "best_single": best.inputs[0],
            "measure": measure,
            "adds": asdict(self._gain(whole, best)),
        }, list(self._ignored(subsets))

    def _gain(self, whole: Subset, single: Subset) -> Estimate:
        """How much better all inputs are than one on the rows that have it: of right answers, or of the loss."""
        rows = np.isin(whole.outputs.rows.numpy(), single.outputs.rows.numpy())
        of_all, of_one = whole.mistakes[rows], single.mistakes
        if self._made.task.kind == "values":
            differences = of_one - of_all
            mean = float(differences.mean())
            return by_influence(
                mean, (differences - mean) / len(differences), (-math.inf, math.inf), name="paired"
            )
        wrong_by_all, wrong_by_one = (int(np.sum(a > b)) for a, b in ((of_all, of_one), (of_one, of_all)))
        return error_difference(wrong_by_all, wrong_by_one, len(of_one))

    def _ignored(self, subsets: Sequence[Subset]) -> Iterator[Finding]:
        """Inputs without which the answers stay, and by which alone they are as those of no input."""
        by_inputs = {s.inputs: s for s in subsets}
        whole = subsets[-1]
        for name in whole.inputs:
            rest = tuple(other for other in whole.inputs if other != name)
            alone, without = by_inputs.get((name,)), by_inputs.get(rest)
            if alone is None or without is None:
                continue
            changed = self._changed(whole, without)
            spread = np.std(alone.outputs.outputs.double().numpy(), axis=0).max()
            all_spread = np.std(whole.outputs.outputs.double().numpy(), axis=0).max()
            if changed < IGNORED and spread < IGNORED * all_spread:
                yield Finding(
                    "input_ignored",
                    "warning",
                    f"The input {name} is ignored: without it {percent(changed)} of the answers change, and by it "
                    "alone the net answers the same whatever it is.",
                    name,
                    ("augment=modality_dropout", "model.net.auxiliary=0.3"),
                    {"input": name, "changed": changed},
                )

    def _changed(self, whole: Subset, without: Subset) -> float:
        """The share of answers that are others without an input; of values, those that move by 1 % of their spread."""
        rows = np.isin(whole.outputs.rows.numpy(), without.outputs.rows.numpy())
        a, b = whole.outputs.outputs.double().numpy()[rows], without.outputs.outputs.double().numpy()
        if self._made.task.kind == "values":
            return float(np.mean((np.abs(a - b) > IGNORED * a.std(axis=0)).any(axis=1)))
        if self._made.task.kind == "labels":
            return float(np.mean(((a > 0) != (b > 0)).any(axis=1)))
        return float(np.mean(a.argmax(axis=-1) != b.argmax(axis=-1)))


def subsets_of(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The subsets to be measured, the smallest first.

    >>> subsets_of(["a", "b"])
    [('a',), ('b',), ('a', 'b')]
    """
    sizes = range(1, len(names) + 1) if len(names) <= MOST else (1, len(names) - 1, len(names))
    return [chosen for size in sizes for chosen in combinations(names, size)]


def has_subsets(made: Experiment, split: str) -> bool:
    """Whether rows of a split have several inputs, of which each may answer alone."""
    is_fused = len(made.data.parts) > 1 and made.task.kind != "pairs"
    return is_fused and len(getattr(made.data.splits, split)) > 0
