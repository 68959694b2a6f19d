"""Early stopping on the monitored metric."""

from typing import Annotated

from annotated_types import Ge
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping

from leyden.utils.lightning_internals import only_own_hooks


@only_own_hooks
class EarlyStopping(LightningEarlyStopping):
    """Stop when the monitored metric has not improved by `min_delta` for `patience` validations.

    A metric that is not finite stops the run at once.
    """

    def __init__(
        self,
        monitor: str,
        higher_is_better: bool,
        patience: Annotated[int, Ge(1)] = 5,
        min_delta: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        mode = "max" if higher_is_better else "min"
        super().__init__(monitor, min_delta=min_delta, patience=patience, mode=mode, verbose=False)
