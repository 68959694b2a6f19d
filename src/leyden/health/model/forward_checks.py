"""Checks of the forward pass: shapes, determinism, independence of samples, invariance to padding."""

from collections.abc import Callable

import torch
from torch import Tensor

from leyden.data.batch import Batch, Input
from leyden.health.findings import CheckResult, check_failed
from leyden.health.model.model_under_test import ModelUnderTest, Trace
from leyden.modules.standalone import preserved_state

_LONGER = 0.5  # of the longest input, added as padding
_CLOSE = 1e-3  # of the largest output: tolerance for rounding


def shapes(subject: ModelUnderTest) -> CheckResult:
    """The forward pass returns finite floating-point outputs (B, K), of transcripts (B, T, K), of pairs (B, 2, D)."""
    name, expected = "shapes", (len(subject.batch.targets), subject.num_outputs)
    try:
        outputs = subject.outputs()
    except Exception as error:  # a custom net raises anything
        message = (
            f"the forward pass fails for inputs {_said(subject.prepared)}: {type(error).__name__}: {error}"
        )
        return check_failed(name, "shapes", "error", message)
    summary = f"outputs {tuple(outputs.shape)} of inputs {_said(subject.prepared)}"
    of_frames = subject.kind == "sequences"
    there = (*outputs.shape[:1], *outputs.shape[2:]) if of_frames else tuple(outputs.shape)
    if subject.kind == "pairs":
        expected, there = (*expected[:1], 2), there[:2] if len(there) == 3 else there
    if there != expected or not outputs.is_floating_point():
        words = {
            "sequences": "(samples, outputs), with the frames between them",
            "pairs": "(samples, inputs), with the embedding after them",
        }.get(subject.kind, "(samples, outputs)")
        message = (
            f"the net returns {tuple(outputs.shape)} {outputs.dtype}, expected are {expected} {words}: take "
            "num_outputs (or num_classes) from the constructor for its last layer"
        )
        return check_failed(name, "shapes", "error", message, "head")
    if of_frames and (said := subject.last_frame) > outputs.shape[1]:
        message = (
            f"the net returns {outputs.shape[1]} frames, and net.output_lengths says {said}: it must count as the "
            "net's strides round"
        )
        return check_failed(name, "shapes", "error", message, "output_lengths")
    if not outputs.isfinite().all():
        return check_failed(
            name, "shapes", "error", "at its initial weights the net returns NaN or infinite outputs"
        )
    return CheckResult(name, summary)


def _said(batch: Batch) -> str:
    """The shape of the input, or of each by its name."""
    shapes = {name: tuple(given.values.shape) for name, given in batch.inputs.items()}
    return ", ".join(str(x) if len(shapes) == 1 else f"{name} {x}" for name, x in shapes.items())


def determinism(subject: ModelUnderTest) -> CheckResult:
    """In evaluation mode the same input gives the same outputs, whatever the random state."""
    name = "evaluation is deterministic"
    one, first = _traced(subject, subject.prepared)
    with torch.random.fork_rng(devices=[]):
        # a pass restores the random state: the second one gets another seed
        torch.manual_seed(1)
        two, second = _traced(subject, subject.prepared)
    gap = _gap(one, two)
    if gap <= _tolerance(one) * 1e-2:
        return CheckResult(name, "two passes give the same outputs")
    where = first.first_difference(second, lambda a, b: not torch.equal(a, b))
    message = (
        f"in evaluation mode the same input gives different outputs (by up to {gap:.3g}): functional dropout without "
        "training=self.training, or random numbers in forward"
    )
    return check_failed(name, "not_deterministic", "error", message, where)


def sample_independence(subject: ModelUnderTest) -> CheckResult:
    """A sample's outputs do not change with the other samples of its batch, in evaluation mode.

    Tested by differences, not by gradients: this covers detached paths and token ids, and locates the module.
    """
    name = "samples are independent"
    reference, first = _traced(subject, subject.prepared)
    if len(reference) < 2:
        return CheckResult(name, "not applicable: a batch of one sample")
    for kept in (0, len(reference) - 1):
        other, second = _traced(subject, _perturb_others(subject.prepared, kept))
        gap = _gap(reference[kept], other[kept])
        if gap > _tolerance(reference):
            where = first.first_difference(second, _differs_at(kept, len(reference)))
            message = (
                f"the outputs of a sample change by {gap:.3g} with the other samples of its batch: check for a reshape "
                "that mixes batch and time (view instead of permute), or a mean, softmax or norm over dimension 0"
            )
            return check_failed(name, "sample_leak", "error", message, where)
    return CheckResult(name, "outputs do not change with the other samples")


def padding(subject: ModelUnderTest) -> CheckResult:
    """Longer zero padding after the end of the sequences does not change the outputs."""
    name, batch = "invariance to padding", subject.batch
    longest = [x.values.shape[1] for x in batch.inputs.values() if x.lengths is not None]
    if not longest:
        return CheckResult(name, "not applicable: inputs of one shape are not padded")
    more = max(1, int(_LONGER * max(longest)))

    def padded_input(x: Input) -> Input:
        return x if x.lengths is None else x._replace(values=torch.nn.functional.pad(x.values, (0, more)))

    longer = batch.map_inputs(padded_input)
    plain, first = _traced(subject, subject.prepared)
    with preserved_state(subject.module), torch.no_grad():
        prepared = subject.module.prepare(longer)  # type: ignore[operator]
    padded, second = _traced(subject, prepared)
    padded = padded[tuple(map(slice, plain.shape))]  # the frames there were before
    gap = _gap(plain, padded)
    if gap <= _tolerance(plain):
        return CheckResult(name, f"{more:,} more zeros do not change the outputs")
    where = first.first_difference(second, lambda a, b: _gap(a, b) > _tolerance(a))
    message = (
        f"padding a batch with {more:,} more zeros changes outputs by up to {gap:.3g}: a mean, maximum or last step "
        "includes the padding; use lengths, as leyden.nets.layers does (masked_mean, masked_max)"
    )
    return check_failed(name, "padding", "error", message, where)


def _traced(subject: ModelUnderTest, batch: Batch) -> tuple[Tensor, Trace]:
    with Trace().recording(subject.net) as trace:
        return subject.outputs(batch).float(), trace


def _gap(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).abs().max()) if one.numel() else 0.0


def _tolerance(outputs: Tensor) -> float:
    return _CLOSE * max(1e-3, float(outputs.abs().max()))


def _perturb_others(batch: Batch, kept: int) -> Batch:
    """Change every sample but `kept`: numbers are scaled and shifted, token ids become the largest id.

    Of several inputs, which may hold places of categories, the others take each other's values.
    """
    others = [place for place in range(len(batch.rows)) if place != kept]

    def change(given: Input) -> Input:
        x = given.values
        if len(batch.inputs) > 1:
            moved = x.clone()
            moved[others] = x[others[1:] + others[:1]]
            return given._replace(values=moved)
        changed = 1.5 * x + 0.3 if x.is_floating_point() else torch.where(x > 0, x.max(), x)
        changed[kept] = x[kept]
        return given._replace(values=changed)

    return batch.map_inputs(change)


def _differs_at(kept: int, samples: int) -> Callable[[Tensor, Tensor], bool]:
    def differ(one: Tensor, other: Tensor) -> bool:
        return len(one) == samples and _gap(one[kept], other[kept]) > _tolerance(one)

    return differ
