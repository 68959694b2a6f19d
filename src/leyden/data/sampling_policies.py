"""How often each class is drawn: sampling policies, from class counts to shares. Pure functions, NumPy only.

Whatever the shares, `sampling.Plan` uses every sample of a class once before it uses any again, also across epochs;
so over-sampling repeats as evenly as can be, under-sampling shows all samples of a large class in time, and with
shares 1/C a plan is class-aware sampling (Shen et al. 2016, arXiv 1512.05830).
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from annotated_types import Ge, Gt, Interval, Lt
from numpy.typing import NDArray

from leyden.data.targets import kind_of, sampling_classes
from leyden.utils.errors import UserError

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


class SamplingPolicy(Protocol):
    """How often each class is drawn. A user's own is any object with these two methods."""

    def prior(self, counts: Counts, epoch: int, epochs: int) -> Shares:
        """Shares of the classes (C,) in `epoch` of `epochs`; 0 where `counts` (C,) is 0. Any positive sum."""

    def length(self, counts: Counts) -> int:
        """Samples in one epoch, the same in every epoch."""


@dataclass(frozen=True)
class Instance:
    """Plain shuffling: an epoch is a permutation of the samples."""

    def prior(self, counts: Counts, epoch: int, epochs: int) -> Shares:
        """The data's own shares (C,)."""
        return counts / counts.sum()

    def length(self, counts: Counts) -> int:
        """As many as there are samples."""
        return int(counts.sum())


@dataclass(frozen=True)
class Power:
    """Class c is drawn with probability n_c^q / sum n_i^q.

    q = 1 is instance sampling, 0.5 square-root, 0 class-balanced. Kang et al.: Decoupling representation
    and classifier for long-tailed recognition, ICLR 2020 (arXiv 1910.09217).

    Args:
        q: the power.
        length_of: "samples" draws as many as there are samples; "largest" as many as if every class had the largest
            one's count, so that at q = 0 an epoch uses each of that class's samples (class-aware sampling).
    """

    q: Annotated[float, Interval(ge=0, le=1)]
    length_of: Literal["samples", "largest"] = "samples"

    def prior(self, counts: Counts, epoch: int, epochs: int) -> Shares:
        """The shares (C,), the same in every epoch."""
        weights = np.where(counts > 0, counts.astype(np.float64) ** self.q, 0.0)
        return weights / weights.sum()

    def length(self, counts: Counts) -> int:
        """N, or C times the largest count."""
        if self.length_of == "samples":
            return int(counts.sum())
        return int(np.count_nonzero(counts) * counts.max())


@dataclass(frozen=True)
class Progressive:
    """From instance sampling in the first epoch to class-balanced in the last (Kang et al. 2020).

    p_c(t) = (1 - t/T) n_c/N + (t/T) / C, t from 0 to T = epochs - 1.
    """

    def prior(self, counts: Counts, epoch: int, epochs: int) -> Shares:
        """The shares (C,) of this epoch."""
        done = epoch / max(1, epochs - 1)
        return (1 - done) * counts / counts.sum() + done * _even(counts)

    def length(self, counts: Counts) -> int:
        """As many as there are samples."""
        return int(counts.sum())


@dataclass(frozen=True)
class UnderSampling:
    """Every class as often as the smallest; which samples of the larger ones, changes with every epoch.

    Buda et al. 2018 (arXiv 1710.05381). Short epochs: an epoch is C times the smallest count.
    """

    def prior(self, counts: Counts, epoch: int, epochs: int) -> Shares:
        """1/C each."""
        return _even(counts)

    def length(self, counts: Counts) -> int:
        """C times the smallest count."""
        there = counts[counts > 0]
        return int(len(there) * there.min())


@dataclass(frozen=True)
class RepeatFactor:
    """A class with a share f_c below the threshold t is repeated r_c = sqrt(t / f_c) times, the others once.

    Of several labels a row is repeated as often as its rarest one; its frequent labels come along. Gupta et al.: LVIS,
    CVPR 2019 (arXiv 1908.03195), section 5; t is .001 there, with 1,230 labels.
    """

    threshold: Annotated[float, Gt(0), Lt(1)] = 0.001

    def prior(self, counts: Counts, epoch: int, epochs: int) -> Shares:
        """n_c r_c, normalised."""
        repeated = self._repeated(counts)
        return repeated / repeated.sum()

    def length(self, counts: Counts) -> int:
        """sum n_c r_c, rounded."""
        return round(float(self._repeated(counts).sum()))

    def by_labels(self, targets: NDArray[np.uint8]) -> tuple[NDArray[np.int64], "GroupFactors"]:
        """Groups of rows (N,) that are repeated equally often, and their policy. targets: (N, L) of 0 and 1."""
        shares = targets.mean(axis=0)
        by_label = np.sqrt(np.maximum(1.0, self.threshold / np.where(shares > 0, shares, 1.0)))
        factors = np.where(targets > 0, by_label, 1.0).max(axis=1, initial=1.0)
        different, groups = np.unique(factors, return_inverse=True)
        return groups.astype(np.int64), GroupFactors(tuple(different.tolist()))

    def _repeated(self, counts: Counts) -> Shares:
        shares = np.where(counts > 0, counts / counts.sum(), 1.0)
        return np.asarray(counts * np.maximum(1.0, np.sqrt(self.threshold / shares)))


@dataclass(frozen=True)
class GroupFactors:
    """Group g of rows is repeated factors[g] times: what `RepeatFactor` does to rows of several labels."""

    factors: tuple[float, ...]

    def prior(self, counts: Counts, epoch: int, epochs: int) -> Shares:
        """n_g r_g, normalised."""
        repeated = counts * np.array(self.factors)
        return np.asarray(repeated / repeated.sum())

    def length(self, counts: Counts) -> int:
        """sum n_g r_g, rounded."""
        return round(float((counts * np.array(self.factors)).sum()))


@dataclass(frozen=True)
class EffectiveNumber:
    """Each sample is drawn by the inverse of its class's effective number, (1 - beta) / (1 - beta^n_c).

    Cui et al. 2019 (arXiv 1901.05555), whose weights are used for drawing here.
    """

    beta: Annotated[float, Ge(0), Lt(1)] = 0.999

    def prior(self, counts: Counts, epoch: int, epochs: int) -> Shares:
        """n_c / E_c, normalised."""
        effective = (1 - self.beta ** np.maximum(counts, 1)) / (1 - self.beta)
        weights = counts / effective
        return np.asarray(weights / weights.sum())

    def length(self, counts: Counts) -> int:
        """As many as there are samples."""
        return int(counts.sum())


@dataclass(frozen=True)
class Deferred:
    """`first` until the share `start` of the epochs is over, then `then`: deferred re-sampling (DRS).

    Cao et al. 2019 (arXiv 1906.07413): 160 of 200 epochs. The length of an epoch is that of `first` throughout.
    """

    first: SamplingPolicy = field(default_factory=Instance)
    then: SamplingPolicy = field(default_factory=lambda: Power(0.0))
    start: Annotated[float, Interval(ge=0, le=1)] = 0.8

    def prior(self, counts: Counts, epoch: int, epochs: int) -> Shares:
        """That of the policy in force."""
        now = self.first if epoch < round(self.start * epochs) else self.then
        return now.prior(counts, epoch, epochs)

    def length(self, counts: Counts) -> int:
        """That of `first`."""
        return self.first.length(counts)


def _even(counts: Counts) -> Shares:
    """1/C for each class that has samples."""
    there = (counts > 0).astype(np.float64)
    return there / there.sum()


def sampled_groups(
    targets: NDArray[Any], policy: SamplingPolicy, classes: int
) -> tuple[Counts, int, SamplingPolicy]:
    """What a policy balances: the class (N,) of each row, or groups of rows with several labels; how many there are.

    Args:
        targets: (N, ...), of the training rows.
        policy: as configured.
        classes: that the task has.

    Raises:
        UserError: the policy balances classes, and there are none.
    """
    kind = kind_of(targets)
    if kind == "classes":
        return targets, classes, policy
    if kind == "labels" and hasattr(policy, "by_labels"):
        groups, by_group = policy.by_labels(targets)
        return groups, int(groups.max()) + 1, by_group
    if not isinstance(policy, Instance):
        others = "instance or repeat_factor" if kind == "labels" else "instance"
        raise UserError(f"sampling: {type(policy).__name__} balances classes; {kind} take sampling={others}")
    return sampling_classes(targets), 1, policy
