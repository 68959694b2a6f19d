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


_SPLITS = {"val": "validation", "test": "test"}


def verify_outputs(outputs: Tensor, split: str, config: Config) -> None:
    """Refuse outputs of which no metric can be computed.

    Args:
        outputs: (N,) or (N, ...), of the samples of a split.
        split: "val" or "test".
        config: of the run, for the suggestions.

    Raises:
        NonFiniteOutputs: those of some samples are NaN or infinite.
    """
    bad = ~outputs.reshape(len(outputs), -1).isfinite().all(1)
    count = int(bad.sum())
    if not count:
        return
    message = f"the outputs of {count:,} of {len(outputs):,} {_SPLITS[split]} samples are not finite"
    evidence: dict[str, Any] = {"what": "outputs", "split": split, "samples": count}
    advice = ("optimizer.lr={rate/10}", "trainer.gradient_clip_val=1")
    found = Finding("non_finite", "error", message, split, advice, evidence)
    raise NonFiniteOutputs(fill_in(found, config.optimizer, config.trainer), bad)
