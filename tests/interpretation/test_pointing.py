"""Pointing, mass and verdict of maps whose truth is known."""

import numpy as np
import pytest

from leyden.interpretation.pointing import mass_inside, points_inside, verdict

INSIDE = np.array([[True, True, False], [False, False, False]])


def test_a_map_points_where_its_highest_unit_is() -> None:
    assert points_inside(np.array([[0, 2, 1], [0, 1, -9]], np.float32), INSIDE)
    assert not points_inside(np.array([[0, 1, 2], [0, 1, -9]], np.float32), INSIDE)
    assert not points_inside(np.zeros((2, 3), np.float32), INSIDE)  # nothing is shown
    assert not points_inside(np.array([[-1, -2, -3], [-4, -5, -6]], np.float32), INSIDE)


def test_equal_highest_units_must_mostly_lie_inside() -> None:
    assert points_inside(np.array([[1, 1, 1], [0, 0, 0]], np.float32), INSIDE)
    assert not points_inside(np.ones((2, 3), np.float32), INSIDE)


def test_mass_is_of_the_positive_part() -> None:
    assert mass_inside(np.array([[3, -5, 1], [0, -7, 0]], np.float32), INSIDE) == pytest.approx(0.75)
    assert mass_inside(-np.ones((2, 3), np.float32), INSIDE) == 0


def test_a_method_is_trusted_by_pointing_and_by_its_advantage() -> None:
    assert verdict(0.95, 0.33) == ""
    assert "in 0.60 of rows, expected is 0.90" in verdict(0.60, 0.03)
    assert "only 0.05 above the untrained net's" in verdict(1.0, 0.95)
