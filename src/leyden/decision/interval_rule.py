"""Rules of group `decision` for task=regression: conformal intervals, whose radius is chosen on validation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray
from pydantic import TypeAdapter

from leyden.decision.conformal import conformal_radius, coverage_band
from leyden.metrics.intervals import wilson
from leyden.metrics.results import Estimate
from leyden.utils.errors import UserError

Floats = NDArray[np.float64]
_LEVEL = 0.99  # of the band that the measured coverage is held against


@dataclass(frozen=True)
class ConformalIntervals:
    """value - radius to value + radius, for each target.

    Attributes:
        radius: (K,) in the targets' units; (): no intervals.
        alpha: share of targets that may lie outside.
        n: validation rows that the radius was chosen on.
        held_out: metrics that say nothing of these rows.
    """

    held_out: ClassVar[tuple[str, ...]] = ("coverage_band_low", "coverage_band_high")

    radius: tuple[float, ...] = ()
    alpha: float = 0.1
    n: int = 0

    @property
    def is_neutral(self) -> bool:
        """Whether there are no intervals."""
        return not self.radius

    def bounds(self, values: Floats) -> tuple[Floats, Floats]:
        """(low, high), each (N, K)."""
        radius = np.array(self.radius)
        return values - radius, values + radius

    def band(self, n: int) -> dict[str, Estimate]:
        """Where the coverage of n rows lies in 99 % of cases if these rows and those of the radius are exchangeable.

        Beta-binomial, given the numbers of calibration and evaluation rows.
        """
        low, high = coverage_band(self.n, n, self.alpha, _LEVEL)
        return {"coverage_band_low": Estimate(low), "coverage_band_high": Estimate(high)}

    def to_dict(self) -> dict[str, Any]:
        """Lists, not tuples."""
        return {**asdict(self), "radius": list(self.radius)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "ConformalIntervals":
        """As it was before `to_dict` and JSON; ValueError where a part is missing or of another type."""
        return TypeAdapter(cls).validate_python(stored)


def coverage_of(low: Floats, high: Floats, targets: NDArray[Any]) -> dict[str, Estimate]:
    """The share of rows (N,) whose targets (N, K) all lie inside, with its interval, and the mean width."""
    inside = np.asarray(((low <= targets) & (targets <= high)).all(axis=1))
    return {
        "coverage": wilson(int(inside.sum()), len(inside)),
        "interval_width": Estimate(float(np.mean(high - low))),
    }


@dataclass(frozen=True)
class ConformalRule:
    """Split-conformal intervals that hold 1 - alpha of new targets (Vovk et al. 2005; Lei et al. 2018).

    With several targets each has an interval of level 1 - alpha / K, so that all hold together (Bonferroni).

    Args:
        alpha: share of targets that may lie outside.
    """

    task: ClassVar[str] = "regression"
    neutral: ClassVar[bool] = False
    reads_validation: ClassVar[bool] = True
    chooses_by_class: ClassVar[bool] = False

    alpha: Annotated[float, Interval(gt=0, lt=1)] = 0.1

    def fit(
        self,
        values: Floats,
        targets: NDArray[Any],
        names: Sequence[str],
        effective: Floats,
        training: Floats,
        exact: bool = True,
    ) -> ConformalIntervals:
        """Of validation values (N, K) and targets (N, K); class priors are not used.

        Raises:
            UserError: there are too few validation rows for an interval of this level.
        """
        radius = conformal_radius(np.abs(targets - values), self.alpha / len(names))
        if not np.isfinite(radius).all():
            needed = math.ceil(len(names) / self.alpha) - 1
            raise UserError(
                f"decision.alpha={self.alpha}: needs at least {needed} validation rows, there are {len(values)}; "
                "choose a larger alpha or split.val"
            )
        return ConformalIntervals(tuple(radius.tolist()), self.alpha, len(values))
