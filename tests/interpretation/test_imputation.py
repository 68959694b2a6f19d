"""Imputed units solve ROAD's linear system, at borders and beside padding."""

import pytest
import torch
from torch import Tensor

from leyden.interpretation.imputation import impute

WEIGHTS = {(i, j): 1 / (6 * (abs(i) + abs(j))) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)}


def solved(values: Tensor, taken: Tensor, places: Tensor) -> Tensor:
    """The system written out for one picture (H, W): each unit taken is the mean of the neighbours that there are."""
    height, width = values.shape
    system, right = torch.eye(height * width).double(), values.flatten().double().clone()
    for y in range(height):
        for x in range(width):
            if not taken[y, x]:
                continue
            row = y * width + x
            near = {
                (y + i) * width + x + j: weight
                for (i, j), weight in WEIGHTS.items()
                if 0 <= y + i < height and 0 <= x + j < width and places[y + i, x + j]
            }
            system[row, row], right[row] = sum(near.values()), 0
            for place, weight in near.items():
                system[row, place] = -weight
    return torch.linalg.solve(system, right).view(height, width)


def test_the_weights_are_those_of_the_paper() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert WEIGHTS[0, 1] == 1 / 6
    assert WEIGHTS[1, 1] == 1 / 12


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_it_solves_the_linear_system(share: float) -> None:
    random = torch.Generator().manual_seed(0)
    values = torch.randn(3, 2, 9, 11, generator=random)
    places = torch.ones(3, 9, 11, dtype=torch.bool)
    places[1, :, 7:] = False  # padding
    values = values * places[:, None] + 1e3 * ~places[:, None]
    taken = (torch.rand(3, 9, 11, generator=random) < share) & places
    taken[:, 4:8, 2:6] = True  # a hole
    found = impute(values, taken, places, torch.zeros_like(values))
    for i in range(3):
        for channel in range(2):
            wanted = solved(values[i, channel], taken[i], places[i])
            assert torch.allclose(found[i, channel].double(), wanted, atol=5e-3)


def test_what_is_known_stays_and_a_slope_is_continued() -> None:
    slope = torch.arange(20.0).expand(20, 20)
    values = (slope + 2 * slope.T)[None, None]
    taken = torch.zeros(1, 20, 20, dtype=torch.bool)
    taken[:, 6:13, 7:15] = True
    holed = torch.where(taken[:, None], torch.nan, values).nan_to_num(-5.0)
    found = impute(holed, taken, torch.ones_like(taken), torch.zeros_like(values))
    assert torch.allclose(found, values, atol=0.05)
    assert torch.equal(found[~taken[:, None]], values[~taken[:, None]])


def test_where_nothing_is_known_it_is_the_mean_of_the_start() -> None:
    """However long another picture of the batch takes."""
    random = torch.Generator().manual_seed(0)
    values, start = torch.rand(2, 2, 1, 24, 24, generator=random)
    taken = torch.ones(2, 24, 24, dtype=torch.bool)
    taken[1, 0, 0] = False  # far away from most: many iterations
    found = impute(values, taken, torch.ones_like(taken), start)
    assert torch.allclose(found[0], start[0].mean(), atol=0.1)
