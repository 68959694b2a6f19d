"""From a configuration to objects."""

from pathlib import Path

import pytest
import torch

from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.training import build
from leyden.training.trainer import evaluation_trainer


@pytest.mark.parametrize(
    ("precision", "fused"), [("32-true", True), ("bf16-mixed", True), ("16-mixed", None)]
)
def test_under_16_bit_scaling_no_optimizer_is_fused(precision: str, fused: bool | None) -> None:
    """It would unscale the gradients itself, after the health monitor and clipping have read them."""
    config = check(compose(["trainer=cpu"]))
    config = config.model_copy(update={"trainer": {**config.trainer, "precision": precision}})
    optimizer = build._optimizer(config, [torch.nn.Parameter(torch.zeros(2))])
    assert optimizer.defaults["fused"] is fused


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator")
def test_a_run_of_a_gpu_is_evaluated_on_the_processor_where_there_is_none(
    precision: str, tmp_path: Path
) -> None:
    """`leyden evaluate` and `leyden replay` of a run that comes from another machine."""
    config = check(compose(["trainer=gpu", f"trainer.precision={precision}"]))
    trainer = evaluation_trainer(config, tmp_path)
    assert trainer.strategy.root_device.type == "cpu"
    assert trainer.precision == precision
