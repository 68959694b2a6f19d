"""The keys that distinguish groups, and their display form: `optimizer._target_` is shown as `optimizer`, SGD."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from leyden.reporting.comparison.groups import TRIVIAL, Group, hashable
from leyden.runs.query import UNSET
from leyden.utils.errors import UserError, nearest

Settings = Mapping[str, Any]


def distinguishing_keys(settings: Sequence[Settings]) -> list[str]:
    """Return the keys that differ between groups, without those that another key of the same part determines.

    For instance, keys of `model` that are determined by the model's name are omitted.
    """
    keys = {key for of_group in settings for key in of_group}
    columns = {key: tuple(hashable(of_group.get(key, UNSET)) for of_group in settings) for key in keys}
    differing = sorted((key for key in keys if len(set(columns[key])) > 1), key=_rank)
    kept: list[str] = []
    for key in differing:
        same_part = (other for other in kept if _root(other) == _root(key))
        if not any(_determines(columns[other], columns[key]) for other in same_part):
            kept.append(key)
    return kept


def _rank(key: str) -> tuple[str, int, str]:
    """Sort key: names first, then classes, the outermost first; the rest alphabetically."""
    kind = 0 if key.endswith(".name") else 1 if key.endswith("._target_") else 2
    return _root(key), kind * 10 + (key.count(".") if kind < 2 else 0), key


def _root(key: str) -> str:
    return key.partition(".")[0]


def _determines(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether equal values of `one` always come with equal values of `other`."""
    return len(set(zip(one, other, strict=True))) == len(set(one))


def heading(key: str) -> str:
    """Return a key as it is typed: model, optimizer, optimizer.lr."""
    return key.removesuffix(".name").removesuffix("._target_")


def format_value(settings: Settings, key: str) -> str:
    """Format a key's value in a group; "-" if it is not set."""
    if key not in settings:
        return UNSET
    value = settings[key]
    if key.endswith("._target_"):
        return str(value).rpartition(".")[2]
    literals = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return literals[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _texts(settings: Sequence[Settings], key: str) -> list[str]:
    """Format a key's values in several groups: in full where different values would look alike when shortened."""
    values = [of_group.get(key, UNSET) for of_group in settings]
    short, full = [format_value(of_group, key) for of_group in settings], list(map(str, values))
    different = len(set(map(hashable, values)))
    return next((texts for texts in (short, full) if len(set(texts)) == different), list(map(repr, values)))


def columns_of(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    """Return the keys that distinguish the groups: trivial models by name from others, and among those of one name."""
    ordinary = [group.settings for group in groups if not group.trivial]
    trivial = [[g.settings for g in groups if g.trivial == name] for name in TRIVIAL]
    name = ["model.name"] if any(trivial) else []
    if by:
        return list(dict.fromkeys([*by, *name]))
    found = [distinguishing_keys(alike) for alike in (ordinary, *trivial)]
    columns = list(dict.fromkeys(key for keys in found for key in keys))
    return columns if "model.name" in columns else [*name, *columns]


def labels_of(groups: Sequence[Group], columns: Sequence[str], by: Sequence[str]) -> list[tuple[str, ...]]:
    """Format each group's values of the columns; with --by, the name of a model only if that is trivial."""
    texts = [_texts([group.settings for group in groups], key) for key in columns]
    return [
        tuple(
            of_key[place] if not by or key in by or group.trivial else UNSET
            for key, of_key in zip(columns, texts, strict=True)
        )
        for place, group in enumerate(groups)
    ]


def resolve(names: Iterable[str], settings: Sequence[Settings]) -> list[str]:
    """Resolve keys as typed after --by: `model` to model.name, `optimizer` to its class.

    Raises:
        UserError: no run has such a key.
    """
    known = {key for of_group in settings for key in of_group}
    found = []
    for name in names:
        key = next((k for k in (name, f"{name}.name", f"{name}._target_") if k in known), None)
        if key is None:
            raise UserError(
                f"--by {name}: none of these runs has this key; {nearest(name, map(heading, known))}"
            )
        found.append(key)
    return found
