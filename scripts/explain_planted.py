"""How well methods of attribution find planted signals: three modalities, several seeds, trained and untrained nets.

    scripts/explain_planted                     # 5 seeds, 300 rows of each; some minutes for each modality
    scripts/explain_planted --set text --seeds 1 --rows 50

Trains a net for each seed (data and weights), then measures rows that it answers rightly. Prints a table in Markdown;
runs that are there are not trained again. Exit status 1 if a mean over the seeds misses its bound.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import leyden
from leyden.inference.load import load
from leyden.interpretation.planted import check_run
from leyden.runs.explain_check import ExplainCheck, MethodCheck


class Case(NamedTuple):
    """A set: the words of its runs, the methods, and occlusion's window ((): the default)."""

    words: Sequence[str]
    methods: Sequence[str]
    window: Sequence[int] = ()


BOTH = ("integrated_gradients", "occlusion")
SMALL = [*("data.source.size=20", "data.source.samples=2400", "optimizer.lr=0.003", "trainer.max_epochs=8")]
SETS = {
    "images": Case(["experiment=planted_images", "data.source.samples=2400"], (*BOTH, "grad_cam")),
    "images, 20 x 20, two blocks, max-pooled": Case(
        ["experiment=planted_images", *SMALL, "model.net.widths=[16,32]", "model.net.pooling=max"],
        (*BOTH, "grad_cam"),
    ),
    "text": Case(["experiment=planted_text", "data.source.samples=2400", "trainer.max_epochs=20"], BOTH),
    "audio": Case(
        [
            *("experiment=planted_audio", "data.source.samples=1600", "data.source.clutter=3"),
            *("data.source.min_seconds=0.3", "data.source.max_seconds=0.4"),
            *("model.frontend.n_mels=32", "model.net.widths=[8,16,32]", "trainer.max_epochs=15"),
        ],
        BOTH,
        (3, 8),
    ),
}
# method -> least pointing, least mass; and by how much the pointing must exceed the untrained net's
BOUNDS = {"integrated_gradients": (0.97, 0.60), "occlusion": (0.93, 0.40)}
ADVANTAGE = 0.45


def main() -> int:
    """Measure, print, compare with the bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--set", choices=SETS, action="append", help="default: all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=300, help="measured for each seed")
    parser.add_argument("--runs", type=Path, default=Path("runs/explain_planted"))
    given = parser.parse_args()
    missed = []
    columns = ("set", "method", "rows a seed", "pointing", "mass", "pointing, untrained", "trusted")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in given.set or SETS:
        found = [measure(SETS[name], seed, given.rows, given.runs) for seed in range(1, given.seeds + 1)]
        for method in SETS[name].methods:
            line, short = summary(name, method, found)
            print(line, flush=True)
            missed += short
    print("\n".join(["", *(missed or ["every bound is met"])]))
    return int(bool(missed))


def measure(case: Case, seed: int, rows: int, runs: Path) -> ExplainCheck:
    """One seed: train, or find the run, and measure."""
    words = [*case.words, f"seed={seed}", f"data.source.seed={seed}", f"runs={runs}"]
    outcome = leyden.train([*words, "logger=none", "threads=1", "trainer=cpu"])
    run = load(outcome.folder)
    return check_run(run, methods=case.methods, rows=rows, window=case.window)


def summary(name: str, method: str, found: Sequence[ExplainCheck]) -> tuple[str, list[str]]:
    """A line of the table, mean (least) over the seeds, and the bounds that are missed."""
    each = [one.methods[method] for one in found]
    rows = min(one.rows for one in found)
    pointing, untrained = (
        [getattr(m, key).value for m in each] for key in ("pointing", "untrained_pointing")
    )
    masses = [m.mass for m in each]
    shown = [f"{statistics.mean(v):.3f} ({min(v):.2f})" for v in (pointing, masses)]
    trusted = f"{sum(m.is_trusted for m in each)} of {len(each)}"
    line = (
        f"| {name} | {method} | {rows} | {' | '.join(shown)} | {statistics.mean(untrained):.3f} | {trusted} |"
    )
    return line, _missed(name, method, each)


def _missed(name: str, method: str, each: Sequence[MethodCheck]) -> list[str]:
    if method not in BOUNDS:
        return []
    pointing = statistics.mean(m.pointing.value for m in each)
    advantage = pointing - statistics.mean(m.untrained_pointing.value for m in each)
    mass = statistics.mean(m.mass for m in each)
    values = {"pointing": pointing, "mass": mass, "pointing above untrained": advantage}
    bounds = dict(zip(values, (*BOUNDS[method], ADVANTAGE), strict=True))
    return [
        f"missed: {name}, {method}: {what} {value:.3f}, expected {bounds[what]:.2f}"
        for what, value in values.items()
        if value < bounds[what]
    ]


if __name__ == "__main__":
    sys.exit(main())
