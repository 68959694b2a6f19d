"""Checks of deployment: saving and loading, bfloat16 inference, export."""

import io
import warnings

import torch
from torch import Tensor
from torch.export import Dim
from torch.export import export as torch_export

from leyden.health.findings import CheckResult, check_failed
from leyden.health.model.model_under_test import ModelUnderTest
from leyden.modules.flattened import Flattened, flattened
from leyden.modules.standalone import preserved_state
from leyden.utils.text import percent, plural

_CLOSE = 1e-4  # of the largest output
_CLOSE_BFLOAT16 = 0.1  # the same in bfloat16, which has three digits


def save_and_load(subject: ModelUnderTest) -> CheckResult:
    """A newly built module with the saved state_dict gives the same outputs."""
    name, old = "saving and loading", subject.overfitted.module
    file = io.BytesIO()
    torch.save(old.state_dict(), file)
    file.seek(0)
    new = subject.rebuild()
    try:
        new.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except RuntimeError as error:
        return check_failed(
            name,
            "save_load",
            "error",
            f"the saved state_dict does not load into a newly built module: {error}",
        )
    gap = _distance(subject.outputs(module=new), subject.outputs(module=old))
    if gap <= _CLOSE:
        return CheckResult(name, f"{plural(len(old.state_dict()), 'tensor')}, the same outputs")
    return check_failed(
        name,
        "save_load",
        "error",
        f"the saved state_dict loaded into a newly built module gives different outputs (by {gap:.2g} of the largest): "
        "forward uses state that is neither a parameter nor a buffer; register it with register_buffer",
    )


def bfloat16(subject: ModelUnderTest) -> CheckResult:
    """Logits under bfloat16 autocast are close to those in float32."""
    name, plain = "bfloat16", subject.outputs(module=subject.overfitted.module)
    device = subject.batch.targets.device.type
    try:
        with torch.autocast(device, torch.bfloat16):
            half = subject.outputs(module=subject.overfitted.module)
    except Exception as error:  # a custom net raises anything
        return check_failed(
            name,
            "half_precision",
            "warning",
            f"under bf16 autocast the forward pass fails: {_first_line(error)}; run that part in "
            "torch.autocast(..., enabled=False)",
        )
    gap = _distance(half.float(), plain)
    if gap <= _CLOSE_BFLOAT16 and half.isfinite().all():
        return CheckResult(name, f"outputs differ by {percent(gap, 2)} of the largest")
    return check_failed(
        name,
        "half_precision",
        "warning",
        f"under bf16 autocast outputs differ by {percent(gap, 2)} of the largest: compute sums, norms and "
        "exponentials in float32 (.float())",
    )


def export(subject: ModelUnderTest) -> CheckResult:
    """torch.export gives a program for any batch size with the same outputs."""
    name = "torch.export"
    try:
        gap = _export_gap(subject)
    except Exception as error:  # torch.export fails in many ways
        return check_failed(
            name,
            "export",
            "warning",
            f"torch.export cannot trace forward: {_first_line(error)}; avoid branches on tensor values, .item() and "
            "loops over the length of a tensor",
        )
    if gap <= _CLOSE:
        return CheckResult(name, "any batch size, the same outputs")
    return check_failed(
        name, "export", "warning", f"the exported net gives different outputs, by {gap:.2g} of the largest"
    )


def _export_gap(subject: ModelUnderTest) -> float:
    """Difference between exported net and net, on a batch of another size than it was exported with.

    Of several inputs each is absent from one of its samples, as far as these go.
    """
    net, inputs = flattened(subject.net, subject.prepared, with_presence=True)
    size = {0: Dim("batch", min=1, max=4096)}
    half = tuple(x[: max(2, len(x) // 2)].clone() for x in inputs)
    with preserved_state(subject.module), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # raised by torch's tracing
        shapes: tuple[object, ...] = tuple(size for _ in inputs)
        shapes = (shapes,) if isinstance(net, Flattened) else shapes  # torch takes *tensors as one argument
        program = torch_export(net, inputs, dynamic_shapes=shapes, strict=False)
        for k, there in enumerate(x for x in half if x.dtype == torch.bool and x.ndim == 1):
            there[k % len(there)] = False
        return _distance(program.module()(*half), net(*half))


def _distance(one: Tensor, other: Tensor) -> float:
    """Largest absolute difference, relative to the largest absolute value of `other`."""
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-6))


def _first_line(error: Exception) -> str:
    """Type and first line of an error, at most 200 characters."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first[:200]}"
