"""Latency of a call: after a warm-up, every call is timed separately, synchronised with the device."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

WARM_UP = 3  # untimed calls: allocation, and selection of kernels at first use
FEW, SECONDS = 20, 2.0  # minimum number of calls, and of seconds


@dataclass(frozen=True)
class Latency:
    """Seconds per call: median, 95th percentile; number of timed calls."""

    p50: float
    p95: float
    calls: int


def measure(
    call: Callable[[], object], device: torch.device, seconds: float = SECONDS, few: int = FEW
) -> Latency:
    """Latency of `call`, repeated until `seconds` have passed and `few` calls have been made."""
    for _ in range(WARM_UP):
        call()
    times: list[float] = []
    while len(times) < few or sum(times) < seconds:
        _wait_for(device)
        began = time.perf_counter()
        call()
        _wait_for(device)
        times.append(time.perf_counter() - began)
    p50, p95 = np.percentile(times, [50, 95])
    return Latency(float(p50), float(p95), len(times))


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
