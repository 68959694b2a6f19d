"""The options of conf/loss by the task that their losses are for."""

import importlib
from pathlib import Path

import yaml

from leyden.config.compose import conf_dir


def loss_options(task: str) -> list[Path]:
    """The YAML files whose target says this task in its attribute `task`; without one it is classification.

    loss=auto is left out: its target is that of another file, chosen by the task.
    """
    return [path for path in sorted((conf_dir() / "loss").glob("*.yaml")) if _task(path) == task]


def _task(path: Path) -> str:
    target = yaml.safe_load(path.read_text(encoding="utf-8"))["_target_"]
    if target == "${task.loss}":
        return "any"
    module, _, name = target.rpartition(".")
    return getattr(getattr(importlib.import_module(module), name), "task", "classification")
