"""Outputs of a split that are not finite, after steps that all were: weights so large that a forward pass overflows."""

from typing import Any

from torch import Tensor

from leyden.config.schema import Config
from leyden.health.findings import Finding, NonFinite
from leyden.health.suggestions import fill_in


class NonFiniteOutputs(NonFinite):
    """Outputs of a split are NaN or infinite; `bad`: bool (N,), of which samples."""

    def __init__(self, finding: Finding, bad: Tensor) -> None:
        super().__init__(finding.message, (finding,))
        self.bad = bad


def _bad_frames(outputs: Tensor) -> Tensor:
    """bool (N,): of frames (N, T, C), whether one before the padding is not finite; all but NaN alone is no padding."""
    finite, padding = outputs.isfinite().all(2), outputs.isnan().all(2)
    is_after = padding.flip(1).cumprod(1).flip(1).bool()
    return ~(finite | is_after).all(1) | is_after.all(1)


_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def verify_outputs(outputs: Tensor, split: str, config: Config) -> None:
    """Refuse outputs of which no metric can be computed.

    Args:
        outputs: (N,) or (N, ...), of the samples of a split; of frames (N, T, C), NaN after a sample's last.
        split: "train", "val" or "test".
        config: of the run, for the suggestions.

    Raises:
        NonFiniteOutputs: those of some samples are NaN or infinite.
    """
    bad = ~outputs.reshape(len(outputs), -1).isfinite().all(1) if outputs.ndim < 3 else _bad_frames(outputs)
    count = int(bad.sum())
    if not count:
        return
    message = f"the outputs of {count:,} of {len(outputs):,} {_SPLITS[split]} samples are not finite"
    evidence: dict[str, Any] = {"what": "outputs", "split": split, "samples": count}
    advice = ("optimizer.lr={rate/10}", "trainer.gradient_clip_val=1")
    found = Finding("non_finite", "error", message, split, advice, evidence)
    raise NonFiniteOutputs(fill_in(found, config.optimizer, config.trainer), bad)
