"""How well wrong labels are found: planted among the training rows, ranked, flagged and counted by a run's margins.

    scripts/label_noise                             # digits, three seeds
    scripts/label_noise --data-root data            # FSDD and SMS Spam, too: a quarter of an hour on one core
    scripts/label_noise --only "digits, mlp" --shares 0,0.05,0.1 --seeds 20    # power of the finding: docs/health.md

It prints the tables of docs/errors.md and docs/health.md. The runs stay in `--runs`; the same command again does only
what is left. For each set and share of wrong labels, the least and the most of the seeds: the area under the ROC curve
of the ranking by margins, how many of the flagged labels are wrong and of the wrong ones flagged, the share that is
flagged, which estimates the share that is wrong, and how often the net's other answer was the right label; and in how
many runs the doctor has a finding.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.metrics import roc_auc_score

from leyden.health.label_noise import find_noise
from leyden.reporting.markdown import table
from leyden.runs.predictions import read_margins
from leyden.training.job import Outcome, train

QUICK = ["trainer=cpu", "threads=1", "logger=none", "checkpoint.keep=best"]
SETS = {
    "digits": ["experiment=planted_noise"],
    "digits, pairs": ["experiment=planted_noise", "data.flips=pairs"],
    "digits, mlp": ["experiment=planted_noise", "model=mlp", "trainer.max_epochs=10"],
    "digits, mixup": ["experiment=planted_noise", "augment=mixup"],
    "fsdd": ["experiment=fsdd", "trainer.max_epochs=8"],
    "sms": ["experiment=sms_spam"],
}
REAL = ("fsdd", "sms")


def main() -> int:
    """Train what is asked for, and print a row for each set and share."""
    given = _parser().parse_args()
    names = given.only.split(";") if given.only else [n for n in SETS if given.data_root or n not in REAL]
    root = [f"data_root={given.data_root}"] if given.data_root else []
    rows = []
    for name in names:
        for share in given.shares.split(","):
            words = [*SETS[name], *QUICK, *root, f"data.flipped_labels={share}", f"runs={given.runs}"]
            runs = [
                train([*words, f"seed={seed}", f"data.flip_seed={seed}"])
                for seed in range(1, given.seeds + 1)
            ]
            rows.append([name, share, *_cells(runs)])
    header = ("data", "wrong", "AUROC", "precision", "recall", "flagged", "likely label right", "findings")
    print(table(header, rows))
    return 0


def _cells(runs: Sequence[Outcome]) -> Iterator[str]:
    found = [_figures(run) for run in runs]
    for column in zip(*found, strict=True):
        known = [value for value in column if value is not None]
        least, most = (f"{value:.3f}" for value in (min(known, default=0), max(known, default=0)))
        yield "" if not known else least if least == most else f"{least} to {most}"
    yield f"{sum(any(f['id'] == 'label_noise' for f in run.result['doctor']) for run in runs)} of {len(runs)}"


def _figures(run: Outcome) -> tuple[float | None, ...]:
    """AUROC, precision, recall, flagged share, share of the wrong labels whose right one is named."""
    stored = read_margins(run.folder)
    assert stored is not None
    noise = find_noise(stored["margins"], stored["draws"], stored["labels"])
    share, flagged = noise.share, noise.flagged
    if "source_labels" not in stored:
        return None, None, None, share, None
    wrong = stored["labels"] != stored["source_labels"]
    precision = float(wrong[flagged].mean()) if flagged.any() else None
    auroc = float(roc_auc_score(wrong, -np.nan_to_num(stored["margins"])))
    named = float((stored["answers"] == stored["source_labels"])[wrong].mean())
    return auroc, precision, float(flagged[wrong].mean()), share, named


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, help="where the real sets lie")
    parser.add_argument("--only", help="names of sets, separated by semicolons: " + "; ".join(SETS))
    parser.add_argument("--shares", default="0,0.1", help="of labels that are made wrong")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", default="runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
