"""Methods of attribution, by captum where it has them; what is ours is refinement, centring and bounded memory.

Each takes a view, a seed and a window, and gives maps (B, *units). captum is imported where a method runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from leyden.interpretation.view import View
from leyden.utils.errors import UserError
from leyden.utils.random_state import rng_state, set_rng_state

COMPLETE = 0.01  # relative error of the sum, up to which an attribution is complete
LEAST_SPAN = 0.01  # of an output's range over the data: a difference below it counts as this
STEPS, DEPTH = 16, 17  # of integrated gradients: on each stretch of the way; how often one is halved
SHAP_SAMPLES = 64
RISE_MASKS, RISE_CELLS, RISE_KEPT = 1000, 7, 0.5  # Petsiuk et al. 2018
_MOST_SAMPLES = 256  # that the net gets at once
_MOST_VALUES = 1 << 21  # numbers of them
_HELD = 1 << 26  # numbers of all stretches of ways, which are held until they are summed


class Maps(NamedTuple):
    """What a method gives for B samples.

    values: float (B, *units). absent: float64 (B,), the score from which the difference is taken, and its name. sums:
    float64 (B,), of the values; None: the method promises none. is_random: whether the seed had a part in it.
    """

    values: Tensor
    absent: Tensor
    absent_name: str
    sums: Tensor | None = None
    is_random: bool = False


def scores(view: View, values: Tensor) -> Tensor:
    """float64 (B,): the scalar of values (B, ...), each in place of its sample."""
    found = []
    with torch.no_grad():
        for at in chunks(view, len(values)):
            found.append(view.score(values[at], at).double())
    return torch.cat(found)


def scales(view: View, differences: Tensor) -> Tensor:
    """float64 (B,): what an error of a sum is relative to: the difference, or 1 % of the output's range.

    The larger of both, so that a difference of nothing needs no sum of nothing.
    """
    spans = torch.tensor(view.spans or [0.0] * len(view.values), dtype=torch.float64)
    return torch.maximum(differences.abs(), LEAST_SPAN * spans).clamp(min=1e-12)


@contextmanager
def differentiable_recurrence(net: nn.Module) -> Iterator[None]:
    """For the time of the block recurrent layers can be differentiated in evaluation mode.

    cuDNN has no backward pass for them there; torch's own kernels do, and training mode would draw dropout.
    """
    if not any(isinstance(part, nn.RNNBase) for part in net.modules()):
        yield
        return
    with torch.backends.cudnn.flags(enabled=False):
        yield


def integrated_gradients(view: View, seed: int, window: Sequence[int]) -> Maps:
    """(x - x') times the mean gradient on the way from x' to x (Sundararajan et al. 2017, arXiv:1703.01365).

    By Gauss-Legendre quadrature. Of a sample whose sum is off by more than 1 %, the stretches of the way that are off
    by most are halved, each with as many steps again: a net has kinks, whose error falls no faster than the stretch.
    """
    _verify_differentiable(view)
    absent = scores(view, view.baseline)
    differences = scores(view, view.values) - absent
    found, errors = torch.zeros_like(view.values), torch.zeros_like(differences)
    way = _Way(torch.arange(len(found)), torch.zeros(len(found)), torch.ones(len(found)))
    most = max(1, _HELD // (2 * max(1, view.values[0].numel())))
    for depth in range(DEPTH):
        parts, off = _integrated(view, way)
        of_sample = errors.index_add(0, way.samples, off)
        share = way.samples.bincount(minlength=len(found))[way.samples]
        allowed = COMPLETE * scales(view, differences)[way.samples]
        again = (of_sample[way.samples].abs() > allowed) & (off.abs() > allowed / share / 2)
        again = _largest(again, off.abs(), most) if depth < DEPTH - 1 else torch.zeros_like(again)
        done = ~again
        found.index_add_(0, way.samples[done], parts[done])
        errors.index_add_(0, way.samples[done], off[done])
        if done.all():
            break
        way = way.halves(again)
    return Maps(view.to_units(found), absent, view.baseline_name, differences + errors)


def _largest(chosen: Tensor, by: Tensor, most: int) -> Tensor:
    """Of the chosen bool (n,) at most so many, those with the largest `by` (n,)."""
    if int(chosen.sum()) <= most:
        return chosen
    kept = torch.where(chosen, by, -1.0).topk(most).indices
    return torch.zeros_like(chosen).index_fill(0, kept, True)


class _Way(NamedTuple):
    """Stretches of the ways from baseline to input: samples int64 (n,), from `starts` to `ends` (n,) in 0 .. 1."""

    samples: Tensor
    starts: Tensor
    ends: Tensor

    def halves(self, chosen: Tensor) -> "_Way":
        """Both halves of the stretches `chosen` bool (n,)."""
        samples, starts, ends = (part[chosen] for part in self)
        middles = (starts + ends) / 2
        return _Way(samples.repeat(2), torch.cat([starts, middles]), torch.cat([middles, ends]))

    def points(self, view: View, shares: Tensor) -> Tensor:
        """Where the ways are at `shares` (n,), (n, ...) like values."""
        first, last = view.baseline[self.samples], view.values[self.samples]
        return torch.lerp(first, last, shares.reshape(-1, *[1] * (first.ndim - 1)))


def _integrated(view: View, way: _Way) -> tuple[Tensor, Tensor]:
    """Attributions (n, ...) of the stretches, and by how much the sum of each is off, float64 (n,)."""
    from captum.attr import IntegratedGradients

    method, most = IntegratedGradients(view.score), _most(view)
    parts, errors = [], []
    for at in torch.arange(len(way.samples)).split(most):
        piece = _Way(*(part[at] for part in way))
        first, last = piece.points(view, piece.starts), piece.points(view, piece.ends)
        parts.append(
            method.attribute(
                *(last, first),
                additional_forward_args=piece.samples,
                n_steps=STEPS,
                internal_batch_size=max(most, len(at)),
            )
        )
        with torch.no_grad():
            difference = view.score(last, piece.samples).double() - view.score(first, piece.samples).double()
        errors.append(parts[-1].double().flatten(1).sum(1) - difference)
    return torch.cat(parts), torch.cat(errors)


def occlusion(view: View, seed: int, window: Sequence[int]) -> Maps:
    """How much the scalar falls where a window is replaced by the baseline; a unit's value is the mean of its windows.

    Zeiler and Fergus 2014 (arXiv:1311.2901). A window smaller than the feature finds parts that the net can do without.
    """
    from captum.attr import Occlusion

    sides = tuple(view.places.shape[1:])
    chosen = tuple(window) or tuple(view.window) or tuple(max(1, round(side / 6)) for side in sides)
    if len(chosen) != len(sides) or any(
        not 1 <= size <= side for size, side in zip(chosen, sides, strict=False)
    ):
        raise UserError(
            f"--window {','.join(map(str, chosen))}: expected {len(sides)} of 1 to {','.join(map(str, sides))}"
        )

    def present(mask: Tensor, at: Tensor) -> Tensor:
        return view.score(torch.where(view.from_units(mask) > 0.5, view.values[at], view.baseline[at]), at)

    found, most = torch.zeros(view.places.shape), _most(view)
    with torch.no_grad():
        for at in chunks(view, len(found)):
            found[at] = (
                Occlusion(present)
                .attribute(
                    torch.ones(len(at), *sides),
                    chosen,
                    tuple(max(1, size // 2) for size in chosen),
                    baselines=0,
                    additional_forward_args=at,
                    perturbations_per_eval=max(1, most // len(at)),
                )
                .float()
            )
    return Maps(found, scores(view, view.baseline), view.baseline_name)


def gradient_shap(view: View, seed: int, window: Sequence[int]) -> Maps:
    """Mean of (x - x') times the gradient at random points between x and training rows x' (Lundberg and Lee 2017)."""
    from captum.attr import GradientShap

    _verify_differentiable(view)
    method, most = GradientShap(view.score), _most(view)
    each, found = min(SHAP_SAMPLES, most), torch.zeros_like(view.values)
    with _drawn_from(seed):
        for place in torch.arange(len(found)).split(1):
            parts = [
                method.attribute(view.values[place], view.references, each, additional_forward_args=place)
                for _ in range(-(-SHAP_SAMPLES // each))
            ]
            found[place] = torch.stack(parts).mean(0)
    absent = _reference_scores(view)
    sums = found.double().flatten(1).sum(1)
    return Maps(view.to_units(found), absent, f"{len(view.references)} training rows", sums, is_random=True)


def _reference_scores(view: View) -> Tensor:
    """float64 (B,): the mean score of the references in place of each sample."""
    with torch.no_grad():
        return torch.stack(
            [
                view.score(view.references, torch.full((len(view.references),), place)).double().mean()
                for place in range(len(view.values))
            ]
        )


def rise(view: View, seed: int, window: Sequence[int]) -> Maps:
    """By how much the scalar rises where a unit is kept, over random masks: the slope of a regression on each unit.

    RISE (Petsiuk et al. 2018, arXiv:1806.07421), less the mean over masks, without which every unit has the same mass.
    Masks are smooth in two dimensions, and by unit in one.
    """
    masks = _masks(RISE_MASKS, tuple(view.places.shape[1:]), torch.Generator().manual_seed(seed))
    most, found = _most(view), []
    centred = (masks - masks.mean(0)).flatten(1)
    with torch.no_grad():
        for place in range(len(view.values)):
            value, absent = view.values[place], view.baseline[place]
            parts = []
            for part in masks.split(most):
                kept = view.from_units(part)
                parts.append(view.score(kept * value + (1 - kept) * absent, torch.full((len(part),), place)))
            answers = torch.cat(parts).float()
            found.append((answers - answers.mean()) @ centred / centred.square().sum(0).clamp(min=1e-6))
    return Maps(
        torch.stack(found).reshape(view.places.shape),
        scores(view, view.baseline),
        view.baseline_name,
        is_random=True,
    )


def _masks(count: int, sides: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """float32 (count, *sides) in 0 .. 1."""
    if len(sides) == 1:
        return (torch.rand(count, *sides, generator=generator) < RISE_KEPT).float()
    height, width = (-(-side // RISE_CELLS) for side in sides)
    cells = (torch.rand(count, 1, RISE_CELLS + 1, RISE_CELLS + 1, generator=generator) < RISE_KEPT).float()
    large = nn.functional.interpolate(
        cells, ((RISE_CELLS + 1) * height, (RISE_CELLS + 1) * width), mode="bilinear", align_corners=False
    )[:, 0]
    tops = torch.randint(0, height, (count,), generator=generator).tolist()
    lefts = torch.randint(0, width, (count,), generator=generator).tolist()
    return torch.stack(
        [one[y : y + sides[0], x : x + sides[1]] for one, y, x in zip(large, tops, lefts, strict=True)]
    )


def _verify_differentiable(view: View) -> None:
    """Refuse a score that has no gradient."""
    values = view.values[:1].clone().requires_grad_()
    with torch.enable_grad():
        score = view.score(values, torch.zeros(1, dtype=torch.int64))
    if not score.requires_grad or torch.autograd.grad(score.sum(), values, allow_unused=True)[0] is None:
        raise UserError(
            "the net's answer has no gradient by its input (token ids without an embedding of their own, cells of a "
            "table, or it does not depend on them): choose --method occlusion"
        )


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """For the time of the block NumPy's and torch's global generators, which captum draws from, begin at `seed`."""
    before = rng_state()
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_rng_state(before)


def _most(view: View) -> int:
    """How many samples the net gets at once."""
    return max(1, min(_MOST_SAMPLES, _MOST_VALUES // max(1, view.values[0].numel())))


def chunks(view: View, count: int) -> Iterator[Tensor]:
    """int64 places, as many at once as the net gets."""
    yield from torch.arange(count).split(_most(view))
