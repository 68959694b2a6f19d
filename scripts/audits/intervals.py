"""Coverage of the 95 % interval of every metric, over size, balance and difficulty; `scripts/audit --part intervals`.

Each cell is a population whose truth is known (from its formula, or from so large a sample that its error is a
fraction of that of the largest split), and many splits drawn from it. Counted are the splits whose metric has an
interval, and of these the ones whose interval holds the truth. Seeds are fixed: the figures do not change.
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binom

from leyden.metrics import Estimate, evaluate, ranking
from leyden.metrics.multilabel import evaluate_multilabel
from leyden.metrics.regression import evaluate_regression

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SIZES, CLASSES, RATIOS, ACCURACIES = (100, 300, 1000, 5000), (2, 10, 50), (1, 20), (0.6, 0.9, 0.98, 0.998)
BAND = (0.93, 0.97)
_DOUBLED = ", logits x 2"


@dataclass
class Cell:
    """Of one metric: splits with an interval, and how many of these hold the truth."""

    splits: int = 0
    shown: int = 0
    held: int = 0

    def add(self, estimate: Estimate, truth: float) -> None:
        """Count one split."""
        self.splits += 1
        if estimate.low is not None and estimate.high is not None:
            self.shown += 1
            # rounding alone separates a perfect score from an end
            self.held += estimate.low - 1e-9 <= truth <= estimate.high + 1e-9

    @property
    def share(self) -> float:
        """Splits with an interval."""
        return self.shown / max(self.splits, 1)

    @property
    def coverage(self) -> float:
        """Of these, those whose interval holds the truth."""
        return self.held / self.shown

    @property
    def surely_below(self) -> bool:
        """Whether a coverage of .93 itself has so few hits in less than 1 % of cases."""
        return bool(self.held < binom.ppf(0.01, self.shown, BAND[0]))

    @property
    def surely_above(self) -> bool:
        """Whether a coverage of .97 itself has so many hits in less than 1 % of cases."""
        return bool(self.held > binom.ppf(0.99, self.shown, BAND[1]))


@dataclass
class Table:
    """Cells by metric and description of the population; `scarce`: those in which less than one error is expected."""

    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    scarce: set[str] = field(default_factory=set)

    def add(self, metric: str, place: str, estimate: Estimate, truth: float | None) -> None:
        """Count one split."""
        if truth is not None:
            self.cells.setdefault(metric, {}).setdefault(place, Cell()).add(estimate, truth)


def class_shares(classes: int, ratio: float) -> Floats:
    """Shares (C,) that fall evenly, the first `ratio` times the last."""
    shares = float(ratio) ** -np.linspace(0, 1, classes)
    return np.asarray(shares / shares.sum())


def draw(n: int, shares: Floats, signal: float, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Logits (n, C) of normal inputs, their posterior's log odds: a calibrated net; and labels (n,)."""
    labels = rng.choice(len(shares), n, p=shares)
    inputs = rng.standard_normal((n, len(shares)))
    inputs[np.arange(n), labels] += signal
    return signal * inputs + np.log(shares), labels


@cache
def signal_for(classes: int, ratio: float, accuracy: float) -> float:
    """Signal by which the best answers are so accurate; where answering the largest class is, that of equal classes."""
    shares = class_shares(classes, ratio)
    if shares.max() > accuracy:
        return signal_for(classes, 1, accuracy)
    low, high = 0.0, 12.0
    for _ in range(20):
        middle = (low + high) / 2
        logits, labels = draw(40_000, shares, middle, np.random.default_rng(5))
        right = (logits.argmax(1) == labels).mean()
        low, high = (middle, high) if right < accuracy else (low, middle)
    return low


@dataclass
class ClassTruth:
    """Of a population, from a large sample: values, and by class (C,)."""

    values: dict[str, float]
    by_class: dict[str, Floats]

    def of(self, metric: str, there: NDArray[np.bool_]) -> float:
        """Averages over classes are over those `there` (C,) in the split."""
        each = self.by_class.get(metric)
        return self.values[metric] if each is None else float(each[there].mean())


def class_truth(logits: Floats, labels: Ints, calibrated: bool) -> ClassTruth:
    """Of a large sample."""
    names = [str(c) for c in range(logits.shape[1])]
    found = evaluate(logits, labels, names, intervals=False)
    values = found.scalars()
    if calibrated:
        values["ece"] = 0.0
    rates = {
        rate: np.array([getattr(c, rate).value or 0.0 for c in found.per_class])
        for rate in ("recall", "precision", "f1")
    }
    by_class = {**rates, "balanced_accuracy": rates["recall"], "macro_f1": rates["f1"]}
    if len(names) > 2:
        largest = logits.max(1, keepdims=True)
        p = np.exp(logits - largest - np.log(np.exp(logits - largest).sum(1, keepdims=True)))
        areas = np.array([ranking.areas(ranking.rank(p[:, c], labels == c)) for c in range(len(names))])
        by_class |= {"auroc": areas[:, 0], "average_precision": areas[:, 1]}
    return ClassTruth(values, by_class)


def classification(table: Table, sizes: Sequence[int], classes: Sequence[int], splits: int) -> None:
    """Calibrated nets; of two classes overconfident ones (logits doubled), too."""
    for c, ratio, accuracy in itertools.product(classes, RATIOS, ACCURACIES):
        shares, signal = class_shares(c, ratio), signal_for(c, ratio, accuracy)
        big = draw(1_000_000 if c == 2 else 250_000, shares, signal, np.random.default_rng(7))
        truths = [
            class_truth(factor * big[0], big[1], factor == 1) for factor in ((1, 2) if c == 2 else (1,))
        ]
        for n, split in itertools.product(sizes, range(splits)):
            if split < _most(n, splits):
                rng = np.random.default_rng([c, int(ratio), int(accuracy * 1000), n, split])
                logits, labels = draw(n, shares, signal, rng)
                place = f"n {n}, {c} classes, {ratio}:1, {accuracy}"
                if n * (1 - accuracy) < 1:
                    table.scarce |= {place, place + _DOUBLED}
                one_split(table, place, logits, labels, truths[0])
                if c == 2:
                    one_split(table, place + _DOUBLED, 2 * logits, labels, truths[1], ("log_loss", "ece"))


def _most(n: int, splits: int) -> int:
    return splits if n < 5000 else min(splits, 200)


def one_split(
    table: Table, place: str, logits: Floats, labels: Ints, truth: ClassTruth, only: Sequence[str] = ()
) -> None:
    """Count every metric of one split."""
    c = logits.shape[1]
    found = evaluate(logits, labels, [str(k) for k in range(c)])
    there = np.bincount(labels, minlength=c) > 0
    for metric in only or found.values:
        if metric in truth.values:
            table.add(metric, place, found.values[metric], truth.of(metric, there))
    if not only:
        for k in {0, c // 2, c - 1}:
            row = found.per_class[k]
            for rate in ("recall", "precision", "f1"):
                if getattr(row, rate).value is not None:
                    table.add(f"{rate} of a class", place, getattr(row, rate), truth.by_class[rate][k])


def draw_labels(
    n: int, shares: Floats, signal: float, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """Logits and targets (n, L) of labels that depend on each other."""
    odds = np.log(shares / (1 - shares))
    targets = rng.random((n, len(shares))) < expit(odds + rng.standard_normal((n, 1)))
    inputs = rng.standard_normal(targets.shape) + signal * targets
    return signal * inputs - signal**2 / 2 + odds, targets


def multilabel(table: Table, sizes: Sequence[int], classes: Sequence[int], splits: int) -> None:
    """Labels as frequent as each other, and from one half down to a fortieth."""
    for c, ratio, accuracy in itertools.product(classes, RATIOS, ACCURACIES):
        shares, names = 0.5 * float(ratio) ** -np.linspace(0, 1, c), [str(k) for k in range(c)]
        signal = signal_for(2, 1, accuracy) * 2**0.5
        big = draw_labels(60_000 if c == 50 else 300_000, shares, signal, np.random.default_rng(7))
        truth = evaluate_multilabel(*big, names, intervals=False)
        for n, split in itertools.product(sizes, range(splits)):
            if split < _most(n, splits):
                rng = np.random.default_rng([c, int(ratio), int(accuracy * 1000), n, split])
                found = evaluate_multilabel(*draw_labels(n, shares, signal, rng), names)
                place = f"n {n}, {c} labels, {ratio}:1, {accuracy}"
                if n * (1 - accuracy) < 1:
                    table.scarce.add(place)
                count_labels(table, place, found, truth)


def count_labels(table: Table, place: str, found: Any, truth: Any) -> None:
    """Count every metric of one split; where a label is not in the split, its averages are of other labels."""
    complete = all(0 < row.n < found.n for row in found.per_label)
    for metric, estimate in found.values.items():
        if estimate.value is not None and (
            complete or metric not in ("average_precision", "auroc", "macro_f1")
        ):
            table.add(metric, place, estimate, truth.values[metric].value)
    for k in {0, len(found.per_label) - 1}:
        for rate in ("f1", "average_precision"):
            estimate = getattr(found.per_label[k], rate)
            if estimate.value is not None:
                table.add(f"{rate} of a label", place, estimate, getattr(truth.per_label[k], rate).value)


NOISES = ("normal", "t of 4", "lognormal")


def draw_values(n: int, noise: str, r2: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Predictions and truth (n, 1): errors normal, heavy-tailed, or skewed, targets too."""
    base, error = rng.standard_normal((2, n, 1))
    if noise == "t of 4":
        error = rng.standard_t(4, (n, 1)) / 2**0.5
    if noise == "lognormal":
        base, error = np.exp(base / 2), np.exp(error / 2) - np.exp(1 / 8)
    spread = float(np.exp(0.25) * (np.exp(0.25) - 1)) ** 0.5 if noise == "lognormal" else 1.0
    scale = (1 / r2 - 1) ** 0.5
    return base, base + scale * error * (spread if noise != "lognormal" else 1.0)


def regression(table: Table, sizes: Sequence[int], splits: int) -> None:
    """One value; its R2 from .36 to .996."""
    for noise in NOISES:
        for r2 in (0.36, 0.81, 0.96, 0.996):
            truth = evaluate_regression(
                *draw_values(2_000_000, noise, r2, np.random.default_rng(7)), ["y"], intervals=False
            )
            for n in sizes:
                for split in range(splits):
                    rng = np.random.default_rng([NOISES.index(noise), int(1000 * r2), n, split])
                    found = evaluate_regression(*draw_values(n, noise, r2, rng), ["y"])
                    for metric, estimate in found.values.items():
                        table.add(
                            metric, f"n {n}, errors {noise}, R2 {r2}", estimate, truth.values[metric].value
                        )


def rows(table: Table, least: int) -> Iterator[str]:
    """A Markdown table: of each metric the cells of `least` intervals or more, coverage and where it misses.

    In brackets those in which an error or more is expected: with less, counts leave no coverage between .93 and .97.
    """
    yield (
        "| metric | cells | shown | coverage: least | median | most | .93 to .97 | above | surely above (with errors) "
        "| below | surely below |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for metric, places in table.cells.items():
        there = {place: cell for place, cell in places.items() if cell.shown >= least}
        if not there:
            yield f"| `{metric}` | {len(places)} | 0 | | | | | | | | |"
            continue
        covered = np.array([cell.coverage for cell in there.values()])
        shown = np.mean([cell.share for cell in places.values()])
        above, below = (covered > BAND[1]).sum(), (covered < BAND[0]).sum()
        over = {place for place, cell in there.items() if cell.surely_above}
        under = sum(cell.surely_below for cell in there.values())
        numbers = [f"{v:.3f}".lstrip("0") for v in (covered.min(), np.median(covered), covered.max())]
        yield (
            f"| `{metric}` | {len(places)} | {100 * shown:.0f} % | {' | '.join(numbers)} "
            f"| {len(there) - above - below} | {above} | {len(over)} ({len(over - table.scarce)}) | {below} | {under} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each task; with --cells each cell's share with an interval and coverage."""
    parser = argparse.ArgumentParser(
        prog="scripts/audit --part intervals", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--tasks", nargs="+", default=["classification", "multilabel", "regression"])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--classes", nargs="+", type=int, default=CLASSES)
    parser.add_argument(
        "--splits", type=int, default=400, help="per cell; of 5,000 samples at most 200, but of regression"
    )
    parser.add_argument("--least", type=int, default=60, help="intervals of a cell that counts")
    parser.add_argument("--cells", action="store_true", help="print every cell, not the table alone")
    given = parser.parse_args(arguments)
    for task in given.tasks:
        table = Table()
        if task == "regression":
            regression(table, given.sizes, given.splits)
        else:
            (classification if task == "classification" else multilabel)(
                table, given.sizes, given.classes, given.splits
            )
        print(f"\n{task}\n")
        for metric, places in table.cells.items() if given.cells else ():
            for place, cell in places.items():
                held = f"{cell.coverage:.3f}" if cell.shown else "-"
                sure = " surely above" * cell.surely_above + " surely below" * cell.surely_below
                print(f"{metric:24} {place:44} shown {cell.share:.3f}  coverage {held}{sure}")
        print("\n".join(rows(table, given.least)))
