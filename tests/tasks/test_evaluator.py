"""Which metrics the targets of a split leave undefined, whatever a net answers."""

import numpy as np
import pytest

from leyden.data.spec import DataSpec
from leyden.tasks.base import Task
from leyden.tasks.classification import Classification
from leyden.tasks.evaluator import Evaluator
from leyden.tasks.multilabel import Multilabel
from leyden.tasks.regression import Regression

CLASSES, BINARY = ("a", "b", "c"), ("no", "yes")


@pytest.mark.parametrize(
    ("task", "names", "targets", "undefined"),
    [
        (Classification(), CLASSES, [0, 1, 1], []),
        (Classification(), CLASSES, [1, 1, 1], ["mcc", "auroc"]),
        (Classification(), BINARY, [0, 0], ["mcc", "auroc", "average_precision"]),
        (Classification(), BINARY, [1, 1], ["mcc", "auroc"]),
        (Multilabel(), BINARY, [[0, 1], [1, 1]], []),
        (Multilabel(), BINARY, [[0, 1], [0, 1]], ["auroc"]),
        (Regression(), ("x",), [[1.0], [2.0]], []),
        (Regression(), ("x",), [[1.0], [1.0]], ["r2", "spearman"]),
    ],
)
def test_undefined_metrics(task: Task, names: tuple[str, ...], targets: list, undefined: list[str]) -> None:
    kinds = {"classes": np.int64, "labels": np.uint8, "values": np.float64}
    spec = DataSpec("image", names, class_counts=(1,) * len(names))
    assert Evaluator(task, spec, {}).undefined(np.array(targets, kinds[task.kind])) == undefined
