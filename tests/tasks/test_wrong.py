"""Which rows of a split's predictions are errors, for each task."""

import numpy as np

from leyden.tasks.base import Task
from leyden.tasks.classification import Classification
from leyden.tasks.multilabel import Multilabel
from leyden.tasks.regression import Regression


def test_another_class() -> None:
    stored = {"labels": np.array([0, 1, 2]), "predicted": np.array([0, 2, 2])}
    assert Classification().wrong(stored).tolist() == [False, True, False]


def test_any_label() -> None:
    stored = {"targets": np.array([[0, 1], [1, 1], [0, 0]]), "predicted": np.array([[0, 1], [1, 0], [1, 0]])}
    assert Multilabel().wrong(stored).tolist() == [False, True, True]


def test_a_large_residual_whatever_the_unit() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(100, 2))
    residuals = np.full((100, 2), 0.1)
    residuals[:5, 0], residuals[5:10, 1] = 0.5, -0.4
    stored = {"targets": targets * [1, 1000], "values": (targets + residuals) * [1, 1000]}
    assert np.flatnonzero(Regression().wrong(stored)).tolist() == list(range(10))
    assert not Regression().wrong({"targets": targets, "values": targets}).any()


def test_a_task_of_ones_own_has_none_that_are_known() -> None:
    assert Task().wrong({"rows": np.arange(3)}).tolist() == [False] * 3
