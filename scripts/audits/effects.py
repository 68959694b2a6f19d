"""How often the F tests of the report's main effects err, and what they find: `scripts/audit --part effects`.

    scripts/audit --part effects [--families 2000] [--kinds "common seeds"]

A family is one key of three or five values by one of two, tested as the report tests them: two keys and their pair, by
Holm, 5 %. Of families without an effect the share with a claim is printed, the type I error: at most .06 is wanted.
Runs of one seed have its luck in common, three times as large as a run's own; of folds, a fifth of the luck of a
setting is that of rows which all its folds train on. Unequal: runs of one value have five times the spread. The power
is the share of a quarter of the families in which one value's effect is claimed, of a size that a test which knew all
variances would find in .80. Seeds are fixed.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2

from leyden.reporting.comparison.effects import Effects, effects
from leyden.reporting.comparison.statistics import LEVEL, POWER

Floats = NDArray[np.float64]
SIZES, VALUES, OTHERS = (2, 3, 5, 10), (3, 5), 2
KINDS = ("common seeds", "folds or splits", "other seeds")
LUCK, UNEQUAL, SHARED = 3.0, 5.0, 0.2
OVERLAP = SHARED / (1 - SHARED)  # n_test / n_train
MOST = 0.06


@dataclass(frozen=True)
class Design:
    """Runs of one kind: a key of `values` by one of two, n runs of each; `spread`: of the last value's runs."""

    kind: str
    values: int
    n: int
    spread: float

    @property
    def spreads(self) -> Floats:
        """Of a run's own luck, by value (values, 1, 1)."""
        return np.append(np.ones(self.values - 1), self.spread)[:, None, None]

    def families(self, count: int) -> Iterator[Floats]:
        """Yield values (values, OTHERS, n) without effects."""
        rng = np.random.default_rng([KINDS.index(self.kind), self.values, self.n, round(self.spread)])
        shape = (self.values, OTHERS, self.n)
        for _ in range(count):
            own = rng.normal(size=shape)
            if self.kind == "folds or splits":
                own += OVERLAP**0.5 * rng.normal(size=(*shape[:2], 1))
            yield self.spreads * own + (self.kind != "other seeds") * LUCK * rng.normal(size=self.n)

    def test(self, family: Floats) -> Effects:
        """Test the keys a and b and their pair."""
        cells = list(np.ndindex(family.shape))
        seeds = [cell[2] if self.kind != "other seeds" else place for place, cell in enumerate(cells)]
        settings = [{"a": str(a), "b": str(b)} for a, b, _ in cells]
        overlap = OVERLAP if self.kind == "folds or splits" else 0.0
        return effects(settings, family.ravel().tolist(), seeds, overlap)

    def errors(self, count: int) -> tuple[float, float]:
        """Return the share of families with a claim, and how often the interval of a value's effect covers 0."""
        found = [self.test(family) for family in self.families(count)]
        claims = [any(_claimed(share.p) for share in (*of.keys, *of.pairs)) for of in found]
        levels = [level for of in found for key in of.keys for level in key.levels]
        held = [
            level.low <= 0 <= level.high
            for level in levels
            if level.low is not None and level.high is not None
        ]
        return float(np.mean(claims)), float(np.mean(held))

    def power(self, count: int) -> float:
        """Return the share in which the effect of the first value of a is claimed."""
        planted = np.zeros((self.values, 1, 1))
        planted[0] = self.detectable()
        keys = [self.test(family + planted).keys for family in self.families(count)]
        return float(np.mean([_claimed(key.p) for of in keys for key in of if key.names == ("a",)]))

    def detectable(self) -> float:
        """Return the difference that a chi-squared test finds in 80 %, variances known, at Holm's first step."""
        wanted = np.eye(self.values)[0] - 1 / self.values
        variances = (
            self.spreads.ravel() ** 2 / OTHERS * (1 / self.n + OVERLAP * (self.kind == "folds or splits"))
        )
        centred = np.eye(self.values) - 1 / self.values
        return (
            _noncentrality(self.values - 1)
            / (wanted @ np.linalg.pinv(centred * variances @ centred) @ wanted)
        ) ** 0.5


@cache
def _noncentrality(freedom: int) -> float:
    limit = chi2.isf(LEVEL / 3, freedom)
    return float(brentq(lambda size: ncx2.sf(limit, freedom, size) - POWER, 1, 60))


def _claimed(p: float | None) -> bool:
    return p is not None and p < LEVEL


def rows(
    families: int, kinds: Sequence[str] = KINDS
) -> Iterator[tuple[str, int, list[float], list[float], list[float]]]:
    """Yield kind and n; of equal and unequal spreads the worst error, the least coverage and power over VALUES."""
    for kind in kinds:
        for n in SIZES if kind != "other seeds" else (1, *SIZES):
            erred, held, found = [], [], []
            for spread in (1.0, UNEQUAL):
                designs = [Design(kind, values, n, spread) for values in VALUES]
                errors = [design.errors(families) for design in designs]
                erred.append(max(claims for claims, _ in errors))
                held.append(min(covered for _, covered in errors))
                found.append(min(design.power(families // 4) for design in designs))
            yield kind, n, erred, held, found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each kind and number of runs; exit with status 1 if one errs in more than .06 of families."""
    parser = argparse.ArgumentParser(
        prog="scripts/audit --part effects", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--families", type=int, default=2000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    given = parser.parse_args(arguments)
    print(f"{'':24} type I: equal, unequal   intervals cover   power of {POWER:g}")
    worst = 0.0
    for kind, n, *numbers in rows(given.families, given.kinds):
        worst = max(worst, *numbers[0])
        print(
            f"{n:2} {kind:21}" + "".join(f"{'':8}{equal:5.3f} {unequal:5.3f}" for equal, unequal in numbers),
            flush=True,
        )
    print(f"largest type I error {worst:.3f}, at most {MOST} wanted")
    raise SystemExit(worst > MOST)
