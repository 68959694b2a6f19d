"""Time and memory of planning an epoch: scripts/bench_plan [--samples N] [--classes C].

Labels are long-tailed (imbalance 1,000), so that a balanced plan passes over small classes many times.
Prints, for each sampling policy in a process of its own, the seconds to build the plan and to make its
first and second epoch, by how much the peak memory of the process has risen above the labels, and the seconds of the
prior ledger over 200 epochs.
"""

import argparse
import multiprocessing
import resource
import sys
import time

import numpy as np

from leyden.data.sampler import EpochSampler
from leyden.data.sampling_policies import (
    EffectiveNumber,
    Instance,
    Power,
    Progressive,
    RepeatFactor,
    SamplingPolicy,
    UnderSampling,
)
from leyden.imbalance.class_prior import Ledger

IMBALANCE = 1_000
EPOCHS = 200
KIB = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, else KiB


def peak() -> float:
    """Peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB / 1e6


def measure(name: str, policy: SamplingPolicy, samples: int, classes: int) -> None:
    """Print one line."""
    profile = float(IMBALANCE) ** -np.linspace(0, 1, classes)
    edges = np.rint(samples * np.cumsum(profile) / profile.sum()).astype(np.int64)
    labels = np.repeat(np.arange(classes), np.diff(edges, prepend=0))
    np.random.default_rng(0).shuffle(labels)
    before, times = peak(), [time.perf_counter()]
    plan = EpochSampler(labels, classes, policy, seed=1)
    times.append(time.perf_counter())
    for epoch in (0, 1):
        plan.epoch(epoch)
        times.append(time.perf_counter())
    build, first, second = np.diff(times)
    rise = peak() - before
    long = EpochSampler(labels, classes, policy, seed=1, epochs=EPOCHS)
    built = time.perf_counter()
    offsets = np.log(np.maximum(plan.counts, 1))
    Ledger.of(plan.counts.tolist(), long.prior, lambda epoch: (np.zeros(classes), offsets), EPOCHS)
    ledger = time.perf_counter() - built
    print(
        f"{name:16} build {build:5.2f} s  first {first:5.2f} s  second {second:5.2f} s  +{rise:4.0f} MB  "
        f"ledger {ledger:5.2f} s"
    )


def main() -> None:
    """Measure every policy."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--classes", type=int, default=1_000)
    args = parser.parse_args()
    print(f"{args.samples:,} labels, {args.classes:,} classes")
    policies = {
        "instance": Instance(),
        "square_root": Power(0.5),
        "balanced": Power(0.0),
        "progressive": Progressive(),
        "under_sampling": UnderSampling(),
        "repeat_factor": RepeatFactor(),
        "effective_number": EffectiveNumber(),
    }
    for name, policy in policies.items():
        process = multiprocessing.Process(target=measure, args=(name, policy, args.samples, args.classes))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
