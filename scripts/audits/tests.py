"""How often the tests of `leyden report` err, and what they find: `scripts/audit --part tests`.

    scripts/audit --part tests [--families 2000]

A family is a baseline and four groups, tested as the report tests them (Holm, 5 %). Of families without a difference
the share with a claim is printed, the type I error: at most .06 is wanted. The power is the share in which one true
difference is claimed, of a size that a test which knew all variances and correlations would find in .80. Random splits
and folds are of real learners: five nearest-mean classifiers, each on ten features of its own of one data set, so that
their expected accuracies are equal. Seeds are fixed.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from leyden.reporting.comparison.statistics import LEVEL, POWER, Comparison, Sample, compare, holm

Floats = NDArray[np.float64]
GROUPS = 5  # the baseline and four others
SIZES = (2, 3, 5, 10)
SPREADS = (1 / 3, 1.0, 3.0)  # of the baseline, those of the others being 1
MOST = 0.06
ROWS, FEATURES, SHIFT = 400, 10, 0.35  # of the learners' data; the shift of a class's mean
CHUNK = 50  # data sets at a time


@dataclass(frozen=True)
class Design:
    """Values of families without a difference.

    Attributes:
        values: (families, GROUPS, n) of replicates; the baseline is the first group.
        base: positions of the baseline's replicates.
        others: positions of the other groups' replicates.
        shared: n_test / n_train.
        error: true standard error of a difference, known to the test that finds 80 %.
    """

    values: Floats
    base: Sequence[int]
    others: Sequence[int]
    shared: float
    error: float

    @property
    def test(self) -> str:
        """The name of the test."""
        return self.tests(self.values[0])[0].test

    def type_one(self) -> float:
        """Return the share of families with a claim."""
        return _mean(any(self._claims(family)) for family in self.values)

    def power(self) -> float:
        """Return the share of half of the families in which a planted difference is claimed."""
        planted = (ndtri(1 - LEVEL / (GROUPS - 1) / 2) + ndtri(POWER)) * self.error
        half = self.values[: len(self.values) // 2].copy()
        half[:, 1] += planted
        return _mean(self._claims(family)[0] for family in half)

    def _claims(self, family: Floats) -> list[bool]:
        """Return which of the groups are claimed to differ from the baseline."""
        return [p is not None and p < LEVEL for p in holm([test.p for test in self.tests(family)])]

    def tests(self, family: Floats) -> list[Comparison]:
        """Compare each group with the baseline."""
        samples = [
            Sample({place: float(values[place]) for place in places}, self.shared)
            for values, places in zip(family, [self.base, *[self.others] * (GROUPS - 1)], strict=True)
        ]
        return [compare(sample, samples[0]) for sample in samples[1:]]


def _mean(values: Iterator[bool] | Sequence[bool]) -> float:
    return float(np.mean(list(values)))


def seeds(families: int, base: int, others: int, common: int, spread: float, draw: str = "normal") -> Design:
    """Independent seeds, of which `common` are of both; half of a run's variance is its seed's luck.

    draw: "accuracy" counts hits of 1,000 test samples instead, so that values repeat.
    """
    n = base + others - common
    rng = np.random.default_rng([base, others, common, round(spread * 9), len(draw)])
    luck, own = rng.normal(0, 0.5**0.5, (families, 1, n)), rng.normal(0, 0.5**0.5, (families, GROUPS, n))
    values = luck + own
    values[:, 0] *= spread
    error = _least_error(base, others, common, spread)
    if draw == "accuracy":
        values = rng.binomial(1000, 0.8 + 0.01 * values) / 1000
        error = (0.01**2 * error**2 + 0.8 * 0.2 / 1000 * (1 / base + 1 / others)) ** 0.5
    return Design(values, range(base), range(n - others, n), 0.0, error)


def _least_error(base: int, others: int, common: int, spread: float) -> float:
    """Return the standard error of the best estimate of a difference, all variances known."""
    covariance = np.array([[spread**2, 0.5 * spread], [0.5 * spread, 1.0]])
    alone = [(base - common) / spread**2, others - common]
    variance = np.linalg.inv(common * np.linalg.inv(covariance) + np.diag(alone))
    return float(np.sqrt(variance[0, 0] + variance[1, 1] - 2 * variance[0, 1]))


def learners(families: int, tested: NDArray[np.bool_], validated: NDArray[np.bool_]) -> Floats:
    """Accuracies (families, GROUPS, splits) of the nearest-mean classifiers. tested, validated: (splits, ROWS)."""
    rng, labels = np.random.default_rng(len(tested)), np.arange(ROWS) % 2
    trained = ~(tested | validated)
    of_class = [(trained & (labels == c)).astype(np.float64) for c in (0, 1)]
    found = []
    for first in range(0, families, CHUNK):
        count = min(CHUNK, families - first)
        x = rng.standard_normal((count, GROUPS, ROWS, FEATURES)) + SHIFT * labels[:, None]
        zero, one = (
            mask @ x / mask.sum(1)[:, None] for mask in of_class
        )  # (count, GROUPS, splits, FEATURES)
        normal = one - zero
        score = x @ np.swapaxes(normal, 2, 3) - ((zero + one) * normal).sum(3)[:, :, None] / 2
        right = (score > 0) == labels[:, None].astype(bool)  # (count, GROUPS, ROWS, splits)
        found.append((right & tested.T).sum(2) / tested.sum(1))
    return np.concatenate(found)


def random_splits(splits: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows are tested (20 %) and validated on (10 %), each (splits, ROWS)."""
    order = np.stack([np.random.default_rng(split).permutation(ROWS) for split in range(splits)])
    rank = np.argsort(order, axis=1)
    return rank < ROWS // 5, (rank >= ROWS // 5) & (rank < ROWS * 3 // 10)


def folds(k: int, repeats: int = 1) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the same of k folds, with a tenth of the rest for validation."""
    tested, validated = [], []
    for repeat in range(repeats):
        order = np.random.default_rng(repeat).permutation(ROWS)
        for part in np.array_split(order, k):
            rest = order[~np.isin(order, part)]
            tested.append(np.isin(np.arange(ROWS), part))
            validated.append(np.isin(np.arange(ROWS), rest[: len(rest) // 10]))
    return np.array(tested), np.array(validated)


def splits(
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]], values: Floats, base: int, others: int
) -> Design:
    """The first `base` splits for the baseline, the last `others` for the others, of one seed each."""
    tested, validated = masks
    shared = float((tested.sum(1) / (~(tested | validated)).sum(1)).mean())
    n = len(tested)
    difference = values[:, 1:, n - others :].mean(2) - values[:, :1, :base].mean(2)
    return Design(values, range(base), range(n - others, n), shared, float(difference.std()))


def coverage(design: Design) -> float:
    """Return how often the interval of a mean, where there is one, holds the mean over all families."""
    truth = design.values.mean()
    found = [
        Sample(dict(enumerate(map(float, values))), design.shared).summary()
        for family in design.values
        for values in family[:2, list(design.others)]
    ]
    return _mean(s.low <= truth <= s.high for s in found if s.low is not None and s.high is not None)


def of_seeds(families: int) -> Iterator[tuple[str, Sequence[Design]]]:
    """Yield the designs over seeds on one split; of several, by the baseline's spread, the worst counts."""
    for draw in ("normal", "accuracy"):
        for n in SIZES:
            yield f"{n} common seeds, {draw}", [seeds(families, n, n, n, 1.0, draw)]
            yield f"{n} and {n} seeds, {draw}", [seeds(families, n, n, 0, s, draw) for s in SPREADS]
    for base in SIZES:
        for others in SIZES:
            if base != others:
                name = f"{base} (baseline) and {others} seeds"
                yield name, [seeds(families, base, others, 0, s) for s in SPREADS]
    for base, others, common in (
        (10, 10, 2),
        (10, 10, 5),
        (10, 10, 8),
        (5, 5, 3),
        (5, 5, 4),
        (3, 3, 2),
        (10, 5, 3),
    ):
        name = f"{base} and {others} seeds, {common} of them common"
        yield name, [seeds(families, base, others, common, s) for s in SPREADS]


def of_splits(families: int) -> Iterator[tuple[str, Design]]:
    """Yield the designs over random splits and folds."""
    masks = random_splits(20)
    values = learners(families, *masks)
    for n in SIZES:
        first = (masks[0][:n], masks[1][:n])
        yield f"{n} random splits", splits(first, values[:, :, :n], n, n)
        twice = (masks[0][: 2 * n], masks[1][: 2 * n])
        yield f"{n} and {n} other random splits", splits(twice, values[:, :, : 2 * n], n, n)
    noisy = values[:, :, :5] + np.random.default_rng(1).normal(0, 0.02, (families, GROUPS, 5, 3)).mean(3)
    yield "5 random splits, means of 3 seeds", splits((masks[0][:5], masks[1][:5]), noisy, 5, 5)
    partly = (masks[0][:7], masks[1][:7])
    yield "5 and 5 random splits, 3 of them common", splits(partly, values[:, :, :7], 5, 5)
    for k, repeats in ((2, 1), (3, 1), (5, 1), (10, 1), (5, 2)):
        masks = folds(k, repeats)
        name = f"{k} folds" if repeats == 1 else f"{repeats} x {k} folds"
        yield name, splits(masks, learners(families, *masks), k * repeats, k * repeats)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each design; exit with status 1 if one errs in more than .06 of families."""
    parser = argparse.ArgumentParser(
        prog="scripts/audit --part tests", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--families", type=int, default=2000)
    families = parser.parse_args(arguments).families
    print(f"{'':44} {'test':16} type I  power of {POWER:g}")
    worst = 0.0
    for name, designs in of_seeds(families):
        erred, typical = max(design.type_one() for design in designs), designs[len(designs) // 2]
        worst = max(worst, erred)
        print(f"{name:44} {typical.test:16} {erred:6.3f}  {typical.power():5.3f}")
    print(f"{'':44} {'test':16} type I  power  interval covers")
    for name, design in of_splits(families):
        erred = design.type_one()
        worst = max(worst, erred)
        print(f"{name:44} {design.test:16} {erred:6.3f}  {design.power():5.3f}  {coverage(design):.3f}")
    print(f"largest type I error {worst:.3f}, at most {MOST} wanted")
    raise SystemExit(worst > MOST)
