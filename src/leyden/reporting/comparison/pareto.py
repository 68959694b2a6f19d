"""Metric against cost: the Pareto front, and the simplest configuration within one standard error of the best."""

import math
from collections.abc import Sequence


def front(costs: Sequence[float | None], values: Sequence[float], higher: bool) -> list[bool]:
    """Return whether each point is Pareto-optimal: no other is at most as costly, at least as good, and better in one.

    A point without a cost is never on the front.
    """
    sign = 1.0 if higher else -1.0
    known = [(cost, -sign * value, place) for place, (cost, value) in enumerate(zip(costs, values, strict=True))
             if cost is not None]  # fmt: skip
    on_front = [False] * len(values)
    best: tuple[float, float] | None = None  # (cost, loss) of the last point added to the front
    for cost, loss, place in sorted(known):
        if best is None or loss < best[1] or (cost, loss) == best:
            best, on_front[place] = (cost, loss), True
    return on_front


def simplest(
    costs: Sequence[tuple[float | None, ...]],
    values: Sequence[float],
    errors: Sequence[float | None],
    higher: bool,
) -> int | None:
    """Return the index of the cheapest point within one standard error of the best (Breiman et al. 1984).

    costs: of each point, compared in this order: (parameters, flops, seconds); one that is unknown wins no tie.
    None if the best has no standard error.
    """
    sign = 1.0 if higher else -1.0
    best = max(range(len(values)), key=lambda i: sign * values[i], default=None)
    if best is None or errors[best] is None:
        return None
    least = sign * values[best] - (errors[best] or 0.0)
    near = [i for i in range(len(values)) if sign * values[i] >= least and costs[i][0] is not None]
    return min(
        near, key=lambda i: tuple(math.inf if cost is None else cost for cost in costs[i]), default=None
    )
