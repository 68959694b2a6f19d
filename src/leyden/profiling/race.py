"""Which of several ways to do the same thing is fastest: by wall time, in turns, so that all meet the same machine.

Every other round goes backwards: a scheduler gives and takes a core in a rhythm, which may be that of a round.
"""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

Way = TypeVar("Way", bound=Hashable)

ROUNDS = 5  # that every way has, before one is told to be the fastest
_TURN = 0.01  # seconds that a turn lasts at least: a busy process holds a core for some milliseconds
_WINS = 0.8  # of the pairs of turns
_CLEAR = 1.25  # times the fastest: so much slower, a way is given up


def race(
    ways: Mapping[Way, Callable[[], object]], budget: float, share: float = 1.0
) -> dict[Way, list[float]]:
    """Seconds of one call of each way in each of its turns, in order; {}: the time does not suffice for `ROUNDS`.

    Args:
        ways: the calls. Where they are short, the first of a turn is not timed: threads wake up, caches fill.
        budget: seconds for `ROUNDS` rounds.
        share: of these, for the rounds after them, which are made as long as two ways are about equal.
    """
    began = time.perf_counter()
    turns: dict[Way, list[float]] = {way: [] for way in ways}
    order, calls = list(ways), dict.fromkeys(ways, 1)
    for call in ways.values():
        call()
    while len(order) > 1:
        start = time.perf_counter()
        for way in order:
            turns[way].append(_turn(ways[way], calls[way]))
            calls[way] = max(1, round(_TURN / turns[way][-1]))
        order.reverse()
        now = time.perf_counter()
        missing = ROUNDS - len(turns[order[0]])
        if now + max(1, missing) * (now - start) > began + budget * (1 if missing > 0 else share):
            break
        if missing <= 0:
            medians = {way: statistics.median(turns[way]) for way in order}
            order = [way for way in order if medians[way] < _CLEAR * min(medians.values())]
    if min(map(len, turns.values())) < ROUNDS:
        return {}
    return turns


def beats(one: Sequence[float], other: Sequence[float], share: float) -> bool:
    """Whether the turns of one way are faster by this share: at the median of pairs, and in four pairs of five.

    Pairs, since what else the machine does changes from turn to turn by more than two ways may differ.
    """
    ratios = [a / b for a, b in zip(one, other, strict=False)]
    wins = sum(ratio < 1 for ratio in ratios)
    return statistics.median(ratios) < 1 / (1 + share) and wins >= _WINS * len(ratios)


def _turn(call: Callable[[], object], calls: int) -> float:
    if calls > 1:
        call()
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls
