"""How cost grows: with samples, classes, tokens, runs; and what planning an epoch of ten million labels takes.

Samples are rows of 16 numbers, trained by a small MLP through `leyden train` in batches of 4,096 on one thread; their
columns are written at once, since what is measured is the epoch, in CPU seconds. Memory is the process's own after each
epoch (RssAnon), without the pages of mapped columns, which the system takes back when it needs them, and without up to
512 MB of freed memory that Leyden's allocator keeps. Tokens are those of a text, read by an LSTM. With --picture the
growth with samples is drawn.
"""

import ctypes
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benches import report
from benches.fit import timed_epochs
from benches.measure import Case, Given, in_process
from leyden.data.tabular import TABULAR

SAMPLES, NUMBERS = (10_000, 100_000, 1_000_000, 10_000_000), 16
CLASSES, LENGTHS, RUNS = (10, 100, 1_000, 10_000), (10, 100, 1_000), (100, 1_000, 10_000)
PLANNED, IMBALANCE = 10_000_000, 1_000
POLICIES = ("Instance", "Power", "Progressive", "UnderSampling", "RepeatFactor", "EffectiveNumber")
QUICK = ["trainer=cpu", "threads=1", "logger=none", "trainer.max_epochs=4"]


def cases(given: Given) -> Iterator[Case]:
    """One for each number."""
    found: dict[int, list[Mapping[str, float]]] = {}

    def kept(number: int) -> Mapping[str, float]:
        made = rows(number, 10, given)
        found.setdefault(number, []).append(made)
        return made

    for number in SAMPLES:
        yield Case(f"{number:,} samples", together=partial(kept, number), unit="", ratios=False)
    if given.picture and found:
        draw(found, given.picture)
    for number in CLASSES:
        yield Case(
            f"{number:,} classes", together=partial(rows, 100_000, number, given), unit="", ratios=False
        )
    for number in LENGTHS:
        yield Case(f"{number:,} tokens", together=partial(texts, number, given), unit="", ratios=False)
    for number in RUNS:
        folder = given.scratch / f"runs{number}"
        if given.only in (name := f"report of {number:,} runs"):
            report.make(folder / "runs", number)
        yield Case(name, together=partial(report.once, folder, []), unit="", ratios=False)
        shutil.rmtree(folder, ignore_errors=True)
    for policy in POLICIES:
        together = partial(in_process, plan, policy)
        yield Case(
            f"a plan of {PLANNED:,} labels, {policy}", together=together, unit="", ratios=False, once=True
        )


def rows(samples: int, classes: int, given: Given) -> Mapping[str, float]:
    """Of rows of numbers."""
    source = [f"data.source._target_={__name__}.Rows", f"+data.source.samples={samples}"]
    words = ["data=digits", *source, f"+data.source.classes={classes}", "model=table_mlp", "split=given"]
    return trained([*words, "batch_size=4096", "data.eval_batch_size=4096"], given)


def texts(length: int, given: Given) -> Mapping[str, float]:
    """Of texts of so many tokens."""
    words = ["data=planted_text", "model=lstm", "data.source.samples=500", "batch_size=50"]
    return trained([*words, f"data.source.min_words={length}", f"data.source.max_words={length}"], given)


def trained(words: list[str], given: Given) -> Mapping[str, float]:
    """Of a training with these words."""
    options = [*words, *QUICK, *given.overrides]
    with tempfile.TemporaryDirectory(dir=given.scratch) as cache:
        found: Mapping[str, float] = in_process(epochs, [*options, f"cache={cache}"], cwd=given.scratch)
    return found


def epochs(options: list[str]) -> dict[str, float]:
    """CPU seconds of an epoch's training steps; MB above the imports, and by how many the last two epochs differ."""
    from leyden.utils.runtime import load_torch

    load_torch()
    before, memory = own_memory(), []
    times, _ = timed_epochs(options, lambda: memory.append(own_memory() - before), time.process_time)
    return {
        "CPU s an epoch": statistics.median(times[1:]),
        "MB": max(memory),
        "MB more an epoch": memory[-1] - memory[-2],
    }


def own_memory() -> float:
    """MB of this process without mapped files and without freed memory, which the allocator keeps for later."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024 / 1e6


class Rows:
    """Rows of 16 random numbers, of which the class depends on the first.

    Args:
        samples: how many.
        classes: equally likely.
    """

    modality: ClassVar[Any] = TABULAR

    def __init__(self, samples: int, classes: int) -> None:
        self.samples, self.classes = samples, classes

    @cached_property
    def _block(self) -> Any:
        return np.random.default_rng(0).normal(size=(10_000, NUMBERS)).astype(np.float32)

    def fingerprint(self, cache: Path) -> str:
        """Of both numbers; writes the columns, since ten million rows decoded one by one take minutes."""
        from leyden.data import cache as stored
        from leyden.data.table import SkippedInputs

        name = f"{self.samples:016x}{self.classes:016x}"
        folder = cache / name
        if not folder.exists():
            folder.mkdir(parents=True)
            values = np.lib.format.open_memmap(
                folder / "values.npy", "w+", np.float32, (self.samples, NUMBERS)
            )
            for begin in range(0, self.samples, len(self._block)):
                values[begin : begin + len(self._block)] = self._block[: self.samples - begin]
            facts = {"kind": "dense", "shape": [NUMBERS], "source": "Rows", "inputs": self.samples}
            more = {"facts": self.facts(), "bytes": values.nbytes}
            stored._write(folder, self.index(), {**facts, **more}, SkippedInputs())
        return name

    def index(self) -> Any:
        """One row in a hundred is for validation, one for testing; others in each repetition of the block."""
        from leyden.data.index import Index, PackedStrings

        ranks = np.argsort(np.argsort(self._block[:, 0]))
        targets = np.resize(ranks * self.classes // len(ranks), self.samples)
        place = (np.arange(self.samples) + np.arange(self.samples) // len(ranks)) % 100
        split = np.select([place == 0, place == 1], [1, 2], 0).astype(np.int8)
        names = PackedStrings(np.zeros(0, np.uint8), np.zeros(self.samples + 1, np.int64))
        return Index(targets, tuple(map(str, range(self.classes))), split=split, names=names)

    def decode(self, row: int) -> Any:
        """float32 (16,)."""
        return self._block[row % len(self._block)]

    def facts(self) -> dict[str, Any]:
        """Names of the numbers."""
        return {"numbers": [f"x{i}" for i in range(NUMBERS)], "categories": {}}


def draw(found: Mapping[int, list[Mapping[str, float]]], file: Path) -> None:
    """Seconds and memory over the number of samples, medians, with a line of slope one through the last."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    numbers = sorted(found)
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axes, name in zip(panels, ("CPU s an epoch", "MB"), strict=True):
        values = [statistics.median(one[name] for one in found[number]) for number in numbers]
        axes.loglog(numbers, values, "o-", label="measured")
        if name == "CPU s an epoch":
            axes.loglog(numbers, [values[-1] * n / numbers[-1] for n in numbers], ":", label="in proportion")
            axes.legend()
        else:
            axes.set_ylim(1, 10 * max(values))
        axes.set(xlabel="samples of 16 numbers", ylabel=name, title=name)
        axes.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)


def plan(policy: str) -> dict[str, float]:
    """Seconds to build the order of long-tailed labels and its first two epochs; MB; the prior ledger of 200 epochs."""
    from leyden.data import sampling_policies
    from leyden.data.sampler import EpochSampler
    from leyden.imbalance.class_prior import Ledger

    made = getattr(sampling_policies, policy)(*([0.0] if policy == "Power" else []))
    classes, length = 1_000, 200
    profile = float(IMBALANCE) ** -np.linspace(0, 1, classes)
    edges = np.rint(PLANNED * np.cumsum(profile) / profile.sum()).astype(np.int64)
    labels = np.repeat(np.arange(classes), np.diff(edges, prepend=0))
    np.random.default_rng(0).shuffle(labels)
    before, times = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, [time.perf_counter()]
    sampler = EpochSampler(labels, classes, made, seed=1, epochs=length)
    times.append(time.perf_counter())
    for epoch in (0, 1):
        sampler.epoch(epoch)
        times.append(time.perf_counter())
    rise = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    offsets = np.log(np.maximum(sampler.counts, 1))
    Ledger.of(sampler.counts.tolist(), sampler.prior, lambda epoch: (np.zeros(classes), offsets), length)
    times.append(time.perf_counter())
    names = ("build s", "first epoch s", "second epoch s", "prior ledger s")
    return {**dict(zip(names, np.diff(times).tolist(), strict=True)), "MB": rise}
