"""The loggers of a run: Lightning's, or the user's own, are all given the same here; no other file knows one of them.

Arguments that the configuration does not give are filled in by their names: the run's name, a folder within the
run's, the run of theirs that a resumed one goes on with. Each is sent the choices, every metric, the result and the
findings, and is ended with the job. TensorBoard's files are cut to a checkpoint instead, and shown more: `tensorboard`.

    loggers/            in the run's folder: files of the loggers that take a folder
    loggers/sent.tsv    what the loggers that go on have been sent: "mlflow", tab, a call; or their run
"""

import hashlib
import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning_utilities.core.imports import RequirementCache

from leyden.callbacks.interrupt import Interrupted
from leyden.callbacks.tensorboard import hparams, values_on_test, write_findings
from leyden.config.instantiate import instantiate_with_facts
from leyden.config.schema import Config
from leyden.config.signatures import parameters_of
from leyden.config.validate import find_target, import_target
from leyden.reporting.terminal.findings import markdown
from leyden.runs.run import Run
from leyden.utils.console import console
from leyden.utils.errors import UserError, first_line

_RUN = ("run_id", "id")  # arguments that name the run of a logger's own, as its `version` does
_EXIT = {"success": 0, "failed": 1, "KILLED": 255}  # of a W&B run; 255 is its own at Ctrl-C
_NOTE = 5000  # characters that MLflow takes in a tag
_EXTRAS = ("mlflow", "wandb")  # of Leyden's, by the name of the package

_open: "list[_Open]" = []  # loggers of the job that this process does


def verify_loggers(config: Config) -> None:
    """Refuse a logger of Lightning's whose package is not installed, before any work.

    Raises:
        UserError: with the command that installs it.
    """
    for name, node in config.logger.items():
        target = import_target(node["_target_"], f"logger.{name}")
        module = importlib.import_module(target.__module__)
        requirements = [value for value in vars(module).values() if isinstance(value, RequirementCache)]
        if not requirements or (needed := requirements[0]):  # later ones are of versions
            continue
        package = str(needed.requirement).partition(">")[0]
        what = f"'leyden[{package}]'" if package in _EXTRAS else package
        raise UserError(f"logger.{name}: {package} is not installed; pip install {what}")


def make_loggers(config: Config, folder: Path, offered: Mapping[str, Any]) -> list[Logger]:
    """Make the loggers of a run and send them its choices; those of an earlier attempt of this job are ended.

    Args:
        config: of the run.
        folder: of the run.
        offered: what Leyden alone provides, by the names of arguments.

    Raises:
        UserError: one cannot be made, or does not take the choices: it is not to be reached, or knows no key.
    """
    end_loggers("failed")
    os.environ["WANDB_SYMLINK"] = "false"  # as `_remove_links`
    os.environ.setdefault(
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL", "1"
    )  # seconds that a kill may lose, not 15
    sent = _Sent(folder / "loggers" / "sent.tsv")
    made = []
    for name, node in config.logger.items():
        known = parameters_of(find_target(f"logger.{name}", node))
        filled = {key: value for key, value in defaults(config, folder).items() if key in known}
        goes_on = [key for key in _RUN if key in known]
        if (theirs := sent.run(name)) is not None:
            filled |= dict.fromkeys(goes_on, theirs)
        logger = instantiate_with_facts(f"logger.{name}", {**filled, **node}, offered)
        if getattr(rank_zero_only, "rank", 0) == 0:
            _open.append(_Open(name, logger, sent if goes_on else None))
            _open[-1].begin(hparams(config.model_dump(by_alias=True), Run(folder).command()))
        made.append(logger)
    _remove_links(folder / "loggers")
    return made


def defaults(config: Config, folder: Path) -> dict[str, str]:
    """Values of a logger's arguments where none are given; `leyden.config.validate.LOGGER_DEFAULTS` has the names."""
    return {
        "save_dir": str(folder / "loggers"),
        "name": folder.name,
        "run_name": folder.name,
        "experiment_name": os.environ.get("MLFLOW_EXPERIMENT_NAME") or config.experiment,
        "project": os.environ.get("WANDB_PROJECT") or config.experiment,
        "tracking_uri": os.environ.get("MLFLOW_TRACKING_URI")
        or f"sqlite:///{Path(config.runs).absolute()}/mlflow.db",
    }


def log_findings(
    loggers: Sequence[Logger], findings: Sequence[Mapping[str, Any]], command: Sequence[str], step: int
) -> None:
    """Send the findings: to TensorBoard as `write_findings`, to the others as the description of their run.

    Args:
        loggers: of a Trainer.
        findings: as in result.json.
        command: the words of the run's command, to which suggestions are appended.
        step: the optimizer step at which the run ended.
    """
    write_findings(loggers, findings, command, step)
    for each in _open:
        each.send("", partial(_describe, each.logger, markdown(findings, command)))


def log_result(result: Mapping[str, Any], step: int) -> None:
    """Send the watched metric of the chosen epoch and what the test split gave; TensorBoard has them in HPARAMS.

    Args:
        result: content of result.json.
        step: the optimizer step at which the run ended.
    """
    best = {f"best/{result['best']['monitor']}": result["best"]["value"]}
    values = {**values_on_test(result), **best}
    defined = {name: value for name, value in values.items() if value is not None}
    for each in (each for each in _open if not each.is_tensorboard):
        each.logger.log_metrics(defined, step)


@contextmanager
def ending_loggers() -> Iterator[None]:
    """End the loggers that are made within, as the block ends: two jobs of a process never share a run of theirs."""
    status = "failed"
    try:
        yield
        status = "success"
    except (Interrupted, KeyboardInterrupt, SystemExit):
        status = "KILLED"  # MLflow's word, which Lightning hands on; others tell only success from the rest
        raise
    finally:
        end_loggers(status)


def end_loggers(status: str) -> None:
    """End all loggers that are open: "success", "failed" or "KILLED"."""
    while _open:
        each = _open.pop()
        each.send("", partial(_end, each.logger, status))


def _remove_links(folder: Path) -> None:
    """Remove the links that a logger has made, as W&B's to its debug log: with one, a run's folder is refused."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            path.unlink()


class _Sent:
    """What the loggers of a run had been sent before this attempt, in a file that is only appended to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        self._earlier = {*text.split("\n")[:-1]}  # without a line that a kill has left half-written

    def __contains__(self, line: str) -> bool:
        return line in self._earlier

    def add(self, line: str) -> None:
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def run(self, name: str) -> str | None:
        """The run of its own that a logger began; None: it has not, or cannot go on."""
        start = f"{name}\trun "
        return next((line.removeprefix(start) for line in self._earlier if line.startswith(start)), None)


class _Open:
    """A logger in use: it is sent each call once in the life of the run, and what fails does not stop the training.

    Args:
        name: key of the configuration.
        logger: Lightning's.
        sent: by earlier attempts; None: it cannot go on with the run of its own that it began.
    """

    def __init__(self, name: str, logger: Logger, sent: _Sent | None) -> None:
        self.name, self.logger, self._sent = name, logger, sent
        self.is_tensorboard = isinstance(logger, TensorBoardLogger)
        if not self.is_tensorboard:
            self._log_metrics = logger.log_metrics
            vars(logger)["log_metrics"] = self._log_once  # as Lightning, callbacks and modules call it

    def begin(self, choices: Mapping[str, Any]) -> None:
        """Send the choices; of TensorBoard, they go with the result."""
        if self.is_tensorboard:
            return
        try:
            self._start(choices)
        except Exception as error:
            raise UserError(
                f"logger.{self.name}: {type(error).__name__}: {first_line(error) or 'no reason given'}"
            ) from error

    def _start(self, choices: Mapping[str, Any]) -> None:
        goes_on = self._sent is not None and self._sent.run(self.name) is not None
        if goes_on:
            _reopen(self.logger)
            return
        try:
            self.logger.log_hyperparams(dict(choices))
        except Exception as error:
            if "already exists" not in str(error):
                raise
            self.logger.log_hyperparams(
                dict(choices)
            )  # another job has just begun the same MLflow experiment
        if self._sent is not None:
            self._sent.add(f"{self.name}\trun {self.logger.version}")

    def _log_once(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        names = hashlib.blake2b("\n".join(sorted(metrics)).encode(), digest_size=6).hexdigest()
        self.send(f"{step} {names}", partial(self._log_metrics, dict(metrics), step))

    def send(self, key: str, work: Callable[[], None]) -> None:
        """Do `work` unless an earlier attempt did what `key` names, "" for what may be done again; say what fails."""
        line = f"{self.name}\t{key}"
        if self._sent is not None and key and line in self._sent:
            return
        try:
            work()
        except Exception as error:
            console.print(f"logger.{self.name}: not logged: {type(error).__name__}: {first_line(error)}")
            return
        if self._sent is not None and key:
            self._sent.add(line)


# What Lightning has no word for, by what the logger's own object offers.


def _reopen(logger: Any) -> None:
    own: Any = getattr(logger, "experiment", None)
    if hasattr(own, "update_run"):  # MLflow
        own.update_run(logger.version, status="RUNNING")


def _describe(logger: Any, text: str) -> None:
    own: Any = getattr(logger, "experiment", None)
    if hasattr(own, "set_tag"):
        own.set_tag(logger.version, "mlflow.note.content", text[:_NOTE])
    elif hasattr(own, "notes"):  # W&B
        own.notes = text


def _end(logger: Any, status: str) -> None:
    logger.finalize(status)
    own: Any = getattr(logger, "experiment", None)
    if hasattr(own, "finish"):  # W&B
        own.finish(exit_code=_EXIT[status])
    elif hasattr(own, "end") and callable(own.end):  # Comet
        own.end()
