"""Targets of other data, in the order of a run's."""

import numpy as np
import pytest

from leyden.data.index import Index
from leyden.data.measured import matched
from leyden.utils.errors import UserError


def test_classes_are_matched_by_name() -> None:
    index = Index(np.array([0, 1, 2, 1]), ("cafe\u0301", "dog", "emu"))
    targets, known = matched(index, ("ant", "dog", "café"))
    assert targets[known].tolist() == [2, 1, 1]
    assert known.tolist() == [True, True, False, True]


def test_labels_are_matched_by_name() -> None:
    index = Index(np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]], np.uint8), ("a", "b", "new"))
    targets, known = matched(index, ("b", "lacking", "a"))
    assert targets.dtype == np.uint8
    assert targets[known].tolist() == [[0, 0, 1], [1, 0, 1], [0, 0, 0]]
    assert known.tolist() == [True, True, False, True]


def test_values_are_matched_by_name_and_must_be_there() -> None:
    index = Index(np.array([[1.0, 2.0, 3.0]]), ("height", "more", "width"))
    targets, known = matched(index, ("width", "height"))
    assert (targets.tolist(), known.tolist()) == ([[3.0, 1.0]], [True])
    with pytest.raises(UserError, match="no wdth, which the run predicts: did you mean 'width'"):
        matched(index, ("height", "wdth"))
