"""What a sweep costs beyond its training, and what two worker processes gain.

The same jobs of a tiny net, one thread a job, each time in a fresh folder: one at a time, two at once, and the bare
training loops alone in a process of their own.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benches.measure import Case, Given, in_process, process, sources

TINY = ["data=digits", "model=mlp", "trainer=cpu", "trainer.max_epochs=2"]
JOB = [*TINY, "threads=1"]
JOBS, LONG = 20, "trainer.max_epochs=100"  # jobs of five seconds: those that two at once are for


def cases(given: Given) -> Iterator[Case]:
    """The overhead of short jobs, and the gain of two at once for longer ones."""
    job = [*JOB, *given.overrides]
    with sources(given.against, given.scratch) as found:
        paths = {f"one at a time, {name}": path for name, path in found.items()}
        for path in paths.values():  # columns and byte code into their caches
            sweep(job, 1, 1, path)
        ways = {name: partial(sweep, job, JOBS, 1, path) for name, path in paths.items()}
        loops = partial(in_process, bare, job, JOBS, OMP_NUM_THREADS="1")
        yield Case(f"{JOBS} jobs of a tiny net", {**ways, "bare loops": loops})
        now = found["now"]
        two = {"two at once": partial(sweep, [*job, LONG], JOBS, 2, now)}
        yield Case(
            f"{JOBS} jobs of 5 s", {**two, "one at a time": partial(sweep, [*job, LONG], JOBS, 1, now)}
        )
        words = [*TINY, *given.overrides, LONG]
        plans = {"compute=auto": words, **{f"threads={n}": [*words, f"threads={n}"] for n in (1, 2)}}
        ways = {name: partial(sweep, options, JOBS, 2, now, None) for name, options in plans.items()}
        yield Case(f"{JOBS} jobs of 5 s, two at once, by threads", ways)


def sweep(job: list[str], jobs: int, at_once: int, path: str, most: int | None = 1) -> float:
    """Wall seconds of the whole command; `most`: threads that a process may have (OMP_NUM_THREADS)."""
    with tempfile.TemporaryDirectory() as runs:
        seeds = ",".join(str(seed) for seed in range(1, jobs + 1))
        words = ["train", "-m", *job, f"seed={seeds}", f"runs={runs}", f"--jobs={at_once}"]
        command = [sys.executable, "-P", "-m", "leyden", *words]
        limit = {} if most is None else {"OMP_NUM_THREADS": str(most)}
        return process(command, Path(runs), PYTHONPATH=path, **limit).seconds


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
