"""Looks at what comes after training: saving and loading, half the precision, export."""

import io
import warnings

import torch
from torch import Tensor
from torch.export import Dim
from torch.export import export as exported

from leyden.health.findings import CheckResult, check_failed
from leyden.health.model.model_under_test import ModelUnderTest
from leyden.modules.standalone import preserved_state

_CLOSE = 1e-4  # of the largest logit
_HALF = 0.1  # the same in bfloat16, which has three digits


def save_and_load(subject: ModelUnderTest) -> CheckResult:
    """A new module with the stored weights answers as the old one."""
    name, old = "survives saving and loading", subject.memory.module
    file = io.BytesIO()
    torch.save(old.state_dict(), file)
    file.seek(0)
    new = subject.rebuild()
    try:
        new.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except RuntimeError as error:
        return check_failed(name, "save_load", "error", f"its weights do not fit a module made anew: {error}")
    gap = _distance(subject.logits(module=new), subject.logits(module=old))
    if gap <= _CLOSE:
        return CheckResult(name, f"{len(old.state_dict())} tensors, the same logits")
    return check_failed(
        name,
        "save_load",
        "error",
        f"loaded into a module made anew, its weights give other logits (by {gap:.2g} of the largest): something that "
        "forward uses is neither a parameter nor a buffer; register_buffer it",
    )


def bfloat16(subject: ModelUnderTest) -> CheckResult:
    """Under autocast the answer is nearly the same."""
    name, plain = "works in bfloat16", subject.logits(module=subject.memory.module)
    device = subject.batch.targets.device.type
    try:
        with torch.autocast(device, torch.bfloat16):
            half = subject.logits(module=subject.memory.module)
    except Exception as error:  # of a net of the user's own
        return check_failed(
            name,
            "half_precision",
            "warning",
            f"under bf16 autocast the forward pass fails: {_line(error)}; run that part in "
            "torch.autocast(..., enabled=False)",
        )
    gap = _distance(half.float(), plain)
    if gap <= _HALF and half.isfinite().all():
        return CheckResult(name, f"logits differ by {100 * gap:.2g} % of the largest")
    return check_failed(
        name,
        "half_precision",
        "warning",
        f"under bf16 autocast logits differ by {100 * gap:.2g} % of the largest: a sum, norm or exponential that needs "
        ".float()",
    )


def export(subject: ModelUnderTest) -> CheckResult:
    """torch.export gives a program of any batch size that answers alike."""
    name = "exports"
    try:
        gap = _exported(subject)
    except Exception as error:  # torch.export fails in many ways
        return check_failed(
            name,
            "export",
            "warning",
            f"torch.export cannot follow forward: {_line(error)}; Python that branches on values of a tensor, .item() "
            "or a loop over its length",
        )
    if gap <= _CLOSE:
        return CheckResult(name, "torch.export, any batch size, the same logits")
    return check_failed(
        name, "export", "warning", f"the exported net gives other logits, by {gap:.2g} of the largest"
    )


def _exported(subject: ModelUnderTest) -> float:
    """How far the exported net is from the net, on a batch of another size than it was exported with."""
    batch, net = subject.prepared, subject.net
    given = [x for x in batch.input if x is not None]
    size = {0: Dim("batch", min=1, max=4096)}
    half = tuple(x[: max(2, len(x) // 2)] for x in given)
    with preserved_state(subject.module), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own tracing
        program = exported(net, tuple(given), dynamic_shapes=tuple(size for _ in given), strict=False)
        return _distance(program.module()(*half), net(*half))


def _distance(one: Tensor, other: Tensor) -> float:
    """Largest difference, as a share of the largest value."""
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-6))


def _line(error: Exception) -> str:
    """The first line of an error, which may have a hundred."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first[:200]}"
