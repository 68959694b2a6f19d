"""TensorBoard: the logger in the run's folder, and the pictures that show at the end why a model fails."""

from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger


def tensorboard_logger(folder: Path, resumed_step: int | None = None) -> TensorBoardLogger:
    """Event files in `folder`/tensorboard. A resumed run drops the steps after the one it goes on from."""
    return TensorBoardLogger(
        str(folder), name="", version="tensorboard", default_hp_metric=False, purge_step=resumed_step
    )
