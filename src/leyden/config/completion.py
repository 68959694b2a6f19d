"""What can be typed next at a prompt: groups, options, and arguments that no YAML lists; imports nothing heavy."""

from collections.abc import Sequence

from leyden.config.compose import compose_choices, config_dirs_of, config_loader, find_own_code, options
from leyden.config.options import groups_of
from leyden.config.suggestions import arguments_at, node_at
from leyden.config.validate import provided_at


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
    config = compose_choices(before, config_dirs_of(before))
    key = path.lstrip("+")
    node = node_at(config, key)
    if not isinstance(node, dict) or "_target_" not in node:
        return []
    names = arguments_at(key, node, config, provided_at(key))
    return [f"{path}.{name}=" for name in names if name.startswith(begun)]
