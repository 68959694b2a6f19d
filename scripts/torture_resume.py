"""Kills training runs with SIGKILL and resumes them: scripts/torture_resume [--kills N] [--seed S].

Images, text and audio (tiny generated sets), workers 0 and 2 (images and audio are then decoded by worker
processes; texts are columns always). Each is trained uninterrupted, and again in runs that are killed: by themselves at
chosen moments (in a batch, half-way through writing a checkpoint, between its renames, in a validation, on the last
batch of an epoch, twice in one epoch, in the final evaluation), and from outside at a random time. A killed run is
started again by the same command until it ends. Its weights, optimizer, metrics.csv, TensorBoard scalars, predictions
and result must be those of the uninterrupted run, bit for bit. Under compute=auto, the runs of which all begin with one
thread and go on with two after the first epoch, as if that had been found to be faster.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

MODALITIES = {
    "image": [
        *("data=planted_images", "data.source.samples=230", "data.source.size=12", "model=mlp"),
        *("model.net.dropout=0.3", "augment=crop_flip", "scheduler=cosine"),
    ],
    "text": [
        *("data=planted_text", "data.source.samples=300", "model=lstm", "model.net.dropout=0.3"),
        *(
            "augment=token_dropout",
            "scheduler=plateau",
            "scheduler.patience=0",
            "trainer.val_check_interval=0.5",
        ),
    ],
    "audio": [
        *("data=planted_audio", "data.source.samples=230", "data.source.max_seconds=0.6", "model=logmel_cnn"),
        *("augment=spec_augment", "scheduler=one_cycle", "trainer.accumulate_grad_batches=2"),
    ],
}
COMMON = [
    *("trainer=cpu", "trainer.max_epochs=2", "batch_size=16", "trainer.log_every_n_steps=3"),
    "logger=tensorboard",
]
OFTEN = ["checkpoint_steps=2"]
ONE_THREAD = {"threads": 1, "memory_format": "contiguous", "precision": "32-true", "changes": []}
FROM_OUTSIDE = 3  # of ten kills
STUCK = 300.0  # seconds after which a run counts as hanging


class Cell(NamedTuple):
    """One configuration, trained uninterrupted."""

    modality: str
    workers: int
    words: list[str]
    uninterrupted: Path
    steps: int
    seconds: float  # of a whole process, the moments from outside lie within
    compute: dict[str, Any]  # one thread, and from the second epoch on two

    @property
    def epoch(self) -> int:
        """Steps of an epoch."""
        return self.steps // 2


class Died(NamedTuple):
    """A kill that happened."""

    cell: Cell
    moment: str
    number: int  # of the broken run that it happened to


def main() -> int:
    """Torture every cell; print a table; exit status 1 if a run is not identical."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=60, help="SIGKILLs in all (60)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    parser.add_argument("--modality", choices=MODALITIES, action="append", help="default: all three")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "2"
    from leyden.utils.runtime import load_torch

    load_torch()
    modalities = given.modality or list(MODALITIES)
    cells = [(modality, workers) for modality in modalities for workers in (0, 2)]
    died: list[Died] = []
    wrong: dict[tuple[str, int, int], str] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="leyden-torture-") as scratch:
        os.chdir(scratch)
        os.environ["LEYDEN_CACHE"] = str(Path(scratch) / "cache")
        for number, (modality, workers) in enumerate(cells):
            share = given.kills * (number + 1) // len(cells) - given.kills * number // len(cells)
            cell = uninterrupted(modality, workers)
            for kill, difference in torture(cell, share, random.Random(f"{given.seed} {number}")):
                died.append(kill)
                if difference:
                    wrong[(modality, workers, kill.number)] = difference
    return verdict(died, wrong, time.monotonic() - began)


def uninterrupted(modality: str, workers: int) -> Cell:
    """Train without a kill."""
    from leyden.runs.records import read
    from leyden.training.resume_check import fault_injection

    files = [f"data.workers={workers}", *(["data.limit_gb=1e-6"] if workers else [])]
    words = [*MODALITIES[modality], *COMMON, *files]
    log = Path(f"{modality}-{workers}.log")
    compute: dict[str, Any] = dict(ONE_THREAD)
    for name in ("first", "uninterrupted"):  # the first fills the cache, so that the next one's time is right
        runs, began = Path(f"{modality}-{workers}-{name}"), time.monotonic()
        if fault_injection.train([*words, f"runs={runs}"], log, None, compute) != 0:
            sys.exit(f"the run fails without being killed:\n{log.read_text()[-2000:]}")
        (folder,) = (path.parent for path in runs.glob("*/*/result.json"))
        steps, seconds = int(read(folder).result["cost"]["steps"]), time.monotonic() - began
        compute["changes"] = [{"epoch": 0, "step": steps // 2, "threads": 2, "reason": "torture"}]
    return Cell(modality, workers, words, folder, steps, seconds, compute)


def plan(cell: Cell, kills: int, rng: random.Random) -> list[Any]:
    """The kills of a cell, in turn; None: from outside. First twice in one epoch, then the named moments, then any."""
    from leyden.training.resume_check.fault_injection import MOMENTS, Kill

    epoch, last = cell.epoch, cell.steps
    fixed = [
        *(Kill("step", epoch), Kill("validation", epoch), Kill("linking", epoch), Kill("epoch", last)),
        *(Kill("evaluation", last), Kill("result", last)),
    ]
    twice = [Kill("step", 3), Kill("backward", 5)]
    pool = [m for m in MOMENTS if m not in ("evaluation", "result", "linking")]
    free = [Kill(rng.choice(pool), rng.randint(1, last)) for _ in range(kills)]
    writing = [Kill(m, rng.randint(1, last)) for m in ("saving", "saved", "moved", "forward")]
    chosen = [*rng.sample([*fixed, *writing], len(fixed) + len(writing)), *free]
    outside = kills * FROM_OUTSIDE // 10
    rest = chosen[: max(0, kills - outside - len(twice))]
    first, second = (
        [*twice[: kills - outside], *rest[1::2]],
        rest[::2],
    )  # two broken runs, one killed twice in an epoch
    runs = [sorted(run, key=lambda kill: kill.step) for run in (first, second)]
    mixed: list[Any] = []
    for number, run in enumerate(runs):
        mixed += [*run, *[None] * (outside // len(runs) + (number < outside % len(runs))), "new run"]
    return mixed


def torture(cell: Cell, kills: int, rng: random.Random) -> Iterator[tuple[Died, str]]:
    """Each kill, with what is different in the run that it happened to."""
    from leyden.training.resume_check import fault_injection

    number, suffered = 0, list[Died]()
    for kill in plan(cell, kills, rng):
        if kill == "new run":
            yield from finish(cell, number, suffered)
            number, suffered = number + 1, []
            continue
        runs, log = broken(cell, number), Path(f"{cell.modality}-{cell.workers}-{number}.log")
        while True:
            process = fault_injection.start([*cell.words, *OFTEN, f"runs={runs}"], log, kill, cell.compute)
            if kill is None:
                from_outside(process, rng.uniform(0.1, 0.95) * cell.seconds)
            process.join(STUCK)
            if process.is_alive():
                sys.exit(f"{runs} hangs")
            if process.exitcode == fault_injection.KILLED:
                suffered.append(Died(cell, "from outside" if kill is None else kill.moment, number))
                break
            if process.exitcode != 0:
                sys.exit(f"a resumed run fails:\n{log.read_text()[-2000:]}")
            yield from finish(
                cell, number, suffered
            )  # it was over before the kill came: the next run gets it
            number, suffered = number + 1, []
            runs, log = broken(cell, number), Path(f"{cell.modality}-{cell.workers}-{number}.log")


def broken(cell: Cell, number: int) -> Path:
    """The folder of a cell's broken run."""
    return Path(f"{cell.modality}-{cell.workers}-broken{number}")


def from_outside(process: Any, delay: float) -> None:
    """Kill after so many seconds, unless it ends before."""
    process.join(delay)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)


def finish(cell: Cell, number: int, suffered: Sequence[Died]) -> Iterator[tuple[Died, str]]:
    """Let the run end, and compare it."""
    from leyden.training.resume_check import fault_injection
    from leyden.training.resume_check.compare_runs import compare

    if not suffered:
        return
    runs, log = broken(cell, number), Path(f"{cell.modality}-{cell.workers}-{number}.log")
    if fault_injection.train([*cell.words, f"runs={runs}"], log, None, cell.compute) != 0:
        sys.exit(f"a resumed run fails:\n{log.read_text()[-2000:]}")
    (folder,) = (path.parent for path in runs.glob("*/*/result.json"))
    different = [
        f"{part.name}: {part.difference}" for part in compare(cell.uninterrupted, folder) if part.difference
    ]
    left = [p.name for p in folder.rglob(".*") if p.name != ".lock"]
    left += [name for name in ("writing.ckpt", "best.link") if (folder / "checkpoints" / name).exists()]
    problem = next(iter([*different, *(f"left behind: {name}" for name in left)]), "")
    moments = ", ".join(kill.moment for kill in suffered)
    print(f"{cell.modality:5}  workers {cell.workers}  {moments}: {problem or 'identical'}", flush=True)
    shutil.rmtree(runs)
    yield from ((kill, problem) for kill in suffered)


def verdict(died: Sequence[Died], wrong: dict[tuple[str, int, int], str], seconds: float) -> int:
    """Print how many kills of each kind there were, and how many ended in an identical run."""
    names = sorted({kill.moment for kill in died})
    columns = sorted({(kill.cell.modality, kill.cell.workers) for kill in died})
    print("\n" + " " * 14 + "".join(f"{modality} {workers:<3}".rjust(10) for modality, workers in columns))
    for name in names:
        counts = [
            sum((k.cell.modality, k.cell.workers, k.moment) == (*c, name) for k in died) for c in columns
        ]
        print(f"{name:14}" + "".join(f"{count:10}" for count in counts))
    bad = sum((k.cell.modality, k.cell.workers, k.number) in wrong for k in died)
    print(f"\n{len(died) - bad} of {len(died)} identical, {seconds / 60:.1f} minutes")
    for (modality, workers, number), difference in wrong.items():
        print(f"{modality}, workers {workers}, run {number}: {difference}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
