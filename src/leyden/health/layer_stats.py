"""What the layers do: how far a step moves them, which units never fire, which gates are stuck. Plain torch."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from leyden.health.module_tracker import ModuleTracker

_LOW, _HIGH, _TANH = 0.05, 0.95, 0.97  # a gate beyond the first two, a tanh unit beyond the third, is stuck
_STUCK = 0.95  # of what a unit does, for the unit to count
_RELUS = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
_MOST = 64  # samples of which gates are worked out again


class UpdateRatios:
    """Norms of gradient and weight, and how far one step moves each layer: ratios by name, of matrices and kernels."""

    def __init__(self, root: nn.Module) -> None:
        named = [(n, p) for n, p in root.named_parameters() if p.requires_grad and p.ndim > 1]
        self._names = [n for n, _ in named]
        self._weights: list[Tensor] = [p for _, p in named]
        self._before: list[Tensor] = []
        self._gradients: list[float] = []

    @property
    def waiting(self) -> bool:
        """Whether a step is being looked at."""
        return bool(self._before)

    def before(self) -> None:
        """Called when gradients are there and no step is taken."""
        zero = self._weights[0].new_zeros(()) if self._weights else torch.zeros(())
        norms = [zero if p.grad is None else p.grad.detach().norm() for p in self._weights]
        self._gradients = torch.stack(norms).tolist() if norms else []
        self._before = [p.detach().clone() for p in self._weights]

    def after(self) -> dict[str, dict[str, float]]:
        """Called once the step is taken: {"update": {layer: ratio}, "gradient": {layer: norm}}."""
        if not self._weights:
            return {"update": {}, "gradient": {}}
        with torch.no_grad():
            moved = [(now - then).norm() for now, then in zip(self._weights, self._before, strict=True)]
            size = torch._foreach_norm(self._before)
            ratios = (torch.stack(moved) / torch.stack(size).clamp_min(1e-12)).tolist()
        self._before = []
        return {
            "update": dict(zip(self._names, ratios, strict=True)),
            "gradient": dict(zip(self._names, self._gradients, strict=True)),
        }


class ActivationStats(TorchFunctionMode):
    """Which channels of every ReLU fire at all, and how much of every recurrent layer is stuck, while it is on.

    Channels stand on axis 1; a call inside of `place.now` is told apart by how many there have been.
    """

    def __init__(self, root: nn.Module) -> None:
        super().__init__()
        self._root, self._place = root, ModuleTracker()
        self._fired: dict[str, Tensor] = {}
        self._stuck: dict[str, float] = {}
        self._calls: dict[str, int] = {}

    @contextmanager
    def watching(self) -> Iterator["ActivationStats"]:
        """For the time of one forward pass."""
        with ExitStack() as hooks:
            hooks.enter_context(self._place.watching(self._root))
            for name, module in self._root.named_modules():
                if isinstance(module, nn.RNNBase):
                    handle = module.register_forward_hook(self._recurrent(name))
                    hooks.callback(handle.remove)
            hooks.enter_context(self)
            yield self

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do it; of a ReLU, note which channels it lets through."""
        result = func(*args, **(kwargs or {}))
        if func in _RELUS and isinstance(result, Tensor) and result.ndim > 1:
            here = self._place.current
            self._calls[here] = count = self._calls.get(here, 0) + 1
            name = here if count == 1 else f"{here} ({count})"
            axes = [axis for axis in range(result.ndim) if axis != 1]
            self._fired[name] = (result.detach() > 0).sum(axes) > 0
        return result

    def dead(self) -> dict[str, float]:
        """Share of channels that never fired, by layer."""
        return {name: float((~fired).float().mean()) for name, fired in self._fired.items()}

    def saturated(self) -> dict[str, float]:
        """Share of units whose gates, or tanh, were nearly always at an end."""
        return self._stuck

    def _recurrent(self, name: str) -> Any:
        def hook(module: nn.RNNBase, args: tuple[Any, ...], output: Any) -> None:
            x, out = args[0], output[0]
            if isinstance(x, Tensor) and x.ndim == 3 and module.batch_first:
                with torch._C.DisableTorchFunction(), torch.no_grad():
                    self._stuck[name] = _stuck(module, x[:_MOST], out[:_MOST])

        return hook


def _stuck(module: nn.RNNBase, x: Tensor, out: Tensor) -> float:
    """Of the first layer, forwards. x: (B, T, I), out: (B, T, H or 2 H)."""
    hidden = module.hidden_size
    if module.num_layers > 1 or module.bidirectional or module.proj_size:
        return 0.0  # the first layer's own output is not at hand
    valid = x.abs().sum(-1) > 0  # padding is zero
    if not valid.any():
        return 0.0
    if module.mode.startswith("RNN"):
        far = out.abs() > _TANH
        return float((far[valid].float().mean(0) > _STUCK).float().mean())
    before = F.pad(out[:, :-1], (0, 0, 1, 0))
    own: dict[str, Tensor] = dict(module.named_parameters())
    sums = F.linear(x, own["weight_ih_l0"], own.get("bias_ih_l0"))
    sums = sums + F.linear(before, own["weight_hh_l0"], own.get("bias_hh_l0"))
    # LSTM: input, forget, cell, output; GRU: reset, update, new: the last needs the reset gate and is left out
    places = (0, 1, 3) if module.mode == "LSTM" else (0, 1)
    gates = torch.cat([sums[..., k * hidden : (k + 1) * hidden] for k in places], -1).sigmoid()
    far = (gates < _LOW) | (gates > _HIGH)
    return float((far[valid].float().mean(0) > _STUCK).float().mean())
