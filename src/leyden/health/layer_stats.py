"""Layer statistics: update-to-weight ratios, dead ReLU channels, saturated gates. Plain torch."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from leyden.health.module_tracker import ModuleTracker

_LOW, _HIGH, _TANH = (
    0.05,
    0.95,
    0.97,
)  # a gate beyond the first two or a tanh unit beyond the third is saturated
_ALWAYS = 0.95  # share of steps in which a saturated unit is saturated
_RELUS = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
_MOST = 64  # samples whose gates are recomputed


class UpdateRatios:
    """Update-to-weight ratio and gradient norm of one step, for every trainable matrix and kernel, by name."""

    def __init__(self, root: nn.Module) -> None:
        named = [(n, p) for n, p in root.named_parameters() if p.requires_grad and p.ndim > 1]
        self._names = [n for n, _ in named]
        self._weights: list[Tensor] = [p for _, p in named]
        self._before: list[Tensor] = []
        self._gradients: list[float] = []

    @property
    def waiting(self) -> bool:
        """Whether `before` was called and `after` is due."""
        return bool(self._before)

    def before(self) -> None:
        """Record weights and gradient norms; call it after the backward pass, before the step."""
        zero = self._weights[0].new_zeros(()) if self._weights else torch.zeros(())
        norms = [zero if p.grad is None else p.grad.detach().norm() for p in self._weights]
        self._gradients = torch.stack(norms).tolist() if norms else []
        self._before = [p.detach().clone() for p in self._weights]

    def after(self) -> dict[str, dict[str, float]]:
        """After the step: {"update": {parameter: |change| / |weight|}, "gradient": {parameter: norm}}."""
        if not self._weights:
            return {"update": {}, "gradient": {}}
        with torch.no_grad():
            change = [(new - old).norm() for new, old in zip(self._weights, self._before, strict=True)]
            size = torch._foreach_norm(self._before)
            ratios = (torch.stack(change) / torch.stack(size).clamp_min(1e-12)).tolist()
        self._before = []
        return {
            "update": dict(zip(self._names, ratios, strict=True)),
            "gradient": dict(zip(self._names, self._gradients, strict=True)),
        }


class ActivationStats(TorchFunctionMode):
    """Dead channels of every ReLU and saturated units of every recurrent layer in one forward pass.

    Channels are axis 1. Several ReLU calls in one module are numbered: "body", "body (2)".
    """

    def __init__(self, root: nn.Module) -> None:
        super().__init__()
        self._root, self._tracker = root, ModuleTracker()
        self._active: dict[str, Tensor] = {}
        self._saturated: dict[str, float] = {}
        self._calls: dict[str, int] = {}

    @contextmanager
    def watching(self) -> Iterator["ActivationStats"]:
        """Collect the statistics of one forward pass within the block."""
        with ExitStack() as hooks:
            hooks.enter_context(self._tracker.watching(self._root))
            for name, module in self._root.named_modules():
                if isinstance(module, nn.RNNBase):
                    handle = module.register_forward_hook(self._recurrent(name))
                    hooks.callback(handle.remove)
            hooks.enter_context(self)
            yield self

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the function; for a ReLU, record which channels are above 0 anywhere."""
        result = func(*args, **(kwargs or {}))
        if func in _RELUS and isinstance(result, Tensor) and result.ndim > 1:
            module_name = self._tracker.current
            self._calls[module_name] = count = self._calls.get(module_name, 0) + 1
            name = module_name if count == 1 else f"{module_name} ({count})"
            axes = [axis for axis in range(result.ndim) if axis != 1]
            self._active[name] = (result.detach() > 0).sum(axes) > 0
        return result

    def dead(self) -> dict[str, float]:
        """Share of dead channels, by layer: 0 for every sample and position."""
        return {name: float((~active).float().mean()) for name, active in self._active.items()}

    def saturated(self) -> dict[str, float]:
        """Share of saturated units, by recurrent layer: gates or tanh nearly always at an end of their range."""
        return self._saturated

    def _recurrent(self, name: str) -> Any:
        def hook(module: nn.RNNBase, args: tuple[Any, ...], output: Any) -> None:
            x, out = args[0], output[0]
            if isinstance(x, Tensor) and x.ndim == 3 and module.batch_first:
                with torch._C.DisableTorchFunction(), torch.no_grad():
                    self._saturated[name] = _saturated(module, x[:_MOST], out[:_MOST])

        return hook


def _saturated(module: nn.RNNBase, x: Tensor, out: Tensor) -> float:
    """Share of saturated units of a single unidirectional layer, else 0. x: (B, T, I), out: (B, T, H)."""
    hidden = module.hidden_size
    if module.num_layers > 1 or module.bidirectional or module.proj_size:
        return 0.0  # outputs of the single layers and directions are not available
    valid = x.abs().sum(-1) > 0  # padding is zero
    if not valid.any():
        return 0.0
    if module.mode.startswith("RNN"):
        is_saturated = out.abs() > _TANH
        return float((is_saturated[valid].float().mean(0) > _ALWAYS).float().mean())
    before = F.pad(out[:, :-1], (0, 0, 1, 0))
    own: dict[str, Tensor] = dict(module.named_parameters())
    sums = F.linear(x, own["weight_ih_l0"], own.get("bias_ih_l0"))
    sums = sums + F.linear(before, own["weight_hh_l0"], own.get("bias_hh_l0"))
    # rows of LSTM: input, forget, cell, output; of GRU: reset, update, new (which is no gate)
    rows = (0, 1, 3) if module.mode == "LSTM" else (0, 1)
    gates = torch.cat([sums[..., k * hidden : (k + 1) * hidden] for k in rows], -1).sigmoid()
    is_saturated = (gates < _LOW) | (gates > _HIGH)
    return float((is_saturated[valid].float().mean(0) > _ALWAYS).float().mean())
