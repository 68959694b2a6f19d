"""Gradient norm, adaptive gradient clipping, and scaling of learning rates."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_WARM_UP = 25  # steps before adaptive clipping starts
_EMA = 0.97  # decay of the running mean of the gradient norm (ZClip)
_RATES = ("lr", "initial_lr", "max_lr", "min_lr", "base_lrs", "min_lrs", "max_lrs", "eta_min", "_last_lr")


def scale_rates(holders: list[Any], factor: float) -> None:
    """Multiply every learning rate in parameter groups or attributes of schedulers by `factor`, in place.

    Args:
        holders: parameter groups of an optimizer, or `vars(scheduler)`; nested schedulers are scaled too.
        factor: factor on the learning rates.
    """
    for held in holders:
        for name in _RATES:
            rates = held.get(name)
            if isinstance(rates, list | tuple):
                held[name] = [factor * rate for rate in rates]
            elif rates is not None:
                held[name] = factor * rates
        scale_rates([vars(inner) for inner in held.get("_schedulers", [])], factor)


def gradient_norm(optimizer: Optimizer) -> Tensor:
    """L2 norm () of all gradients of an optimizer's parameters, on their device; 0 if there are none."""
    gradients = gradients_of(optimizer)
    if not gradients:
        return torch.zeros((), device=optimizer.param_groups[0]["params"][0].device)
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def gradients_of(optimizer: Optimizer) -> list[Tensor]:
    """The gradients of an optimizer's parameters; parameters without a gradient are omitted."""
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def learning_rate(optimizer: Optimizer) -> float:
    """The largest learning rate of the parameter groups."""
    return max(float(group["lr"]) for group in optimizer.param_groups)


def total_loss(losses: list[Tensor]) -> Tensor:
    """Sum () of the losses () of a step's batches; not finite if one of them is not."""
    if len(losses) == 1:
        return losses[0]
    return torch.stack([loss.float() for loss in losses]).sum() if losses else torch.zeros(())


def are_weights_finite(module: nn.Module) -> bool:
    """Whether no floating-point parameter holds NaN or infinity."""
    weights = [p.detach() for p in module.parameters() if p.is_floating_point() and p.numel()]
    if not weights or bool(torch.stack(torch._foreach_norm(weights)).isfinite().all()):
        return True
    return all(bool(weight.isfinite().all()) for weight in weights)  # a norm of finite weights may overflow


class AdaptiveClip:
    """Scales down a gradient whose norm is far above its running mean (ZClip, Kumar et al. 2025, arXiv 2504.02507).

    Args:
        threshold: standard deviations above the mean.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.state = (0.0, 0.0, 0)  # running mean and variance of the norm, number of steps

    def __call__(self, optimizer: Optimizer, norm: float) -> None:
        """Clip gradients of this norm to mean + threshold^2 / z deviations, and update the running statistics."""
        mean, variance, count = self.state
        limit = mean + self.threshold * math.sqrt(variance)
        if count >= _WARM_UP and norm > limit > 0:
            z = (norm - mean) / max(math.sqrt(variance), 1e-12)
            target = mean + self.threshold**2 / z * math.sqrt(variance)
            torch._foreach_mul_(gradients_of(optimizer), target / norm)
            norm = target
        keep = _EMA if count >= _WARM_UP else count / (count + 1)
        mean_now = keep * mean + (1 - keep) * norm
        variance = keep * variance + (1 - keep) * (norm - mean) * (norm - mean_now)
        self.state = (mean_now, max(variance, 0.0), count + 1)
