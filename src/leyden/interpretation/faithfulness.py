"""Whether a map tells what the net uses: deletion, insertion and ROAD against random orders of the same sample.

Units are taken away (deletion, ROAD) or shown (insertion) from the highest number of the map to the lowest. The area
under the curve of the score, over the share of units, is compared with the areas of random orders of the same units:
Petsiuk+ 2018 (RISE); Rong+ 2022 (ROAD, arXiv:2202.00449). Padding is neither taken away nor counted.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leyden.interpretation.imputation import impute
from leyden.interpretation.view import View
from leyden.utils.text import plural

STEPS = 10  # of a curve: after each so many more tenths of the units are taken away
ORDERS = 16  # random ones, for each sample
THRESHOLD = 3.0  # standard errors
LUCKY = 1  # random orders of `ORDERS` that may do better than a map that passes
_VALUES = 1 << 22  # numbers that are given to the net at once; and so many points at most:
_POINTS = 256
_TESTS = ("deletion", "insertion", "road")


@dataclass(frozen=True)
class MapTest:
    """What the tests say of the map of one sample.

    Attributes:
        deletion, insertion, road: the map's area: mean of the score over the shares of units taken away or shown.
        random_deletion, random_insertion, random_road: mean area of the random orders.
        deletion_gap, insertion_gap, road_gap: by how much the map is better than random orders, in standard errors
            of their mean; above 0 is better.
        lucky: the most random orders that did better in one of the three tests.
        orders: random orders of each test.
        fill: what stood in a unit taken away, in words.
        passes: every gap is at least `THRESHOLD`, and hardly a random order does better.
        why: what the answer rests on, in words.
        untrained_similarity: rank correlation in -1 .. 1 with the map of the same net untrained; None: not measured.
        untrained_pointing: whether that map's highest unit lies in the truth; None: not measured, or no truth.
        pointing: whether the highest unit lies in the truth; None: no truth is known.
        mass: share of the positive attribution within the truth; None: no truth is known.
    """

    deletion: float
    insertion: float
    road: float
    random_deletion: float
    random_insertion: float
    random_road: float
    deletion_gap: float
    insertion_gap: float
    road_gap: float
    lucky: int
    orders: int
    fill: str
    passes: bool
    why: str
    untrained_similarity: float | None = None
    untrained_pointing: bool | None = None
    pointing: bool | None = None
    mass: float | None = None


class Areas(NamedTuple):
    """Areas under the curves of orders: deletion, insertion and road, each (..., B) in units of the score."""

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    road: NDArray[np.float64]


def assess_maps(
    view: View, maps: Tensor | Sequence[NDArray[np.float32]], random: Areas | None = None, seed: int = 0
) -> list[MapTest]:
    """Test the maps of a view's samples.

    Args:
        view: of B samples.
        maps: (B, *units), or an array for each sample, which may be without its padding; higher is more important.
        random: what `random_areas` gave of the view; None: it is measured now. One measurement serves every method.
        seed: of the order of equal numbers and of ROAD's noise.

    Returns:
        one test for each sample.
    """
    chance = random_areas(view, seed) if random is None else random
    own = areas(view, order_of(view, stacked(view, maps), seed), seed)
    units = view.places.flatten(1).sum(1).tolist()
    return [
        _judge(Areas(*(a[i] for a in own)), Areas(*(a[:, i] for a in chance)), view.fill_name, units[i])
        for i in range(len(units))
    ]


def random_areas(view: View, seed: int = 0, orders: int = ORDERS) -> Areas:
    """Areas (orders, B) of random orders of each sample's units."""
    found = [areas(view, order_of(view, None, (seed, number)), seed) for number in range(orders)]
    return Areas(*(np.stack(kind) for kind in zip(*found, strict=True)))


def areas(view: View, ranks: Tensor, seed: int = 0, steps: int = STEPS) -> Areas:
    """Areas (B,) of one order for each sample.

    Args:
        view: of B samples.
        ranks: int64 (B, *units): 0 is the unit that is taken away first.
        seed: of the noise of imputed units.
        steps: of each curve.
    """
    places, fills = view.places, view.fill
    counts = places.flatten(1).sum(1)

    def first(step: int) -> Tensor:
        limit = (counts * step / steps).round().view(-1, *[1] * (ranks.dim() - 1))
        return ranks < limit  # padding comes last

    removed = [first(step) for step in range(steps + 1)]
    deletion = _curve(view, removed, lambda taken, which: fills[which])
    insertion = _curve(view, [places & ~taken for taken in removed], lambda taken, which: fills[which])
    if not has_grid(view):  # tokens and stretches have no neighbours to be imputed from
        return Areas(_area(deletion), _area(insertion), _area(deletion))
    noise = torch.Generator(device="cpu").manual_seed(seed)
    road = _curve(view, removed, lambda taken, which: _imputed(view, taken, which, noise))
    return Areas(_area(deletion), _area(insertion), _area(road))


def has_grid(view: View) -> bool:
    """Whether units lie in a plane, one for each number of a channel, so that neighbours can stand in for them."""
    return view.places.dim() == 3 and view.values.dim() == 4


def _imputed(view: View, taken: Tensor, which: Tensor, noise: torch.Generator) -> Tensor:
    values, places = view.values[which], view.places[which]
    found = impute(values, taken, places, view.fill[which])
    scale = 0.01 * values.flatten(1).std(dim=1).view(
        -1, 1, 1, 1
    )  # as in ROAD, so that what is imputed is no leak
    return found + scale * torch.randn(found.shape, generator=noise).to(found)


def _curve(
    view: View, removed: Sequence[Tensor], stand_in: Callable[[Tensor, Tensor], Tensor]
) -> NDArray[np.float64]:
    """Scores (steps, B) with units (B, *units) replaced at each step, a bounded number of points at once."""
    taken = torch.stack(list(removed)).flatten(0, 1)
    which = torch.arange(len(view.places), device=taken.device).repeat(len(removed))
    scores = []
    with torch.no_grad():
        for part in _chunks(view, len(which)):
            rows, gone = which[part], view.from_units(taken[part])
            points = torch.where(gone, stand_in(taken[part], rows), view.values[rows])
            scores.append(view.score(points, rows).double())
    return torch.cat(scores).view(len(removed), -1).cpu().numpy()


def _chunks(view: View, points: int) -> Iterator[slice]:
    size = min(_POINTS, max(1, _VALUES // max(1, view.values[0].numel())))
    return (slice(start, start + size) for start in range(0, points, size))


def _area(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (steps, B) -> (B,): the trapezoidal rule over shares 0 .. 1."""
    return np.asarray(np.trapezoid(curve, dx=1 / (len(curve) - 1), axis=0))


def order_of(view: View, maps: Tensor | None, seed: int | Sequence[int] = 0) -> Tensor:
    """Ranks int64 (B, *units) of the units, 0 for the highest number; equal ones at random; None: all at random.

    A sample's random order does not depend on the others of the batch. Padding comes last.
    """
    shape = view.places.shape
    units = math.prod(shape[1:])
    random = np.random.default_rng(seed).permutation(units)  # the same for all: neighbours cost nothing more
    shuffled = torch.as_tensor(random, device=view.places.device).expand(shape[0], -1)
    flat = torch.zeros(shape, device=view.places.device) if maps is None else maps.to(view.places.device)
    flat = flat.float().nan_to_num(nan=-math.inf).masked_fill(~view.places, -math.inf).flatten(1)
    order = shuffled.gather(1, flat.gather(1, shuffled).argsort(dim=1, descending=True, stable=True))
    ranks = torch.empty_like(order)
    ranks.scatter_(1, order, torch.arange(units, device=order.device).expand_as(order))
    return ranks.view(shape)


def stacked(view: View, maps: Tensor | Sequence[NDArray[np.float32]]) -> Tensor:
    """Maps as one tensor (B, *units), zero where one without its padding is smaller."""
    if isinstance(maps, Tensor):
        return maps
    whole = torch.zeros(view.places.shape)
    for row, single in zip(whole, maps, strict=True):
        row[tuple(slice(0, n) for n in single.shape)] = torch.as_tensor(single)
    return whole


def _judge(own: Areas, random: Areas, fill: str, units: int) -> MapTest:
    """The test of one sample: its areas, and those of random orders (orders,)."""
    better = (-1, 1, -1)  # a good map's area is small where units are taken away
    ahead = [sign * (o - r) for sign, o, r in zip(better, own, random, strict=True)]
    gaps = [_in_standard_errors(a) for a in ahead]
    lucky = max(int((a < 0).sum()) for a in ahead)
    orders = len(ahead[0])
    passes = min(gaps) >= THRESHOLD and lucky <= LUCKY
    (deletion, insertion, road), means = map(float, own), [float(r.mean()) for r in random]
    return MapTest(
        deletion=deletion,
        insertion=insertion,
        road=road,
        random_deletion=means[0],
        random_insertion=means[1],
        random_road=means[2],
        deletion_gap=gaps[0],
        insertion_gap=gaps[1],
        road_gap=gaps[2],
        lucky=lucky,
        orders=orders,
        fill=fill,
        passes=passes,
        why=_why(gaps, lucky, orders, units),
    )


def _in_standard_errors(ahead: NDArray[np.float64]) -> float:
    """Mean over its standard error; 0 where nothing varies, and where a score is no number."""
    error = float(ahead.std(ddof=1)) / math.sqrt(len(ahead))
    return float(ahead.mean()) / error if error > 0 and math.isfinite(error) else 0.0


def _why(gaps: Sequence[float], lucky: int, orders: int, units: int) -> str:
    if units < 2:
        return f"{plural(units, 'unit')} cannot be put in an order"
    shown = ", ".join(f"{name} {gap:.1f}" for name, gap in zip(_TESTS, gaps, strict=True))
    if min(gaps) < THRESHOLD:
        failed = " and ".join(n for n, gap in zip(_TESTS, gaps, strict=True) if gap < THRESHOLD)
        return f"{failed} not {THRESHOLD:g} standard errors better than random orders ({shown})"
    if lucky > LUCKY:
        return f"{lucky} of {orders} random orders do as well as it or better ({shown} standard errors)"
    return f"better than random orders by {THRESHOLD:g} standard errors or more ({shown})"
