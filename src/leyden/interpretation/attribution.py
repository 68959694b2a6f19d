"""Attributions: how much of a scalar each unit of an input accounts for, by one of several methods.

maps = explain(access.of_rows(rows), "integrated_gradients")
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from leyden.interpretation import methods
from leyden.interpretation.grad_cam import grad_cam
from leyden.interpretation.view import View
from leyden.utils.errors import UserError, nearest

METHODS = {
    "integrated_gradients": methods.integrated_gradients,
    "occlusion": methods.occlusion,
    "grad_cam": grad_cam,
    "gradient_shap": methods.gradient_shap,
    "rise": methods.rise,
}


@dataclass(frozen=True)
class Attribution:
    """The map of one sample.

    Attributes:
        values: float32 (*units,), in units of the scalar; 0 where there is padding.
        method: its name.
        output: of the net, which is explained; -1: unknown.
        scalar: what is explained, in words.
        score: the scalar of the sample.
        baseline: from which the difference is taken, in words.
        baseline_score: the scalar of the baseline.
        completeness: |sum of values - (score - baseline_score)| relative to that difference, or to 1 % of the output's
            range over the data where this is larger; None: the method promises no sum.
        seed: of a method that draws random numbers.
        is_complete: whether that error is at most 1 %, or no sum was promised.
    """

    values: NDArray[np.float32]
    method: str
    output: int
    scalar: str
    score: float
    baseline: str
    baseline_score: float
    completeness: float | None
    seed: int | None
    is_complete: bool


def verify_method(method: str) -> None:
    """Refuse a name of no method; "" is none yet."""
    if method and method not in METHODS:
        raise UserError(f"--method {method}: {nearest(method, METHODS)}")


def explain(
    view: View, method: str = "integrated_gradients", seed: int = 0, window: Sequence[int] = ()
) -> list[Attribution]:
    """The map of each sample of a view.

    Args:
        view: of B samples.
        method: one of `METHODS`.
        seed: of a method that draws random numbers.
        window: of occlusion, in units; (): the view's.

    Raises:
        UserError: no such method, or one that this net does not allow.
    """
    verify_method(method)
    with methods.differentiable_recurrence(view.net):
        found = METHODS[method](view, seed, window)
        present = methods.scores(view, view.values)
    maps = torch.where(view.places, found.values.detach(), 0).float().numpy()
    errors: list[float | None] = [None] * len(maps)
    if found.sums is not None:
        differences = present - found.absent
        errors = ((found.sums - differences).abs() / methods.scales(view, differences)).tolist()
    return [
        Attribution(
            values=maps[place],
            method=method,
            output=view.outputs[place] if view.outputs else -1,
            scalar=view.scalars[place] if view.scalars else view.scalar,
            score=float(present[place]),
            baseline=found.absent_name,
            baseline_score=float(found.absent[place]),
            completeness=error,
            seed=seed if found.is_random else None,
            is_complete=error is None or error <= methods.COMPLETE,
        )
        for place, error in enumerate(errors)
    ]
