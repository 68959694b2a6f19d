"""A finished run's folder -> its module with the best weights, ready to evaluate and predict.

Needs nothing but the folder: configuration, facts, tokenizer and checkpoint lie in it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule

from leyden.config.compose import config_dirs_of
from leyden.config.schema import Config, Init
from leyden.config.validate import check, import_target
from leyden.data import tokenizers
from leyden.data.modalities import Modality, modality_of
from leyden.data.spec import DataSpec
from leyden.data.tokenizers import Tokenizer
from leyden.imbalance.auto import apply_auto
from leyden.runs.run import Run, load_config
from leyden.tasks.base import Decision, Task
from leyden.training import build, transfer
from leyden.utils import own_code
from leyden.utils.errors import UserError
from leyden.utils.files import read_object


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


def load(folder: Path) -> LoadedRun:
    """Read a run's folder.

    Raises:
        UserError: not a run's folder, no checkpoint yet, or one that does not fit the code of today.
    """
    config = config_of(folder).model_copy(update={"init": Init()})
    weights = folder / "checkpoints" / "best.ckpt"
    if not weights.exists():
        raise UserError(f"{folder} has no best checkpoint yet: finish it with `leyden train` first")
    spec = DataSpec.from_dict(read_object(folder / "spec.json", json.loads))
    task = build.task_of(config)
    trained, _ = apply_auto(
        config, spec
    )  # the recipe's loss, with which the losses of result.json were computed
    module = build.module(
        trained, spec, {"steps_per_epoch": 1, "total_steps": 1}, build.evaluator(config, task, spec)
    )
    try:
        module.load_state_dict(transfer.weights(weights))
    except RuntimeError as error:
        raise UserError(f"{weights} does not fit the net that the code builds today: {error}") from error
    modality = modality_of(import_target(config.data.source["_target_"], "data.source"))
    text = folder / "tokenizer.json"
    tokenizer = tokenizers.load(text.read_text(encoding="utf-8")) if text.exists() else None
    stored = folder / "operating_point.json"
    decision = task.load_decision(read_object(stored, json.loads))
    return LoadedRun(Run(folder), config, task, spec, modality, tokenizer, module.eval(), decision)


def config_of(folder: Path) -> Config:
    """The configuration of a run's folder, checked.

    Raises:
        UserError: not a run's folder, or a configuration that the code of today refuses.
    """
    plain = load_config(folder)
    Run(folder).verify_version()
    _find_own_code(Run(folder).manifest())
    return check(plain)


def _find_own_code(manifest: Mapping[str, Any]) -> None:
    """Own code lies here, or where the run was started, or beside the --config-dir of then."""
    then = Path(manifest.get("folder", "."))
    folders = [then / folder for folder in config_dirs_of(manifest.get("command", []))]
    own_code.add([Path.cwd(), then, *(folder.resolve().parent for folder in folders)])
