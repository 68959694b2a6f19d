"""TensorBoard: the logger in the run's folder, its event files, and what is said of the whole run at its end.

TEXT: findings. HPARAMS: the run's settings and its result. What the result looks like: `tensorboard_results`.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from leyden.callbacks.cpu_budget import CpuBudget
from leyden.callbacks.tensorboard_tags import tag
from leyden.reporting.terminal.findings import markdown as findings_markdown
from leyden.runs.records import flat
from leyden.runs.run import COSMETIC, EVENT_FILES
from leyden.utils.lightning_internals import only_own_hooks

Detail = Literal["auto", "light", "full"]

_ALWAYS = ("data.name", "model.name", "optimizer.lr", "batch_size", "seed")
_NO_HPARAM = {*COSMETIC, "threads", "trainer", "data", "model"}  # or covered by another key


class RunLogger(TensorBoardLogger):
    """Lightning's logger with TensorBoard's tags for logged names; it writes event files and nothing beside them.

    Args:
        folder: folder of the run.
        resumed_step: see `tensorboard_logger`.
        monitor: the metric that the run watches.
        detail: see `tensorboard_logger`.
    """

    def __init__(self, folder: Path, resumed_step: int | None, monitor: str, detail: Detail) -> None:
        super().__init__(str(folder), name="", version="", default_hp_metric=False, purge_step=resumed_step)
        _wait_for_next_second(folder)
        self.detail, self.budget = detail, CpuBudget(is_limited=detail != "full")
        self.tags: set[str] = set()  # of scalars logged by this process
        self._monitor = monitor

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log values by name, without the epoch, which Lightning adds to every one."""
        named = {tag(name, self._monitor): value for name, value in metrics.items() if name != "epoch"}
        self.tags.update(named)
        with self.budget.spending("curves"):
            super().log_metrics(named, step)

    def save(self) -> None:
        """Write what is queued; Lightning's own also writes hparams.yaml."""
        super(TensorBoardLogger, self).save()


def _wait_for_next_second(folder: Path) -> None:
    """Wait until the name of a new event file sorts after those in `folder`, which TensorBoard reads in that order.

    A name begins with the second in which the file was made; within one, ".10" would sort before ".9".
    """
    seconds = [path.name.split(".")[3] for path in folder.glob(EVENT_FILES)]
    newest = max((int(second) for second in seconds if second.isdecimal()), default=0)
    if 0 < (wait := newest + 1 - time.time()) <= 1:
        time.sleep(wait)


def tensorboard_logger(
    folder: Path, monitor: str, resumed_step: int | None = None, detail: Detail = "auto"
) -> TensorBoardLogger:
    """Logger with event files in `folder`, after which TensorBoard names the run.

    Args:
        folder: folder of the run.
        monitor: the metric that the run watches.
        resumed_step: of a resumed run, the step of its checkpoint: later steps are removed.
        detail: what is shown. light: curves and the first batch, at the end tables and figures; full: pictures,
            histograms and precision-recall curves of every epoch, errors, the net and its features as well; auto: as
            much of that as takes at most 3 % of the CPU time (.6 s in runs of less than a CPU minute).
    """
    return RunLogger(folder, resumed_step, monitor, detail)


@only_own_hooks
class EventFiles(Callback):
    """Stores the sizes of the event files in each checkpoint, so that later events can be removed on resuming.

    Args:
        folder: folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Flush TensorBoard's queue (of up to two minutes), then store the sizes."""
        for logger in trainer.loggers if trainer.is_global_zero else ():
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()
        checkpoint["events"] = {
            path.name: path.stat().st_size for path in sorted(self._folder.glob(EVENT_FILES))
        }


def truncate_events(folder: Path, sizes: Mapping[str, int]) -> None:
    """Truncate the event files of the run in `folder` to their `sizes` at a checkpoint; remove later files."""
    for path in sorted(folder.glob(EVENT_FILES)):
        if path.name not in sizes:
            path.unlink()
        elif path.stat().st_size > sizes[path.name]:
            os.truncate(path, sizes[path.name])


def values_on_test(result: Mapping[str, Any]) -> dict[str, float | None]:
    """What the test split gave, as `test/NAME`: of a module of the user's own the scalars that it logged."""
    found = result["metrics"].get("test", {})
    values = {name: estimate["value"] for name, estimate in found.get("values", {}).items()}
    return {f"test/{name}": value for name, value in {**values, **found.get("scalars", {})}.items()}


def log_hparams(
    logger: TensorBoardLogger, plain: Mapping[str, Any], command: Sequence[str], result: Mapping[str, Any]
) -> None:
    """Log the HPARAMS tab: the settings that were typed, the watched metric on validation, and the test metrics.

    Args:
        logger: logger of the run.
        plain: its configuration.
        command: the words of its command, for the overrides.
        result: content of result.json.
    """
    values = {result["best"]["monitor"]: result["best"]["value"], **values_on_test(result)}
    defined = {f"result/{name}": value for name, value in values.items() if value is not None}
    logger.log_hyperparams(hparams(plain, command), defined)


def hparams(plain: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    """Keys logged for every run, then the overrides; TensorBoard shows the first five by default."""
    keys = dict(flat(plain))
    chosen = {key: keys[key] for key in _ALWAYS if key in keys}
    for word in command:
        key, given, value = word.lstrip("+").partition("=")
        if given and not key.startswith("-") and key.partition(".")[0] != "logger" and key not in _NO_HPARAM:
            chosen[key] = keys.get(key, value)  # for a group: the name of the option
    return {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in chosen.items()}


def write_findings(
    loggers: Iterable[Any], findings: Sequence[Mapping[str, Any]], command: Sequence[str], step: int
) -> None:
    """Write the findings to TensorBoard: as text, and each as a point at the step where it was found.

    Args:
        loggers: loggers of a Trainer; others than TensorBoard's are ignored.
        findings: as in result.json.
        command: the words of the run's command, to which suggestions are appended.
        step: the optimizer step at which the run ended.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text("doctor", findings_markdown(findings, command), step)
            for finding in findings:
                if finding["step"] is not None:
                    tag = f"doctor/{finding['level']}/{finding['id']}"
                    logger.experiment.add_scalar(tag, 1.0, finding["step"])
