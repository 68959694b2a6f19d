"""The ledger of class priors: the class shares in the loss, and whether they were corrected more than once.

Sampling draws class c with share q_c, weights multiply its loss by w_c, offsets o_c are added to its logit in
training. Cross-entropy under all three learns the class probabilities under the prior

    p_c ~ q_c * w_c / exp(o_c)                                                                        (1)

(weights: a loss counted twice is a sample seen twice; offsets: Menon et al. 2021, arXiv 2007.07314, section 4.) Any one
of them can make p uniform. Two of them make the rarest class the most frequent, which costs more than it gains: on
2 % positives, balanced accuracy falls from .86 to .62. Margins, focal losses and CDT impose no prior.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leyden.utils.errors import UserError
from leyden.utils.text import percent

Floats = NDArray[np.float64]
Correction = tuple[Floats, Floats]  # (log weights (C,), offsets (C,))

_NONE = 0.05  # a part that moves the prior by less of the way to uniform corrects nothing
_ENOUGH = 1.1  # of the way to uniform: what two parts may do together, with room for effective numbers
_MOST_PHASES = 6  # stored; a prior that changes with every epoch is stored by its first and its last


class Phase(NamedTuple):
    """Epochs `first` to `last` in which nothing changes.

    sampled: shares (C,) that are drawn.   effective: shares (C,) in the loss, equation (1).
    degrees: how far each part alone goes from the training prior (0) to the uniform one (1), or past it.
    """

    first: int
    last: int
    sampled: Floats
    effective: Floats
    degrees: dict[str, float]


class ClassPrior(NamedTuple):
    """Class shares (C,): of the training rows, and in the loss, which are the prior of the net's outputs."""

    training: Floats
    effective: Floats

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "ClassPrior":
        """From what `Ledger.to_dict` gave."""
        return cls(np.array(stored["training"]), np.array(stored["phases"][-1]["effective"]))


@dataclass(frozen=True)
class Ledger:
    """The prior of every epoch of a run.

    Attributes:
        training: shares (C,) of the training rows.
        phases: in order, without gaps.
    """

    training: Floats
    phases: tuple[Phase, ...]

    @classmethod
    def of(
        cls,
        counts: Sequence[int],
        sampled: Callable[[int], Floats],
        correction: Callable[[int], Correction | None],
        epochs: int,
    ) -> "Ledger":
        """Follow a run through its epochs.

        Args:
            counts: training samples of each class (C,).
            sampled: the shares (C,) that the policy draws in an epoch.
            correction: what the loss in force in an epoch imposes; None: nothing.
            epochs: how many there are.
        """
        training = np.asarray(counts, dtype=np.float64) / sum(counts)
        phases: list[Phase] = []
        for epoch in range(epochs):
            now = _phase(epoch, training, sampled(epoch), correction(epoch))
            if (
                phases
                and np.array_equal(phases[-1].effective, now.effective)
                and phases[-1].degrees == now.degrees
            ):
                phases[-1] = phases[-1]._replace(last=epoch)
            else:
                phases.append(now)
        return cls(training, tuple(phases))

    @property
    def prior(self) -> "ClassPrior":
        """The prior of the trained net's probabilities: that of the last epoch."""
        return ClassPrior(self.training, self.phases[-1].effective)

    def stacked(self) -> Phase | None:
        """The first phase in which two parts together exceed the uniform prior; None: there is none."""
        return next((phase for phase in self.phases if is_overcorrected(phase.degrees)), None)

    def refuse_stacking(self, names: Mapping[str, str], classes: Sequence[str]) -> None:
        """Raise for two corrections of the same prior.

        Args:
            names: of the parts, as the user chose them: {"sampling": "sampling=balanced", ...}.
            classes: names of the classes.

        Raises:
            UserError: with the reason and what to choose instead.
        """
        phase = self.stacked()
        if phase is None:
            return
        parts = list(dict.fromkeys(names[part] for part in _active(phase.degrees)))
        rare = int(np.argmin(np.where(self.training > 0, self.training, np.inf)))
        when = "" if len(self.phases) == 1 else f" from epoch {phase.first} on"
        undone = ", or ".join(f"{_PLAIN[part.partition('=')[0]]} instead of {part}" for part in parts)
        raise UserError(
            f"{' and '.join(parts)} correct the same class prior twice{when}: {classes[rare]!r} is "
            f"{percent(self.training[rare], 2)} of the training samples and would be "
            f"{percent(phase.effective[rare], 2)} in the loss; uniform is "
            f"{percent(1 / np.count_nonzero(self.training), 2)}. "
            f"Take {undone}; allow_stacking=true permits it"
        )

    def lines(self, classes: Sequence[str]) -> Iterator[str]:
        """A line for each corrected phase; nothing if nothing is corrected."""
        there = np.flatnonzero(self.training)
        rare, often = there[np.argmin(self.training[there])], there[np.argmax(self.training[there])]
        for phase in self.phases[:1] if len(self.phases) == 1 else (self.phases[0], self.phases[-1]):
            active = _active(phase.degrees)
            if active:
                span = "" if len(self.phases) == 1 else f", epochs {phase.first} to {phase.last}"
                yield (
                    f"class prior ({', '.join(active)}{span}): {classes[rare]!r} is "
                    f"{percent(self.training[rare], 2)} of the training samples and "
                    f"{percent(phase.effective[rare], 2)} in the loss; {classes[often]!r} "
                    f"{percent(self.training[often], 2)} and "
                    f"{percent(phase.effective[often], 2)} in the loss"
                )

    def to_dict(self) -> dict[str, Any]:
        """For result.json: at most six phases; of more, the first and the last."""
        kept = self.phases if len(self.phases) <= _MOST_PHASES else (self.phases[0], self.phases[-1])
        return {
            "training": self.training.tolist(),
            "changes": len(self.phases) - 1,
            "phases": [
                {
                    "epochs": [p.first, p.last],
                    "sampled": p.sampled.tolist(),
                    "effective": p.effective.tolist(),
                    "degrees": p.degrees,
                }
                for p in kept
            ],
        }


# What to choose in place of a part that is one correction too many.
_PLAIN = {"sampling": "sampling=instance", "loss": "loss=cross_entropy"}


def effective_prior(sampled: Floats, correction: Correction | None) -> Floats:
    """Equation (1): the prior (C,) in the loss, its sum 1; 0 for a class that is never drawn."""
    if correction is None:
        return sampled / sampled.sum()
    log_weights, offsets = correction
    with np.errstate(divide="ignore"):
        # equation (1) in logarithms, (C,): log q_c + log w_c - o_c, and -inf for a class that is never drawn
        logs = np.log(sampled) + np.where(sampled > 0, log_weights - offsets, 0.0)
    # softmax over the classes
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def correction_degree(training: Floats, now: Floats) -> float:
    """How far `now` (C,) is on the way from the training prior (0) to the uniform one (1).

    The slope of log(now / training) against -log(training), by least squares over the classes that are there: a power
    n^q of the counts gives 1 - q exactly. 0 where the training prior is uniform: there is nothing to correct.
    """
    there = (training > 0) & (now > 0)
    x = np.log(training[there])
    x -= x.mean()
    moved = np.log(now[there] / training[there])
    # -sum x y / sum x^2, with x = log(training) and y = log(now / training), both centred
    spread = float(x @ x)
    return float(-(x @ (moved - moved.mean())) / spread) if spread > 1e-12 else 0.0


def is_overcorrected(degrees: Mapping[str, float]) -> bool:
    """The table of combinations: two or more parts may reach the uniform prior together, but not exceed it.

    So square-root sampling with square-root weights is one correction in two halves; balanced sampling with
    balanced softmax is two. A single part is never refused, however far it goes: it was requested.
    """
    active = _active(degrees)
    return len(active) > 1 and sum(degrees[part] for part in active) > _ENOUGH


def _active(degrees: Mapping[str, float]) -> list[str]:
    return [part for part, how_far in degrees.items() if how_far > _NONE]


def _phase(epoch: int, training: Floats, sampled: Floats, correction: Correction | None) -> Phase:
    none = np.zeros_like(training)
    log_weights, offsets = (none, none) if correction is None else correction
    degrees = {
        "sampling": correction_degree(training, sampled),
        "weights": correction_degree(training, effective_prior(training, (log_weights, none))),
        "offsets": correction_degree(training, effective_prior(training, (none, offsets))),
    }
    rounded = {part: round(value, 6) for part, value in degrees.items()}
    return Phase(epoch, epoch, sampled, effective_prior(sampled, correction), rounded)
