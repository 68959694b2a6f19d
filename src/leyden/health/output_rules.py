"""Outputs of a split that are not finite, after steps that all were: weights so large that a forward pass overflows."""

from typing import Any

from torch import Tensor

from leyden.config.schema import Config
from leyden.health.findings import Finding, NonFinite
from leyden.health.suggestions import fill_in

_SPLITS = {"val": "validation", "test": "test"}


def verify_outputs(outputs: Tensor, split: str, config: Config) -> None:
    """Refuse outputs of which no metric can be computed.

    Args:
        outputs: (N,) or (N, ...), of the samples of a split.
        split: "val" or "test".
        config: of the run, for the suggestions.

    Raises:
        NonFinite: outputs of some samples are NaN or infinite.
    """
    bad = int((~outputs.reshape(len(outputs), -1).isfinite().all(1)).sum())
    if not bad:
        return
    message = f"the outputs of {bad:,} of {len(outputs):,} {_SPLITS[split]} samples are not finite"
    evidence: dict[str, Any] = {"what": "outputs", "split": split, "samples": bad}
    advice = ("optimizer.lr={rate/10}", "trainer.gradient_clip_val=1")
    found = Finding("non_finite", "error", message, split, advice, evidence)
    raise NonFinite(message, (fill_in(found, config.optimizer, config.trainer),))
