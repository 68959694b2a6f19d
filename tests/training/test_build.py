"""From a configuration to objects."""

import pytest
import torch

from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.training import build


@pytest.mark.parametrize(
    ("precision", "fused"), [("32-true", True), ("bf16-mixed", True), ("16-mixed", None)]
)
def test_under_16_bit_scaling_no_optimizer_is_fused(precision: str, fused: bool | None) -> None:
    """It would unscale the gradients itself, after the health monitor and clipping have read them."""
    config = check(compose(["trainer=cpu"]))
    config = config.model_copy(update={"trainer": {**config.trainer, "precision": precision}})
    optimizer = build._optimizer(config, [torch.nn.Parameter(torch.zeros(2))])
    assert optimizer.defaults["fused"] is fused
