"""Grad-CAM: the maps of a net's last convolution, weighted by how much the scalar depends on each."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leyden.interpretation.methods import Maps, chunks, scores
from leyden.interpretation.view import View
from leyden.utils.errors import UserError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


def grad_cam(view: View, seed: int, window: Sequence[int]) -> Maps:
    """ReLU of the sum of maps A_k, each times the mean gradient of the scalar over it (Selvaraju et al. 2017).

    arXiv:1610.02391; the maps are those of the last convolution, enlarged to the units. What it shows depends on how
    the net pools them: check it by its test (docs/explain.md).

    Raises:
        UserError: the net has no convolution with more than one place.
    """
    from captum.attr import LayerGradCam

    layer = last_convolution(view)
    method = LayerGradCam(view.score, layer)
    found = [
        method.attribute(view.values[at], additional_forward_args=at, relu_attributions=True)
        for at in chunks(view, len(view.values))
    ]
    maps = _enlarged(torch.cat(found).float(), tuple(view.places.shape[1:]))
    return Maps(maps, scores(view, view.baseline), view.baseline_name)


def last_convolution(view: View) -> nn.Module:
    """The last convolution that the net runs on one sample and whose maps have more than one place."""
    found: list[nn.Module] = []

    def note(module: nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output[0, 0].numel() > 1:
            found.append(module)

    hooks = [m.register_forward_hook(note) for m in view.net.modules() if isinstance(m, _CONVOLUTIONS)]
    try:
        with torch.no_grad():
            view.score(view.values[:1], torch.zeros(1, dtype=torch.int64))
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise UserError(
            "--method grad_cam: the net has no convolution with maps; choose integrated_gradients or occlusion"
        )
    return found[-1]


def _enlarged(maps: Tensor, units: tuple[int, ...]) -> Tensor:
    """Maps (B, 1, h, w) or (B, 1, t) at the units' resolution, (B, *units)."""
    if len(units) == 1:
        along = maps.mean(2) if maps.ndim == 4 else maps
        return F.interpolate(along, units, mode="linear", align_corners=False)[:, 0]
    planes = maps if maps.ndim == 4 else maps[:, :, None]
    return F.interpolate(planes, units, mode="bilinear", align_corners=False)[:, 0]
