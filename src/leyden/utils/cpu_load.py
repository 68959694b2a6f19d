"""How many of this process's cores other processes leave free, by the kernel's counters (Linux; elsewhere unknown).

The load average would not do: it counts this process, too, and what ended a minute ago.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

_STAT = Path("/proc/stat")
_LEAST = 0.5  # seconds between two readings that can be compared: the counters count hundredths
_BUSY = (0, 1, 2, 5, 6, 7)  # columns of /proc/stat: user, nice, system, irq, softirq, steal


class _Reading(NamedTuple):
    process: int
    at: float
    others: float  # seconds of these cores that other processes have used


_readings: list[_Reading] = []


def look() -> None:
    """Take a reading, which a later `free_cores` starts from; of those of this process the last two are kept."""
    now = _read()
    if now is not None:
        _readings[:] = [*(r for r in _readings if r.process == now.process), now][-2:]


def free_cores() -> float | None:
    """Mean number of free cores since the newest reading that is half a second old; None: unknown."""
    now, cores = _read(), len(_cores())
    if now is None:
        return None
    for before in reversed(_readings):
        seconds = now.at - before.at
        if before.process == now.process and seconds >= _LEAST:
            return min(float(cores), max(0.0, cores - (now.others - before.others) / seconds))
    return None


def _cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _read() -> _Reading | None:
    names = {f"cpu{core}" for core in _cores()}
    try:
        lines = [line.split() for line in _STAT.read_text(encoding="ascii").splitlines()]
    except OSError:
        return None
    ticks = sum(int(words[1 + i]) for words in lines if words and words[0] in names for i in _BUSY)
    own = sum(os.times()[:4])
    return _Reading(os.getpid(), time.monotonic(), ticks / os.sysconf("SC_CLK_TCK") - own)
