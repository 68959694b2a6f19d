"""Three lessons as sweeps: NaN caused and fixed, overfitting caused and fixed, a gradient that vanishes.

    scripts/lessons                 # all three, half an hour on two cores
    scripts/lessons nan --jobs 1
    scripts/lessons --dry           # the commands alone

It prints the tables of docs/lessons.md. The runs stay in runs/lesson-*; the same command again does only what is left.
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from leyden.reporting.markdown import table
from leyden.runs.records import survey

LEYDEN = str(Path(sys.executable).with_name("leyden"))
QUICK = ["trainer=cpu", "threads=1", "logger=none"]

DEEP = [
    "model=mlp",
    "model.net.hidden=[256,256,256,256,256,256]",
    "model.net.dropout=0",
    "trainer.max_epochs=5",
]
NAN = [
    [*DEEP, "optimizer=sgd,adam,rmsprop", "optimizer.lr=0.001,0.01,0.1,1,10", "model.net.norm=none,batch",
     "trainer.gradient_clip_val=null,1", "seed=1,2,3"],
]  # fmt: skip

FEW = ["model=mlp", "model.net.hidden=[512,512]", "model.net.dropout=0", "optimizer=adamw", "optimizer.weight_decay=0",
       "batch_size=16", "split=stratified", "split.test=0.9", "split.val=0.05", "split.seed=${seed}", "monitor=epoch",
       "trainer.max_epochs=100", "seed=1,2,3,4,5,6,7,8,9,10"]  # fmt: skip
REMEDIES = [
    ["model.module.l1=0.0001,0.001"],
    ["optimizer.weight_decay=0.1,1"],
    ["model.net.dropout=0.25,0.5"],
    ["augment=affine"],
    ["model.net.hidden=[16],[64]"],
    ["split.test=0.8", "split.val=0.05"],
    ["split.test=0.5", "split.val=0.05"],
    ["callbacks=early_stopping", "monitor=val/loss"],
]
OVERFITTING = [
    FEW,
    *(
        [*(w for w in FEW if w.partition("=")[0] not in {r.partition("=")[0] for r in own}), *own]
        for own in REMEDIES
    ),
]

CELLS, WORDS = ("rnn", "gru", "lstm"), (10, 20, 40, 80, 160)
VANISHING = [
    ["data=planted_text", "data.source.place=first", f"data.source.min_words={','.join(map(str, WORDS))}",
     "data.source.max_words=${data.source.min_words}", "model=rnn", f"model.net.cell={','.join(CELLS)}",
     "model.net.bidirectional=false", "model.net.pooling=last", "model.net.dropout=0", "trainer.max_epochs=30",
     "seed=1,2,3"],
]  # fmt: skip

LESSONS = {"nan": NAN, "overfitting": OVERFITTING, "vanishing": VANISHING}


def main() -> int:
    """Run what is left of the lessons and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("lesson", nargs="*", choices=[[], *LESSONS], help="which; all of them")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="print the commands")
    given = parser.parse_args()
    for lesson in given.lesson or LESSONS:
        for words in commands(lesson, given.jobs):
            print("leyden", shlex.join(words[1:]), flush=True)
            if not given.dry:  # a job that fails is what the lesson is about
                subprocess.run(words, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not given.dry:
            print("\n".join(TABLES[lesson](folder(lesson))), flush=True)
    return 0


def folder(lesson: str) -> str:
    """Where a lesson's runs are."""
    return f"runs/lesson-{lesson}"


def commands(lesson: str, jobs: int) -> Iterator[list[str]]:
    """A lesson's sweeps."""
    for words in LESSONS[lesson]:
        yield [LEYDEN, "train", "-m", "--jobs", str(jobs), *words, *QUICK, f"runs={folder(lesson)}"]


# --- tables, in Markdown ---


def pivot(place: str, down: Sequence[str], across: str, names: Sequence[str]) -> Iterator[str]:
    """Mean test accuracy, and how many runs of how many stopped as not finite or diverged."""
    cells: dict[tuple[str, ...], dict[float, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for record in survey(Path(place)):
        keys = tuple(str(record.keys.get(key) or "-").rpartition(".")[2] for key in down)
        cells[keys][float(record.keys[across])].append(record.metric("test", "accuracy"))
    places = sorted({place for line in cells.values() for place in line})
    yield table(
        [*names, *(f"{place:g}" for place in places)],
        [[*key, *(cell(line[place]) for place in places)] for key, line in sorted(cells.items())],
    )


def cell(found: Sequence[float | None]) -> str:
    """A mean, and how many stopped."""
    known = [accuracy for accuracy in found if accuracy is not None]
    mean = f"{sum(known) / len(known):.3f}" if known else ""
    failed = len(found) - len(known)
    return " ".join(
        word for word in (mean, f"**{failed} of {len(found)} stopped**" if failed else "") if word
    )


def nan_table(place: str) -> Iterator[str]:
    """By optimizer, norm, clipping and rate."""
    keys = ["optimizer._target_", "model.net.norm", "trainer.gradient_clip_val"]
    yield from pivot(place, keys, "optimizer.lr", ["optimizer", "norm", "clipped at"])


def vanishing_table(place: str) -> Iterator[str]:
    """Accuracy by cell and length, and what is left of the gradient."""
    yield from pivot(place, ["model.net.cell"], "data.source.min_words", ["cell"])
    yield ""
    yield table(
        ["cell", *map(str, WORDS)],
        [[cell, *(f"{faded(cell, words):.1g}" for words in WORDS)] for cell in CELLS],
    )


def faded(cell: str, words: int) -> float:
    """Norm of the loss's gradient at the first word over that at the last, before training; median of three seeds."""
    from leyden.data.datamodule import median_length_batch
    from leyden.modules.standalone import training_loss
    from leyden.training.setup import open_session

    ratios = []
    for seed in (1, 2, 3):
        own = [
            f"data.source.min_words={words}",
            f"data.source.max_words={words}",
            f"model.net.cell={cell}",
            f"seed={seed}",
        ]
        made = open_session([*(w for w in VANISHING[0] if "," not in w and "$" not in w), *own, *QUICK])
        kept: list[Any] = []
        net: Any = made.module.net
        net.embedding.register_forward_hook(
            lambda *x, kept=kept: (x[-1].retain_grad(), kept.append(x[-1]))[0]
        )
        training_loss(made.module, median_length_batch(made.data, 64)).backward()
        norms = kept[0].grad.norm(dim=-1).mean(0)
        ratios.append(float(norms[0] / norms[-1]))
    return sorted(ratios)[1]


BASELINE = [
    *("model.net.hidden=[512,512]", "model.net.dropout=0", "optimizer.weight_decay=0", "split.test=0.9"),
    *("monitor=epoch", "model.module.l1=-", "augment.affine=-"),
]


def overfitting_table(place: str) -> Iterator[str]:
    """Against the same net without a remedy, paired by seed: accuracy, and log loss, where confidence counts."""
    for metric in ("test/accuracy", "test/log_loss"):
        words = [LEYDEN, "report", place, "--metric", metric, "--baseline", *BASELINE]
        env = {**os.environ, "COLUMNS": "100"}
        yield subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout


TABLES = {"nan": nan_table, "overfitting": overfitting_table, "vanishing": vanishing_table}

if __name__ == "__main__":
    sys.exit(main())
