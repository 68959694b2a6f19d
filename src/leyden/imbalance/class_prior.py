"""The ledger of class priors: the class shares in the loss, and whether they were corrected more than once.

Sampling draws class c with share q_c, weights multiply its loss by w_c, offsets o_c are added to its logit in
training. Cross-entropy under all three learns the class probabilities under the prior

    p_c ~ q_c * w_c / exp(o_c)                                                                        (1)

(weights: a loss counted twice is a sample seen twice; offsets: Menon et al. 2021, arXiv 2007.07314, section 4.) Any one
of them can make p uniform. Two of them make the rarest class the most frequent, which costs more than it gains: on
2 % positives, balanced accuracy falls from .86 to .62.

That holds of proper losses, whose least value is at the class probabilities. Focal losses, margins, CDT and smoothed
labels impose no prior of their own in (1), and may go with any correction, but a net trained by them answers by other
shares: a linear net on noise with classes .70, .20, .10 by .60, .26, .14 (focal, gamma 2). Theirs is estimated on
validation rows (`leyden.decision.answered_prior`), and `Phase.exact` says so.

With several labels each is a decision of its own: q_l is the share of the draws that have label l, w_l the weight of
its positives, o_l the offset of its logit, (1) gives the odds p_l / (1 - p_l), and uniform is one half.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from leyden.utils.errors import UserError
from leyden.utils.text import percent

Floats = NDArray[np.float64]
Correction = tuple[Floats, Floats]  # (log weights (C,), offsets (C,)); of labels (L,), here and below

_NONE = 0.05  # a part that moves the prior by less of the way to uniform corrects nothing
_ENOUGH = 1.1  # of the way to uniform: what two parts may do together, with room for effective numbers
_MOST_PHASES = 6  # stored; a prior that changes with every epoch is stored by its first and its last


class Phase(NamedTuple):
    """Epochs `first` to `last` in which nothing changes.

    sampled: shares (C,) that are drawn.   effective: shares (C,) in the loss, equation (1).
    degrees: how far each part alone goes from the training prior (0) to the uniform one (1), or past it.
    exact: whether a net so trained answers by `effective`: its loss is proper.
    """

    first: int
    last: int
    sampled: Floats
    effective: Floats
    degrees: dict[str, float]
    exact: bool = True


class ClassPrior(NamedTuple):
    """Class shares (C,) or label shares (L,): of the training rows, and in the loss.

    exact: whether the net's outputs are of the prior `effective`; else that is only what sampling and weights impose.
    since: the first epoch, from 0, of which that holds: a checkpoint of an earlier one has another prior.
    """

    training: Floats
    effective: Floats
    exact: bool = True
    since: int = 0

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "ClassPrior":
        """From what `Ledger.to_dict` gave; of an earlier version, that did not say, nothing is taken for exact."""
        last = stored["phases"][-1]
        imposed = np.array(last.get("imposed", last["effective"]))
        return cls(np.array(stored["training"]), imposed, last.get("source") == "exact")


@dataclass(frozen=True)
class Ledger:
    """The prior of every epoch of a run.

    Attributes:
        training: shares (C,) of the training rows.
        phases: in order, without gaps.
        labels: whether the shares are those of labels (L,), of which a row may have several.
    """

    training: Floats
    phases: tuple[Phase, ...]
    labels: bool = False

    @classmethod
    def of(
        cls,
        counts: Sequence[int],
        sampled: Callable[[int], Floats],
        correction: Callable[[int], Correction | None],
        epochs: int,
        samples: int | None = None,
        exact: Callable[[int], bool] = lambda epoch: True,
    ) -> "Ledger":
        """Follow a run through its epochs.

        Args:
            counts: training samples of each class (C,).
            sampled: the shares (C,) that the policy draws in an epoch.
            correction: what the loss in force in an epoch imposes; None: nothing.
            epochs: how many there are.
            samples: training rows, where each may have several labels; None: each has one class.
            exact: whether the net answers by equation (1) after an epoch: its loss is proper.
        """
        labels = samples is not None
        training = np.asarray(counts, dtype=np.float64) / (samples or sum(counts))
        phases: list[Phase] = []
        for epoch in range(epochs):
            now = _phase(epoch, training, sampled(epoch), correction(epoch), labels)
            now = now._replace(exact=exact(epoch))
            if (
                phases
                and np.array_equal(phases[-1].effective, now.effective)
                and (phases[-1].degrees, phases[-1].exact) == (now.degrees, now.exact)
            ):
                phases[-1] = phases[-1]._replace(last=epoch)
            else:
                phases.append(now)
        return cls(training, tuple(phases), labels)

    @property
    def prior(self) -> "ClassPrior":
        """The prior of the trained net's probabilities: that of the last epoch."""
        last = self.phases[-1]
        return ClassPrior(self.training, last.effective, last.exact, last.first)

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
        when = "" if len(self.phases) == 1 else f" from epoch {phase.first + 1} on"
        plain = {"sampling": "sampling=instance", "loss": "loss=bce" if self.labels else "loss=cross_entropy"}
        undone = ", or ".join(f"{plain[part.partition('=')[0]]} instead of {part}" for part in parts)
        uniform = 0.5 if self.labels else 1 / np.count_nonzero(self.training)
        raise UserError(
            f"{' and '.join(parts)} correct the same {self._kind} prior twice{when}: {classes[rare]!r} "
            f"{self._is} {percent(self.training[rare], 2)} of the training samples and would be "
            f"{percent(phase.effective[rare], 2)} in the loss; uniform is {percent(uniform, 2)}. "
            f"Take {undone}; allow_stacking=true permits it"
        )

    def lines(self, classes: Sequence[str]) -> Iterator[str]:
        """A line for each corrected phase; nothing if nothing is corrected."""
        there = np.flatnonzero(self.training)
        rare, often = there[np.argmin(self.training[there])], there[np.argmax(self.training[there])]
        for phase in self.phases[:1] if len(self.phases) == 1 else (self.phases[0], self.phases[-1]):
            active = _active(phase.degrees)
            if active:
                span = "" if len(self.phases) == 1 else f", epochs {phase.first + 1} to {phase.last + 1}"
                yield (
                    f"{self._kind} prior ({', '.join(active)}{span}): {classes[rare]!r} "
                    f"{self._is} {percent(self.training[rare], 2)} of the training samples and "
                    f"{percent(phase.effective[rare], 2)} in the loss; {classes[often]!r} "
                    f"{percent(self.training[often], 2)} and "
                    f"{percent(phase.effective[often], 2)} in the loss"
                )

    @property
    def _kind(self) -> str:
        return "label" if self.labels else "class"

    @property
    def _is(self) -> str:
        return "is on" if self.labels else "is"

    def to_dict(self, answered: Floats | None = None) -> dict[str, Any]:
        """For result.json: at most six phases; of more, the first and the last.

        answered: shares (C,) that the net was found to answer by, where the last phase is not exact.
        """
        kept = self.phases if len(self.phases) <= _MOST_PHASES else (self.phases[0], self.phases[-1])
        stored: dict[str, Any] = {
            "training": self.training.tolist(),
            "changes": len(self.phases) - 1,
            "phases": [
                {
                    "epochs": [p.first, p.last],
                    "sampled": p.sampled.tolist(),
                    "effective": p.effective.tolist(),
                    "imposed": p.effective.tolist(),
                    "degrees": p.degrees,
                    "source": "exact" if p.exact else "unknown",
                }
                for p in kept
            ],
        }
        if answered is not None:
            stored["phases"][-1] |= {"effective": answered.tolist(), "source": "validation"}
        return stored


def effective_prior(sampled: Floats, correction: Correction | None, labels: bool = False) -> Floats:
    """Equation (1): the prior (C,) in the loss, its sum 1; 0 for a class that is never drawn.

    Of labels (L,) each share is one of its own, 0 or 1 where it is so in `sampled`.
    """
    if correction is None:
        return sampled if labels else sampled / sampled.sum()
    log_weights, offsets = correction
    if labels:
        return np.asarray(expit(logit(sampled) + log_weights - offsets))
    with np.errstate(divide="ignore"):
        # equation (1) in logarithms, (C,): log q_c + log w_c - o_c, and -inf for a class that is never drawn
        logs = np.log(sampled) + np.where(sampled > 0, log_weights - offsets, 0.0)
    # softmax over the classes
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def correction_degree(training: Floats, now: Floats, labels: bool = False) -> float:
    """How far `now` (C,) is on the way from the training prior (0) to the uniform one (1).

    The slope of log(now / training) against -log(training), by least squares over the classes that are there: a power
    n^q of the counts gives 1 - q exactly. 0 where the training prior is uniform: there is nothing to correct. Of labels
    log-odds take the place of the logarithms, and 0, those of one half, that of their mean.
    """
    there = (training > 0) & (now > 0)
    if labels:
        there &= (training < 1) & (now < 1)
    x, y = (np.asarray((logit if labels else np.log)(shares[there])) for shares in (training, now))
    if not labels:
        x, y = x - x.mean(), y - y.mean()
    # -sum x (y - x) / sum x^2
    spread = float(x @ x)
    return float(x @ (x - y) / spread) if spread > 1e-12 else 0.0


def is_overcorrected(degrees: Mapping[str, float]) -> bool:
    """The table of combinations: two or more parts may reach the uniform prior together, but not exceed it.

    So square-root sampling with square-root weights is one correction in two halves; balanced sampling with
    balanced softmax is two. A single part is never refused, however far it goes: it was requested.
    """
    active = _active(degrees)
    return len(active) > 1 and sum(degrees[part] for part in active) > _ENOUGH


def _active(degrees: Mapping[str, float]) -> list[str]:
    return [part for part, how_far in degrees.items() if how_far > _NONE]


def _phase(
    epoch: int, training: Floats, sampled: Floats, correction: Correction | None, labels: bool
) -> Phase:
    none = np.zeros_like(training)
    log_weights, offsets = (none, none) if correction is None else correction
    alone = {
        "sampling": sampled,
        "weights": effective_prior(training, (log_weights, none), labels),
        "offsets": effective_prior(training, (none, offsets), labels),
    }
    degrees = {part: round(correction_degree(training, now, labels), 6) for part, now in alone.items()}
    return Phase(epoch, epoch, sampled, effective_prior(sampled, correction, labels), degrees)
