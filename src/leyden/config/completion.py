"""What can be typed next at a prompt: groups, options, and arguments that no YAML lists; imports nothing heavy."""

import re
from collections.abc import Sequence
from typing import Any

from hydra import compose as hydra_compose
from omegaconf import OmegaConf

from leyden.config.compose import config_dirs_of, config_loader, find_own_code, options
from leyden.config.options import groups_of
from leyden.config.static_signatures import argument_names
from leyden.config.validate import provided_at

_CHOICE = re.compile(r"(\+*)([\w/]+)=(\[.*\]|[^,\[]+)")  # of a sweep's choices the first


def complete_listing(words: Sequence[str]) -> list[str]:
    """What `leyden list` may go on with: groups, and after a group its options; all that begin with the last word.

    Raises:
        UserError: a --config-dir is not there.
    """
    *before, last = words
    folders = config_dirs_of(before)
    typed = [word for word in before if not word.startswith("-") and word not in folders]
    find_own_code(folders)
    with config_loader(folders) as loader:
        groups = groups_of(loader)
        found: list[str] = []
        if not typed:
            found = groups
        elif len(typed) == 1 and typed[0] in groups:
            found = options(loader, typed[0])
    return [name for name in found if name.startswith(last)]


def complete_arguments(words: Sequence[str]) -> list[str]:
    """`loss.gamma=` for a last word `loss.`: what the target takes that the words before it choose.

    Raises:
        UserError: the options chosen do not compose.
    """
    *before, last = words
    path, dot, begun = last.rpartition(".")
    if not dot or "=" in last:
        return []
    config = _composed(before)
    node = _at(config, path.lstrip("+"))
    if not isinstance(node, dict) or "_target_" not in node:
        return []
    target = str(node["_target_"])
    if target.startswith("${"):  # chosen by the task
        target = str(_at(config, target[2:-1]))
    filled = provided_at(path.lstrip("+"))
    names = (name for name in argument_names(target) if name not in filled)
    return [f"{path}.{name}=" for name in names if name.startswith(begun)]


def _at(config: Any, path: str) -> Any:
    """The node at a dotted path, or None."""
    for key in path.split("."):
        config = config.get(key) if isinstance(config, dict) else None
    return config


def _composed(words: Sequence[str]) -> Any:
    """The configuration of the options chosen, values left out: they name no other target."""
    folders = config_dirs_of(words)
    find_own_code(folders)
    with config_loader(folders) as loader:
        groups = groups_of(loader)
        found = (_CHOICE.match(word) for word in words)
        choices = [match[0] for match in found if match and match[2] in groups]
        return OmegaConf.to_container(hydra_compose("config", choices), resolve=False)
