"""Four lessons as sweeps: NaN and overfitting, caused and fixed; a gradient that vanishes; a shortcut, found and cured.

    scripts/lessons                 # all four, three quarters of an hour on two cores
    scripts/lessons nan --jobs 1
    scripts/lessons --dry           # the commands alone

It prints the tables of docs/lessons.md. The runs stay in runs/lesson-*; the same command again does only what is left.
"""

import argparse
import math
import os
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from leyden.reporting.markdown import table
from leyden.runs.predictions import read_predictions
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

FIVE, TWENTY = "seed=1,2,3,4,5", f"seed={','.join(map(str, range(1, 21)))}"
SHORTCUT = [
    ["experiment=planted_shortcut", "data.source.seed=${seed}", *own]
    for own in (
        ["data.source.agreement=0.9", FIVE],
        ["data.source.agreement=0.5", TWENTY],
        ["data.source.covered=true", TWENTY],
    )
]

LESSONS = {"nan": NAN, "overfitting": OVERFITTING, "vanishing": VANISHING, "shortcut": SHORTCUT}


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
    from leyden.data.typical_batch import median_length_batch
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


def shortcut_table(place: str) -> Iterator[str]:
    """By training set: accuracy and slices; of the errors that bear the mark, what shows it. Means over the runs."""
    found: dict[str, list[Errors]] = defaultdict(list)
    for record in survey(Path(place)):
        is_covered = record.keys.get("data.source.covered")
        words = (
            "corner covered" if is_covered else f"agreement {record.keys.get('data.source.agreement', 0.9)}"
        )
        found[words].append(errors_of(record.folder))
    heads = ["training set", "test accuracy", "runs with a slice: test, validation", "the mark in the first"]
    yield table(
        [*heads, "IG on it", "IG highest there", "Grad-CAM highest there", "nearest row bears it"],
        [
            [
                *(words, spread(e.accuracy for e in runs)),
                ", ".join(f"{sum(map(bool, firsts))} of {len(runs)}" for firsts in firsts_of(runs)),
                ", ".join(str(sum("mark" in first for first in firsts)) for firsts in firsts_of(runs)),
                *(spread(shares) for shares in zip(*(e.shares for e in runs), strict=True)),
            ]
            for words, runs in sorted(found.items(), reverse=True)
        ],
    )
    for words, runs in sorted(found.items(), reverse=True):
        for split, firsts in zip(("test", "val"), firsts_of(runs), strict=True):
            yield f"\n{words}, {split}: {'; '.join(filter(None, firsts)) or 'no slice'}"


class Errors(NamedTuple):
    """Of a run: its test accuracy, the first slices, and of its test errors that bear the mark four mean shares.

    firsts: of the test split and of validation, in words; "": none.
    shares: of the positive part of integrated gradients on the mark; of errors whose highest place is there, by
    integrated gradients and by Grad-CAM; of errors whose nearest training row bears it. NaN: no such error.
    """

    accuracy: float
    firsts: tuple[str, str]
    shares: tuple[float, ...]


def firsts_of(runs: Sequence[Errors]) -> list[tuple[str, ...]]:
    """The first slices of all runs, of the test split and of validation."""
    return list(zip(*(errors.firsts for errors in runs), strict=True))


def errors_of(folder: Path) -> Errors:
    """What slices, maps and nearest rows say of a run on the planted shortcut."""
    import numpy as np

    from leyden.inference.load import load
    from leyden.interpretation.access import Access, open_data
    from leyden.interpretation.attribution import explain
    from leyden.interpretation.neighbours import nearest
    from leyden.modules.features import features_of

    run = load(folder)
    data = open_data(run)
    firsts = first_slice(run, data, "test"), first_slice(run, data, "val")
    stored, marked = read_predictions(folder, "test"), data.table.index.metadata["mark"] == "yes"
    rows, wrong = stored["rows"], run.task.wrong(stored)
    errors, accuracy = rows[wrong & marked[rows]], 1 - float(wrong.mean())
    if not len(errors):
        return Errors(accuracy, firsts, (math.nan,) * 4)
    view = Access(run, data).of_rows(errors)
    heat, coarse = (
        np.stack([a.values for a in explain(view, name)]) for name in ("integrated_gradients", "grad_cam")
    )
    train = data.splits.train
    near = nearest(features_of(run.module, data, train), features_of(run.module, data, errors), k=1)
    bears = float(marked[train[near.places[:, 0]]].mean())
    shares = on_mark(heat.clip(0)), on_mark(highest(heat)), on_mark(highest(coarse)), bears
    return Errors(accuracy, firsts, shares)


def first_slice(run: Any, data: Any, split: str) -> str:
    """The first slice of a loaded run's split in words; "": none."""
    from leyden.interpretation.facts import facts_of
    from leyden.interpretation.slices import slices

    stored = read_predictions(run.run.folder, split)
    known = facts_of(data, stored["rows"])
    return next((str(found) for found in slices(known.facts, run.task.wrong(stored), known.strata)), "")


def highest(maps: Any) -> Any:
    """1 at the highest place of each map (N, H, W), 0 elsewhere; shared by places that are as high."""
    top = maps == maps.max((1, 2), keepdims=True)
    return top / top.sum((1, 2), keepdims=True)


def on_mark(maps: Any) -> float:
    """The mean share of maps (N, H, W) of no negative numbers that lies on the mark."""
    from leyden.data.sources.planted_shortcut import PlantedShortcut

    top, left, height, width = PlantedShortcut.MARK
    inside = maps[:, top : top + height, left : left + width].sum((1, 2))
    return float((inside / maps.sum((1, 2)).clip(1e-12)).mean())


def spread(values: Iterable[float]) -> str:
    """The mean of those that are numbers, with the least and the most."""
    known = [value for value in values if not math.isnan(value)]
    return f"{sum(known) / len(known):.3f} ({min(known):.3f} to {max(known):.3f})" if known else ""


TABLES = {
    "nan": nan_table,
    "overfitting": overfitting_table,
    "vanishing": vanishing_table,
    "shortcut": shortcut_table,
}

if __name__ == "__main__":
    sys.exit(main())
