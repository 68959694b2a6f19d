"""Zero-shot prediction by one input: mean embeddings of the other input's training rows by class (NumPy only)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from leyden.metrics.probabilities import log_softmax

Floats = NDArray[np.float64]

_SCALES = (0.0, 7.0)  # of the logarithm: 1 to about 1,100
_DIGITS = 6


@dataclass(frozen=True)
class Prototypes:
    """A class is predicted by the cosines of an input's embedding with the classes' prototypes in the other input.

    Attributes:
        means: (2, C, D), of unit length, of the training rows of each input and class; zeros without any. (2, 0, D):
            prototypes are not known, as during training, D being 0, and of pairs without classes.
        scales: of the cosines of each input's queries, so that their softmax gives probabilities.
    """

    means: Floats
    scales: tuple[float, float] = (1.0, 1.0)

    is_neutral: ClassVar[bool] = True  # outputs stay as they are

    @classmethod
    def unknown(cls, width: int = 0) -> "Prototypes":
        """Those of a net in training, or of pairs without classes, whose embeddings have a width."""
        return cls(np.zeros((2, 0, width)))

    @classmethod
    def of(
        cls,
        embeddings: Floats,
        classes: NDArray[np.integer],
        count: int,
        judged: tuple[Floats, NDArray[np.integer]] | None = None,
    ) -> "Prototypes":
        """Of the training rows' embeddings (N, 2, D), zeros where an input is absent, and classes (N,) out of `count`.

        The scales are those of the least log loss of `judged`, (embeddings, classes) of validation rows; None: 1.
        """
        sums = np.zeros((count, *embeddings.shape[1:]))
        np.add.at(sums, classes, embeddings)
        lengths = np.linalg.norm(sums, axis=2, keepdims=True)
        means = (sums / np.where(lengths > 0, lengths, 1)).transpose(1, 0, 2)
        made = cls(means)
        if judged is None:
            return made
        scales = [_scale(made.cosines(judged[0])[:, way], judged[0][:, way], judged[1]) for way in (0, 1)]
        return cls(means, (scales[0], scales[1]))

    @property
    def is_known(self) -> bool:
        """Whether there are any."""
        return self.means.size > 0

    def cosines(self, embeddings: Floats) -> Floats:
        """(N, 2, C) of embeddings (N, 2, D): of each input with the prototypes of the other; -inf without one."""
        found = np.einsum("nwd,wcd->nwc", embeddings, self.means[::-1])
        return np.where(self.means[::-1].any(axis=2), found, -np.inf)

    def log_probabilities(self, embeddings: Floats) -> Floats:
        """(N, 2, C), by each input alone."""
        scaled = self.cosines(embeddings) * np.array(self.scales)[:, None]
        return log_softmax(scaled, axis=2)

    def classes(self, embeddings: Floats) -> NDArray[np.int64]:
        """(N, 2), the class by each input alone; -1 where it is absent."""
        return np.where(embeddings.any(axis=2), self.cosines(embeddings).argmax(axis=2), -1)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, rounded to 6 digits."""
        return {
            "criterion": "prototypes",
            "width": self.means.shape[2],
            "means": np.round(self.means, _DIGITS).tolist(),
            "scales": list(self.scales),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Prototypes":
        """As it was before `to_dict`; ValueError for anything else."""
        if stored.get("criterion") != "prototypes":
            raise ValueError(f"expected criterion prototypes, got {stored.get('criterion')!r}")
        means = np.array(stored["means"], dtype=np.float64)
        if means.size == 0:
            return cls.unknown(int(stored.get("width", 0)))
        one, other = map(float, stored["scales"])
        if means.ndim != 3 or len(means) != 2 or not np.isfinite(means).all():
            raise ValueError("expected means (2, C, D)")
        return cls(means, (one, other))


def _scale(cosines: Floats, embeddings: Floats, classes: NDArray[np.integer]) -> float:
    """Of least log loss of softmax(scale * cosines (N, C)), over rows with the input and a prototype of their class."""
    known = embeddings.any(axis=1) & np.isfinite(cosines[np.arange(len(classes)), classes])
    z, y = cosines[known], classes[known]
    if not len(y):
        return 1.0

    def loss(log_scale: float) -> float:
        return -float(log_softmax(np.exp(log_scale) * z)[np.arange(len(y)), y].mean())

    return round(float(np.exp(minimize_scalar(loss, bounds=_SCALES, method="bounded").x)), _DIGITS)
