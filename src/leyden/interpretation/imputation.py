"""Units of a picture or spectrogram from their neighbours: the noisy linear imputation of ROAD (Rong+ 2022).

Every unit taken away is the weighted mean of its eight neighbours, 1/6 for those that share an edge and 1/12 for those
that share a corner; neighbours beyond the border or in the padding have no weight. For all at once that is a sparse
linear system, symmetric and positive, solved by conjugate gradients over a whole batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_TOLERANCE = 1e-3  # of the residual's norm to that of what is known and of the start
_MOST_ITERATIONS = 300


def impute(values: Tensor, taken: Tensor, places: Tensor, start: Tensor) -> Tensor:
    """Values with the units taken away imputed, without noise.

    Args:
        values: float32 (M, C, H, W).
        taken: bool (M, H, W), the units to impute.
        places: bool (M, H, W), the units that there are.
        start: like values, where the search for the solution starts; where nothing is known its mean is taken.

    Returns:
        like values; what is not taken is unchanged.
    """
    gone, there = taken[:, None].to(values), places[:, None].to(values)
    degree = neighbours(there)
    known = neighbours(values * there * (1 - gone)) * gone

    def system(x: Tensor) -> Tensor:
        return gone * (degree * x - neighbours(x))

    x = start * gone
    residual = known - system(x)
    direction, left = residual, _dot(residual, residual)
    goal = _TOLERANCE**2 * (_dot(known, known) + _dot(x, x))
    for _ in range(_MOST_ITERATIONS):
        if bool((left <= goal).all()):
            break
        along = system(direction)
        step = _ratio(left, _dot(direction, along))
        x, residual = x + step * direction, residual - step * along
        now = _dot(residual, residual)
        direction, left = residual + _ratio(now, left) * direction, now
    return values * (1 - gone) + x


def neighbours(x: Tensor) -> Tensor:
    """(M, C, H, W) -> [1 2 1] along both axes, over 12: the neighbours, and the centre, which the system cancels."""
    padded = F.pad(x, (1, 1, 1, 1))
    rows = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 12


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((2, 3), keepdim=True)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, 0 where b is: a sample that is solved stays as it is."""
    return torch.where(b > 0, a / b.clamp(min=1e-30), 0.0)
