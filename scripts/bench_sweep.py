"""What a sweep costs beyond its training, and what two worker processes gain.

    scripts/bench_sweep [key=value ...]      # 20 jobs of a tiny net

The same jobs, one thread a job, each time in a fresh folder: one at a time, two at once, and the bare training loops
alone, in a process of their own. Printed: wall time a job above the bare loop, and the throughput of two at once over
one at a time; each of the whole command, and without its start (the imports, which a sweep pays once).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

JOB = ["data=digits", "model=mlp", "trainer=cpu", "threads=1", "trainer.max_epochs=2"]


def main() -> None:
    """Print what some rounds gave."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("overrides", nargs="*", help="key=value for every job")
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    job = [*JOB, *given.overrides]
    if given.bare:
        print(json.dumps(bare(job, given.jobs)))
        return
    print(
        f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores; {given.jobs} jobs, {given.rounds} rounds"
    )
    sweep(job, 1, 1)  # columns and byte code into their caches
    found = [one_round(job, given.jobs) for _ in range(given.rounds)]
    for name, unit in (
        ("above", "s a job above the bare loop"),
        ("steady", "s a job, start of the command left out"),
        ("gain", "x the throughput, two at once"),
        ("steady_gain", "x the throughput, two at once, start of both commands left out"),
    ):
        values = [f[name] for f in found]
        print(f"{statistics.median(values):6.2f} {unit} ({min(values):.2f} - {max(values):.2f})")


def one_round(job: list[str], jobs: int) -> dict[str, float]:
    """Seconds a job and throughputs of one round."""
    command = [sys.executable, __file__, "--bare", f"--jobs={jobs}", *job[len(JOB) :]]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=one_thread())
    loops = json.loads(done.stdout.splitlines()[-1])
    start, alone = sweep(job, 1, 1), sweep(job, jobs, 1)
    start_two, two = sweep(job, 2, 2), sweep(job, jobs, 2)
    print(
        f"bare loops {loops:.1f} s; one at a time: {jobs} jobs {alone:.1f} s, one {start:.1f} s; "
        f"two at once: {jobs} jobs {two:.1f} s, two {start_two:.1f} s",
        flush=True,
    )
    each, each_of_two = (alone - start) / (jobs - 1), (two - start_two) / (jobs - 2)
    return {
        "above": (alone - loops) / jobs,
        "steady": each - loops / jobs,
        "gain": alone / two,
        "steady_gain": each / each_of_two,
    }


def one_thread() -> dict[str, str]:
    """The environment of a process with one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def sweep(job: list[str], jobs: int, at_once: int) -> float:
    """Wall seconds of the whole command."""
    with tempfile.TemporaryDirectory() as runs:
        seeds = ",".join(str(seed) for seed in range(1, jobs + 1))
        words = ["train", "-m", *job, f"seed={seeds}", f"runs={runs}", f"--jobs={at_once}"]
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "leyden", *words], stdout=subprocess.DEVNULL, check=True, env=one_thread()
        )
        return time.perf_counter() - started


def bare(job: list[str], jobs: int) -> float:
    """Seconds of so many bare training loops: forward, backward, step over the same batches, no validation."""
    from leyden.utils.runtime import load_torch, prepare

    load_torch()
    from leyden.config.compose import compose
    from leyden.config.validate import check
    from leyden.modules.standalone import fit_frontend, optimizer_of
    from leyden.training import build

    config = check(compose(job))
    prepare(1)
    made = build.experiment(config)
    data, epochs = made.data, config.epochs
    module: Any = made.module()
    fit_frontend(module, data)
    started = time.perf_counter()
    for _ in range(jobs):
        optimizer = optimizer_of(module)
        loader = data.training_loader(epochs)
        for epoch in range(epochs):
            loader.set_epoch(epoch)
            for batch in loader:
                optimizer.zero_grad()
                batch = module.prepare(batch)
                module.losses(module(batch), batch).mean().backward()
                optimizer.step()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
