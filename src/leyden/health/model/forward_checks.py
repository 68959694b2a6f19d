"""Looks at the forward pass: shapes, the same answer twice, samples apart, padding without effect."""

from collections.abc import Callable

import torch
from torch import Tensor

from leyden.data.batch import Batch, Input
from leyden.health.findings import CheckResult, check_failed
from leyden.health.model.model_under_test import ModelUnderTest, Trace
from leyden.modules.standalone import preserved_state

_LONGER = 0.5  # of the longest input, added as padding
_CLOSE = 1e-3  # of the largest logit: what rounding may do


def shapes(subject: ModelUnderTest) -> CheckResult:
    """Logits (B, C), finite, of floating point."""
    name, wanted = "shapes", (len(subject.batch.targets), subject.classes)
    try:
        logits = subject.logits()
    except Exception as error:  # of a net of the user's own
        where = f"inputs {tuple(subject.prepared.input.values.shape)}"
        return check_failed(
            name, "shapes", "error", f"the forward pass fails for {where}: {type(error).__name__}: {error}"
        )
    told = f"logits {tuple(logits.shape)} of inputs {tuple(subject.prepared.input.values.shape)}"
    if tuple(logits.shape) != wanted or not logits.is_floating_point():
        words = (
            f"the net gives {tuple(logits.shape)} {logits.dtype}, expected are logits {wanted} (samples, classes): "
            "take num_classes from the constructor for its last layer"
        )
        return check_failed(name, "shapes", "error", words, "head")
    if not logits.isfinite().all():
        return check_failed(name, "shapes", "error", "at its initial weights the net gives NaN or infinities")
    return CheckResult(name, told)


def determinism(subject: ModelUnderTest) -> CheckResult:
    """In evaluation mode the same input gives the same answer."""
    name = "evaluation is deterministic"
    one, first = _traced(subject, subject.prepared)
    with torch.random.fork_rng(devices=[]):
        # a pass leaves random numbers as they were: the second gets others
        torch.manual_seed(1)
        two, second = _traced(subject, subject.prepared)
    gap = _gap(one, two)
    if gap <= _tolerance(one) * 1e-2:
        return CheckResult(name, "twice the same answer")
    where = first.parts_from(second, lambda a, b: not torch.equal(a, b))
    message = (
        f"in evaluation mode the same input gives other logits each time (by up to {gap:.3g}): a dropout that is "
        "called as a function without training=self.training, or random numbers in forward"
    )
    return check_failed(name, "not_deterministic", "error", message, where)


def samples_apart(subject: ModelUnderTest) -> CheckResult:
    """A sample's logits do not change with the other samples of its batch, in evaluation mode.

    By a difference, not by a gradient: it sees detached paths too, works for token ids, and names the module.
    """
    name = "samples do not see each other"
    whole, first = _traced(subject, subject.prepared)
    if len(whole) < 2:
        return CheckResult(name, "a batch of one sample: nothing to see")
    for kept in (0, len(whole) - 1):
        other, second = _traced(subject, _others_changed(subject.prepared, kept))
        gap = _gap(whole[kept], other[kept])
        if gap > _tolerance(whole):
            where = first.parts_from(second, _differs_at(kept, len(whole)))
            message = (
                f"the logits of a sample change by {gap:.3g} with the other samples of its batch: look for a reshape "
                "that mixes batch and time (view where permute is meant), or a mean, softmax or norm over dimension 0"
            )
            return check_failed(name, "sample_leak", "error", message, where)
    return CheckResult(name, "logits stay when the other samples change")


def padding(subject: ModelUnderTest) -> CheckResult:
    """Zeros behind the end of a sequence, up to its length, change no logits."""
    name, batch = "padding changes nothing", subject.batch
    if batch.input.lengths is None:
        return CheckResult(name, "inputs of one shape have none")
    more = max(1, int(_LONGER * batch.input.values.shape[1]))
    longer = batch.map_inputs(lambda x: x._replace(values=torch.nn.functional.pad(x.values, (0, more))))
    plain, first = _traced(subject, subject.prepared)
    with preserved_state(subject.module), torch.no_grad():
        prepared = subject.module.prepare(longer)  # type: ignore[operator]
    padded, second = _traced(subject, prepared)
    gap = _gap(plain, padded)
    if gap <= _tolerance(plain):
        return CheckResult(name, f"{more:,} more zeros change no logit")
    where = first.parts_from(second, lambda a, b: _gap(a, b) > _tolerance(a))
    message = (
        f"padding a batch with {more:,} more zeros changes logits by up to {gap:.3g}: a mean, maximum or last step "
        "that runs over the padding; use lengths, as leyden.nets.layers does (masked_mean, masked_max)"
    )
    return check_failed(name, "padding", "error", message, where)


def _traced(subject: ModelUnderTest, batch: Batch) -> tuple[Tensor, Trace]:
    with Trace().watching(subject.net) as trace:
        return subject.logits(batch).float(), trace


def _gap(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).abs().max()) if one.numel() else 0.0


def _tolerance(logits: Tensor) -> float:
    return _CLOSE * max(1e-3, float(logits.abs().max()))


def _others_changed(batch: Batch, kept: int) -> Batch:
    """Every sample but one is another: numbers are stretched and moved, token ids become the largest one."""

    def change(given: Input) -> Input:
        x = given.values
        changed = 1.5 * x + 0.3 if x.is_floating_point() else torch.where(x > 0, x.max(), x)
        changed[kept] = x[kept]
        return given._replace(values=changed)

    return batch.map_inputs(change)


def _differs_at(kept: int, samples: int) -> Callable[[Tensor, Tensor], bool]:
    def differ(one: Tensor, other: Tensor) -> bool:
        return len(one) == samples and _gap(one[kept], other[kept]) > _tolerance(one)

    return differ
