"""How much CPU time a run may spend on what it shows in TensorBoard."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHORT, SECONDS, SHARE = 60.0, 0.6, 0.03
_UNKNOWN = 0.1  # CPU seconds that a view is taken to cost before it was drawn once


class CpuBudget:
    """At most 3 % of the process's CPU time in runs of a CPU minute or more, and .6 seconds in shorter ones.

    The clock starts when the object is made. What has a known cost is refused where it would exceed the budget; a view
    of unknown cost may exceed it once, by what it costs beyond a tenth of a second.

    Args:
        is_limited: whether anything is ever refused.
        clock: CPU seconds of this process.
    """

    def __init__(self, is_limited: bool = True, clock: Callable[[], float] = time.process_time) -> None:
        self._is_limited, self._clock = is_limited, clock
        self._began = clock()
        self._costs: dict[str, float] = {}
        self.spent = 0.0

    @property
    def allowance(self) -> float:
        """CPU seconds that may have been spent by now."""
        elapsed = self._clock() - self._began
        return SECONDS if elapsed < SHORT else SHARE * elapsed

    @property
    def left(self) -> float:
        """CPU seconds that may still be spent; infinite without a limit."""
        return self.allowance - self.spent if self._is_limited else math.inf

    def allows(self, view: str, keep: float = 0.0) -> bool:
        """Whether `view` may be drawn; `keep`: the share of the allowance that is left for later."""
        cost = self._costs.get(view, _UNKNOWN)
        return not self._is_limited or self.spent + cost <= (1 - keep) * self.allowance

    @contextmanager
    def spending(self, view: str) -> Iterator[None]:
        """Count the CPU time of the block, and remember it as the cost of `view`."""
        began = self._clock()
        try:
            yield
        finally:
            self._costs[view] = self._clock() - began
            self.spent += self._costs[view]
