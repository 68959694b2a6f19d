"""A finished run's folder -> its module with the best weights, ready to evaluate and predict.

Needs nothing but the folder: configuration, facts, tokenizer and checkpoint lie in it.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lightning.pytorch import LightningModule

from leyden.config.compose import code_folders
from leyden.config.overrides import keys_of, with_overrides
from leyden.config.schema import Config, Init
from leyden.config.stored import Stored, check_stored, default_cache
from leyden.config.validate import check, import_target
from leyden.data import tokenizers
from leyden.data.joined import Several
from leyden.data.modalities import Modality, modality_of
from leyden.data.spec import DataSpec
from leyden.data.tokenizers import Tokenizer
from leyden.imbalance.auto import apply_auto
from leyden.runs import signature
from leyden.runs.manifest import has_same_code
from leyden.runs.run import Run, load_config
from leyden.tasks.base import Decision, Task
from leyden.training import build, transfer
from leyden.utils import own_code
from leyden.utils.console import errors
from leyden.utils.errors import UserError, first_line
from leyden.utils.files import damaged, read_json, read_text
from leyden.utils.trust import is_trusting

T = TypeVar("T")


@dataclass(frozen=True)
class LoadedRun:
    """What a run's folder holds, in memory."""

    run: Run
    config: Config
    task: Task
    spec: DataSpec
    modality: Modality
    tokenizer: Tokenizer | None
    module: LightningModule
    decision: Decision


def load(folder: Path, config_dirs: Sequence[str] = ()) -> LoadedRun:
    """Read a run's folder.

    Args:
        folder: of the run.
        config_dirs: folders of options, beside which code lies that the run needs.

    Raises:
        UserError: as `config_of`; no checkpoint yet, or one that does not fit the code of today.
    """
    config = config_of(folder, config_dirs, opens_data=False).model_copy(update={"init": Init()})
    weights = folder / "checkpoints" / "best.ckpt"
    if not weights.exists():
        raise UserError(f"{folder} has no best checkpoint: {_what_to_do(Run(folder))}")
    _say_unfinished(Run(folder))
    spec = spec_of(folder)
    task = build.task_of(config)
    module = new_module(config, task, spec)
    try:
        module.load_state_dict(transfer.weights(weights))
    except RuntimeError as error:
        raise UserError(f"{weights} does not fit the net that the code builds today: {error}") from error
    modality = modality_of(import_target(config.data.source["_target_"], "data.source"))
    if modality.is_several:
        modality = Several.of(spec)
    tokenizer = tokenizer_of(folder)

    def decision_of(stored: dict[str, Any]) -> Decision:
        found = task.load_decision(stored)
        list(task.answers(task.any_outputs(1, spec, found), spec, found, 1))  # as many numbers as outputs
        return found

    decision = _restored(folder / "operating_point.json", decision_of)
    return LoadedRun(Run(folder), config, task, spec, modality, tokenizer, module.eval(), decision)


def spec_of(folder: Path) -> DataSpec:
    """Facts of the data that a run was trained on; UserError where the file is damaged."""
    return _restored(folder / "spec.json", DataSpec.from_dict)


def tokenizer_of(folder: Path) -> Tokenizer | None:
    """A run's fitted tokenizer; None: it has none."""
    path = folder / "tokenizer.json"
    return tokenizers.load(read_text(path)) if path.exists() else None


def new_module(config: Config, task: Task, spec: DataSpec) -> LightningModule:
    """A run's module at initial weights drawn from `config.seed`; nothing is trained with it."""
    # the recipe's loss, with which the losses of result.json were computed
    trained, _ = apply_auto(config, spec)
    times = {"steps_per_epoch": 1, "total_steps": 1}
    return build.module(trained, spec, times, build.evaluator(config, task, spec))


def _what_to_do(run: Run) -> str:
    """What there is to do with a run without weights, by its state: with its own command."""
    command, state = shlex.join(run.command()), run.state()
    if state == "running":
        return "it is still training its first epoch"
    if state == "complete":
        return f"it was removed; to train it again: {command} force=true"
    if state == "failed":
        cause = f"remove the cause (`leyden doctor {run.folder}` may name one)"
        return f"it failed ({_why_failed(run)}); {cause}, then: {command}"
    return f"finish it first: {command}"


def _why_failed(run: Run) -> str:
    error = (run.result() or {}).get("error") or {}
    return f"{error.get('type')}: {error.get('message')}".partition("\n")[0]


def _say_unfinished(run: Run) -> None:
    """Say on stderr that the best weights are those of a run that has not ended as it should."""
    state = run.state()
    if state not in ("complete", "new"):
        why = f" ({_why_failed(run)})" if state == "failed" else ""
        errors.print(f"{run.folder} is {state}{why}: what follows is of its best weights so far")


def _restored(path: Path, make: Callable[[dict[str, Any]], T]) -> T:
    """What `make` gives of a JSON file of the run; UserError where it cannot be made of it."""
    content = read_json(path)
    try:
        return make(content)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise damaged(path, first_line(error)) from error


def config_of(
    folder: Path, config_dirs: Sequence[str] = (), overrides: Sequence[str] = (), opens_data: bool = True
) -> Config:
    """The configuration of a run's folder, with what is typed now laid over it, checked.

    As if it had been typed where the user says `--trust`, or has made the run and not changed its code since; the
    folders of that code are found again. Otherwise it is held to `leyden.config.stored`. Callbacks, loggers and initial
    weights, which only training has, are left out, and the cache is that of now.

    Args:
        folder: of the run.
        config_dirs: of code that is given now.
        overrides: key=value of keys in its options.
        opens_data: whether the data are read.

    Raises:
        UserError: not a run's folder, a configuration that the code of today refuses, or that names what a stored one
            may not.
    """
    plain = {**load_config(folder), "callbacks": {}, "logger": {}, "trial": None, "cache": default_cache()}
    if isinstance(plain.get("init"), dict):
        plain["init"] = {**plain["init"], "from": None}
    plain = with_overrides(plain, overrides)
    run = Run(folder)
    run.verify_version()
    given = code_folders(config_dirs)
    own_code.add(given, first=True)
    if is_trusting():
        own_code.add([Path.cwd()])
        return check(plain)
    is_own, remark = signature.is_own(folder), ""
    if is_own and has_same_code(manifest := run.manifest()):
        own_code.add((Path(f) for code in manifest.get("code", ()) for f in code["folders"]), first=True)
        return check(plain)
    if is_own:
        remark = " (it is yours, but the code that it names has changed or moved since)"
    return check_stored(plain, Stored(folder, given, keys_of(overrides), opens_data, remark))
