"""Accuracy against cost: the front of best trade-offs, and the simplest configuration that is as good as the best."""

from collections.abc import Sequence


def front(costs: Sequence[float | None], values: Sequence[float], higher: bool) -> list[bool]:
    """Whether each point is on the front: none is at most as costly and at least as good, and better in one.

    A point without a cost is not on it.
    """
    sign = 1.0 if higher else -1.0
    known = [(cost, -sign * value, place) for place, (cost, value) in enumerate(zip(costs, values, strict=True))
             if cost is not None]  # fmt: skip
    on_front = [False] * len(values)
    best: tuple[float, float] | None = None  # (cost, loss) of the front's newest point
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
    """The place of the cheapest point within one standard error of the best (Breiman et al. 1984).

    costs: of each, those that count first in front: (parameters, flops, seconds). None where the best has no error.
    """
    sign = 1.0 if higher else -1.0
    best = max(range(len(values)), key=lambda i: sign * values[i], default=None)
    if best is None or errors[best] is None:
        return None
    least = sign * values[best] - (errors[best] or 0.0)
    near = [i for i in range(len(values)) if sign * values[i] >= least and costs[i][0] is not None]
    return min(near, key=lambda i: tuple(cost or 0.0 for cost in costs[i]), default=None)
