"""Evenly spaced values: as many as asked for, none twice, both ends."""

import numpy as np
import pytest

from leyden.utils import arrays


@pytest.mark.parametrize("most", [1, 2, 7, 50, 51])
def test_they_are_distinct_and_begin_with_the_first(most: int) -> None:
    found = arrays.evenly(np.arange(50), most)
    assert len(np.unique(found)) == len(found) == min(most, 50)
    assert found[0] == 0
    assert most == 1 or found[-1] == 49


def test_of_nothing_there_is_nothing() -> None:
    assert arrays.evenly(np.zeros(0), 5).tolist() == []
