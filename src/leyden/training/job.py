"""One run as a job: check, build, train, evaluate, record; or show what is recorded already.

The same configuration again: finished -> shows the stored result; broken off -> resumes; failed -> tries again;
running in another process -> waits for it and shows what it found.
"""

import errno
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leyden.config.compose import compose
from leyden.training import slurm
from leyden.training.continuation import compose_with_runs
from leyden.utils.console import console
from leyden.utils.errors import UserError, format_error, print_error
from leyden.utils.files import cannot_write, verify_plain
from leyden.utils.runtime import load_torch, prepare, sigterm_interrupts
from leyden.utils.trust import FLAG, trusting

if TYPE_CHECKING:
    from leyden.imbalance.class_prior import Ledger
    from leyden.metrics.results import StoredMetrics
    from leyden.training.build import Experiment


@dataclass(frozen=True)
class Outcome:
    """What became of one job: its status, result.json's content, and a message where there is no result."""

    status: str
    result: dict[str, Any] = field(default_factory=dict, repr=False)
    message: str = ""
    overrides: tuple[str, ...] = ()
    signal: int = 0  # of an interrupted one: what it was asked by

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.result["folder"])

    @property
    def metrics(self) -> "Mapping[str, StoredMetrics]":
        """What was found on each split: `["test"].values["accuracy"].low`; {} where the run did not finish.

        A LightningModule that keeps no outputs has no such metrics: what it logged is in result["metrics"].
        """
        from leyden.metrics.results import stored_metrics

        found = self.result.get("metrics") or {}
        return {split: stored_metrics(one) for split, one in found.items() if "values" in one}


def train(overrides: Sequence[str] = (), config_dirs: Sequence[str] = (), trust: bool = False) -> Outcome:
    """Train one configuration from Python.

    Args:
        overrides: as on the command line, ["data=digits", "model=mlp"].
        config_dirs: folders with options of one's own.
        trust: as `--trust`: resume with what callbacks of one's own have stored, which may run code.

    Raises:
        UserError: a mistake in the configuration or the data.
        KeyboardInterrupt: interrupted; the state was saved, the same call resumes it.
    """
    flags = [FLAG] if trust else []
    with sigterm_interrupts():
        with trusting(trust):
            plain, words = compose_with_runs(overrides, config_dirs)
        outcome = run(plain, ["leyden", "train", *flags, *words], verbose=False)
    if outcome.status == "interrupted":
        raise KeyboardInterrupt
    return replace(outcome, overrides=tuple(overrides))


def attempt(plain: Mapping[str, Any], command: Sequence[str], known: int | None = None) -> Outcome:
    """`run` as a job of a sweep, which goes on whatever becomes of it."""
    return _catch_failures(lambda: run(plain, command, verbose=False, known=known))


def _catch_failures(work: Callable[[], Outcome]) -> Outcome:
    """A failure is a result, not an exception: Hydra would print it in words of its own and take a sweep down."""
    try:
        return work()
    except BrokenPipeError:
        raise
    except (UserError, OSError) as error:
        return Outcome("refused", message=format_error(error))
    except Exception as error:  # not foreseen: with its traceback, and the rest of the sweep goes on
        traceback.print_exc()
        return Outcome("failed", message=repr(error))


def run(
    plain: Mapping[str, Any], command: Sequence[str], verbose: bool = True, known: int | None = None
) -> Outcome:
    """Check, build, train, evaluate, record; or show what is recorded already.

    Args:
        plain: a composed configuration.
        command: what trains it alone, for the manifest; `--trust` among its words holds.
        verbose: whether to print the configuration before and the tables after.
        known: the stamp of what the run's folder held when the command began; None: as it is now.

    Raises:
        UserError: the configuration or the data are refused; nothing has been written.
    """
    with trusting(FLAG in command):
        return _run(plain, command, verbose, known)


def _run(plain: Mapping[str, Any], command: Sequence[str], verbose: bool, known: int | None) -> Outcome:
    load_torch()
    from leyden.callbacks.loggers import verify_loggers
    from leyden.config.validate import check
    from leyden.data.placement import verify_placement
    from leyden.runs.fingerprint import run_of
    from leyden.training import build, continuation
    from leyden.training.distributed import threads_of_a_rank
    from leyden.training.trainer import verify_trainer

    config = check(plain)
    threads = prepare(threads_of_a_rank(config.threads, config.trainer))
    made = build.experiment(config)
    place = run_of(config, made.data.fingerprint, command[2:])
    known = place.stamp() if known is None else known
    if verbose:
        _print_config(plain)
    if place.is_done(known, config.force):
        return _show_stored(place, plain, verbose)
    note = continuation.verify_parent(config, plain, made.data.fingerprint, made.epochs)
    slurm.verify(config.trainer)
    verify_trainer(config)
    verify_loggers(config)
    made = made.with_recipe()
    verify_placement(made.data)
    made.verify_monitor()
    module = made.module()
    ledger = made.ledger(module)
    if note := note or continuation.shorter_run(config, plain, place, made.epochs):
        console.print(note)
    _print_notes(made, ledger)
    with place.lock(lambda: console.print(f"{place.folder} is running in another process; waiting for it")):
        if place.is_done(known, config.force):
            return _show_stored(place, plain, verbose)
        verify_plain(place.folder)
        from leyden.training.fit import fit

        outcome = _record(place, verbose, lambda: fit(made, plain, module, place, ledger, threads, command))
        if outcome.status == "complete":
            place.drop_checkpoints(config.checkpoint.keep)
        return outcome


def _print_notes(made: "Experiment", ledger: "Ledger | None") -> None:
    """What is worth knowing before training; asking for the rule refuses one that cannot be fitted."""
    from leyden.training.build import configuration_notes

    _ = made.rule
    recipe, data = made.recipe, made.data
    chosen = [f"imbalance=auto, {recipe.name}: {recipe.why}"] if recipe else []
    prior = [] if ledger is None else ledger.lines(data.spec.target_names)
    for line in (*configuration_notes(made), *data.remarks(), *chosen, *prior):
        console.print(line)


def _show_stored(place: Any, plain: Mapping[str, Any], verbose: bool) -> Outcome:
    """What an earlier run of this very configuration found, or one in another shell just now."""
    result = place.result()
    if result["status"] != "complete":
        message = (result.get("error") or {}).get("message", "")
        print_error(f"{place.folder} {result['status']} in another process: {message}")
        return Outcome(result["status"], result, message)
    changed = place.version_changes()
    note = f"; stale, since it was made with other software ({', '.join(changed)})" if changed else ""
    console.print(f"finished before{note}: this is its result (force=true trains again)")
    then = (result.get("config") or {}).get("logger") or {}
    if added := ", ".join(name for name in plain["logger"] if name not in then):
        console.print(f"logger.{added}: has no effect on a finished run, which is not trained again")
    _print_result(result, verbose)
    return Outcome("complete", result)


def _record(place: Any, verbose: bool, work: Any) -> Outcome:
    """Do the work and write what became of it, whatever becomes of it."""
    from leyden.callbacks.interrupt import Interrupted

    try:
        result = place.finish({"error": None, **work()})
    except UserError:
        raise
    except (Interrupted, KeyboardInterrupt, SystemExit) as why:  # Lightning exits at a second Ctrl-C
        console.print(f"interrupted; the same command resumes from {place.resume_point() or 'the start'}")
        by = why.signal if isinstance(why, Interrupted) else 0
        return Outcome("interrupted", place.finish({"status": "interrupted"}), signal=by)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise cannot_write(place.folder, error) from error
        return _record_failure(place, error)
    _print_result(result, verbose)
    return Outcome(result["status"], result)


def _record_failure(place: Any, error: Exception) -> Outcome:
    """Record what the run died of: in short in result.json, with the traceback in error.txt."""
    from leyden.utils.files import write_text

    where = traceback.extract_tb(error.__traceback__)[-1]
    kind, story = type(error).__name__, place.folder / "error.txt"
    write_text(story, "".join(traceback.format_exception(error)))
    brief = {"type": kind, "message": str(error), "where": f"{where.filename}:{where.lineno}"}
    findings = [finding.to_dict() for finding in getattr(error, "findings", ())]
    best = getattr(error, "best", {})
    result = place.finish({"status": "failed", "error": brief, "best": best, "doctor": findings})
    print_error(f"the run failed: {kind}: {error}; the traceback is in {story}")
    return Outcome("failed", result, str(error))


def _print_config(plain: Mapping[str, Any]) -> None:
    from leyden.reporting.terminal.run_page import non_defaults
    from leyden.runs.records import flat

    console.print(non_defaults(dict(flat(plain)), dict(flat(compose([]))), " (--cfg job prints all)"))


def _print_result(result: Mapping[str, Any] | None, verbose: bool) -> None:
    from leyden.reporting.terminal.run_result import result_table

    if result is None:
        return
    if verbose and result["status"] == "complete":
        console.print(result_table(dict(result)))
        return
    best = result.get("best") or {}
    value = best.get("value", math.nan)
    pruned = "pruned  " if result["status"] == "pruned" else ""
    console.print(f"{pruned}{best.get('monitor', 'metric')} {value:.4f}  {result['folder']}")
