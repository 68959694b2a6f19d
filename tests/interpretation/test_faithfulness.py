"""Maps against random orders: a map of what the score uses passes, a map of nothing does not; padding stays."""

import numpy as np
import pytest
import torch
from torch import Tensor

from leyden.interpretation import faithfulness
from leyden.interpretation.faithfulness import areas, order_of, random_areas, stacked
from leyden.interpretation.view import View

SIDE = 12


def linear_view(
    weights: Tensor, values: Tensor, places: Tensor | None = None, seen: list[int] | None = None
) -> View:
    """Values (B, 1, H, W) or (B, T, 1) whose score is the sum of weights * values; nothing is what fills."""
    is_plane = values.dim() == 4

    def score(points: Tensor, which: Tensor) -> Tensor:
        if seen is not None:
            seen.append(len(points))
        return (points * weights[which]).flatten(1).sum(1)

    units = values[:, 0] if is_plane else values[..., 0]
    return View(
        values=values,
        baseline=torch.zeros_like(values),
        baseline_name="zero",
        fill=torch.zeros_like(values),
        fill_name="zero",
        places=torch.ones(units.shape, dtype=torch.bool) if places is None else places,
        score=score,
        scalar="the sum",
        to_units=lambda a: a.sum(1) if is_plane else a.sum(-1),
        from_units=lambda u: u[:, None] if is_plane else u[..., None],
    )


@pytest.fixture
def picture() -> tuple[View, Tensor]:
    """Eight pictures of noise, of which a patch counts; the true map."""
    random = torch.Generator().manual_seed(0)
    values = 1 + torch.rand(8, 1, SIDE, SIDE, generator=random)
    weights = torch.zeros_like(values)
    weights[:, :, 3:6, 4:7] = 1
    values += 2 * weights  # neighbours do not tell what it is
    return linear_view(weights, values), (weights * values)[:, 0]


def test_the_true_map_passes_and_its_opposite_does_not(picture: tuple[View, Tensor]) -> None:
    view, truth = picture
    for test in faithfulness.assess_maps(view, truth):
        assert test.passes
        assert test.lucky <= faithfulness.LUCKY
        assert min(test.deletion_gap, test.insertion_gap, test.road_gap) >= faithfulness.THRESHOLD
        assert test.deletion < test.random_deletion
        assert test.insertion > test.random_insertion
    for test in faithfulness.assess_maps(view, -truth):
        assert not test.passes
        assert max(test.deletion_gap, test.insertion_gap, test.road_gap) < 0
        assert "deletion and insertion and road not 3 standard errors better" in test.why


def test_few_maps_of_noise_pass() -> None:
    random = torch.Generator().manual_seed(1)
    values, weights = (torch.rand(200, 1, 8, 8, generator=random) for _ in range(2))
    view = linear_view(weights, values)
    noise = torch.randn(200, 8, 8, generator=random)
    passed = sum(test.passes for test in faithfulness.assess_maps(view, noise))
    # at most one of 16 random orders ahead in each test: 2 / 17 if the three tests were one; 99.9 % of 200 draws
    assert passed <= 42


def test_luck_is_no_faithfulness() -> None:
    """Of five tokens one counts; a map that ranks it second beats the mean of random orders, but so do many."""
    values = torch.ones(1, 5, 1)
    weights = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0])[None, :, None]
    test = faithfulness.assess_maps(linear_view(weights, values), torch.tensor([[0.0, 2.0, 1.0, 0.0, 0.0]]))[
        0
    ]
    assert min(test.deletion_gap, test.insertion_gap) >= faithfulness.THRESHOLD
    assert test.lucky > faithfulness.LUCKY
    assert not test.passes
    assert f"{test.lucky} of 16 random orders do as well as it or better" in test.why


def test_areas_are_those_of_the_formula() -> None:
    values = torch.tensor([[4.0, 3.0, 2.0, 1.0]])[..., None]
    view = linear_view(torch.ones_like(values), values)
    found = areas(view, order_of(view, values[..., 0]), steps=4)
    assert found.deletion == pytest.approx([(10 / 2 + 6 + 3 + 1 + 0) / 4])
    assert found.insertion == pytest.approx([(0 + 4 + 7 + 9 + 10 / 2) / 4])
    assert found.road == found.deletion  # tokens have no neighbours


def test_padding_is_neither_taken_away_nor_counted() -> None:
    lengths = [7, 3]
    places = torch.arange(7)[None] < torch.tensor(lengths)[:, None]
    values = torch.where(places, torch.tensor(2.0), torch.tensor(-1e6))[..., None]

    view = linear_view(torch.ones_like(values), values, places)
    ranks = order_of(view, torch.where(places, 0.0, 9.0))
    assert all(sorted(ranks[i][places[i]].tolist()) == list(range(n)) for i, n in enumerate(lengths))
    padding = torch.tensor([0.0, -4e6])
    found = areas(view, ranks)
    assert found.deletion - padding.numpy() == pytest.approx([7.0, 3.0], abs=1.0)


def test_points_given_at_once_are_bounded() -> None:
    seen: list[int] = []
    values = torch.rand(30, 1, 8, 8)
    areas(view := linear_view(torch.ones_like(values), values, seen=seen), order_of(view, None))
    assert max(seen) <= 256
    assert sum(seen) == 3 * 11 * 30
    seen.clear()
    wide = torch.rand(1, 1, 1024, 1024)
    curve = faithfulness._curve(
        view := linear_view(torch.ones_like(wide), wide, seen=seen),
        [view.places] * 11,
        lambda taken, which: view.fill[which],
    )
    assert max(seen) == 4
    assert curve.shape == (11, 1)


def test_equal_numbers_are_taken_in_random_order() -> None:
    values = torch.rand(1, 1, 16, 16)
    view = linear_view(torch.ones_like(values), values)
    one, other = (order_of(view, torch.zeros(1, 16, 16), seed).flatten() for seed in (0, 1))
    in_order = torch.arange(256)
    for ranks in (one, other):
        assert sorted(ranks.tolist()) == in_order.tolist()
        assert abs(np.corrcoef(ranks, in_order)[0, 1]) < 0.21  # 99.9 % of random orders
    assert (one != other).any()


@pytest.mark.parametrize("case", ["constant", "not a number", "one unit"])
def test_what_cannot_be_tested_does_not_pass(case: str) -> None:
    values = torch.rand(2, 1, 6, 6)
    places = torch.zeros(2, 6, 6, dtype=torch.bool)
    places[:, 2, 2] = True
    weights = torch.full_like(values, {"constant": 0.0, "not a number": torch.nan, "one unit": 1.0}[case])
    view = linear_view(weights, values, places if case == "one unit" else None)
    for test in faithfulness.assess_maps(view, values[:, 0]):
        assert not test.passes
        assert (
            "1 unit cannot be put in an order" if case == "one unit" else "not 3 standard errors"
        ) in test.why


def test_road_imputes_where_deletion_fills(picture: tuple[View, Tensor]) -> None:
    view, _truth = picture
    ranks = order_of(view, None, 5)
    found = areas(view, ranks)
    # neighbours, of 1 and more, stand in for what a fill makes 0
    assert (found.road > found.deletion + 1).all()
    assert np.array_equal(areas(view, ranks), found)


def test_one_measurement_of_random_orders_serves_every_map(picture: tuple[View, Tensor]) -> None:
    view, truth = picture
    random = random_areas(view)
    assert random.road.shape == (faithfulness.ORDERS, 8)
    assert faithfulness.assess_maps(view, truth, random) == faithfulness.assess_maps(view, truth)


def test_maps_without_their_padding_are_placed_at_the_beginning() -> None:
    values = torch.rand(2, 5, 1)
    view = linear_view(torch.ones_like(values), values)
    maps = [np.ones(5, np.float32), np.full(2, 7, np.float32)]
    assert stacked(view, maps).tolist() == [[1.0] * 5, [7.0, 7.0, 0.0, 0.0, 0.0]]
