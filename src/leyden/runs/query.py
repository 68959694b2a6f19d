"""Filter runs by terms such as `seed=1,2`, `optimizer.lr<0.01`, `model=cnn`, `state=failed`, `test/mcc>=.9`.

    matching(find(Path("runs")), ["model=cnn,mlp", "state=complete"])

A term is KEY OPERATOR VALUE. KEY is a key of the configuration, or a group that has a name or a target (`model`,
`optimizer`), or state, folder, experiment, seconds, or a metric (`val/accuracy`, `test/accuracy`). OPERATOR is one of
= != < <= > >=. VALUE is a number, a text, a glob or a list in brackets; after = and != also several, with commas.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from leyden.runs.lookup import find_records
from leyden.runs.records import Record
from leyden.runs.run import STATUSES
from leyden.utils.errors import UserError, nearest
from leyden.utils.version import __version__

_TERM = re.compile(r"([A-Za-z_][\w./-]*)\s*(!=|<=|>=|==?|<|>)\s*(.*)", re.DOTALL)
_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_RECORD_KEYS = ("state", "folder", "experiment", "seconds")  # of a record itself, not of its configuration
_STATES = ("new", *STATUSES, "stale", "damaged")
_COMMA = re.compile(r",(?![^\[]*\])")  # not the commas within [...]


def matching(records: Sequence[Record], terms: Sequence[str]) -> list[Record]:
    """Return the records that satisfy every term, in the given order.

    Raises:
        UserError: a term cannot be parsed, or no record has its key; the nearest key is suggested.
    """
    parsed = [Term.parse(text) for text in terms]
    for term in parsed if records else ():
        _verify_key(term, records)
    return [record for record in records if all(term.holds(record) for term in parsed)]


def find_matching(root: str | Path = "runs", terms: Sequence[str] = ()) -> list[Record]:
    """The runs at or under a folder that satisfy every term, in the order of their paths.

    Args:
        root: where they lie, or another word that means runs: a fingerprint, a glob, "last".
        terms: conditions: "state=failed", "model.name=cnn", "optimizer.lr<0.1".

    Raises:
        UserError: no run is meant by the word, or a term does not parse or names no key.
    """
    return matching(find_records([root]), terms)


def words_and_terms(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the arguments of a command that reads runs into words that mean runs, and terms."""
    terms = [argument for argument in arguments if is_term(argument)]
    return [argument for argument in arguments if not is_term(argument)], terms


def is_term(argument: str) -> bool:
    """Whether an argument is a term; the path of an existing file or folder is not."""
    return _TERM.fullmatch(argument) is not None and not Path(argument).exists()


@dataclass(frozen=True)
class Term:
    """One condition on a run."""

    text: str
    key: str
    sign: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Term":
        """Parse a term.

        Raises:
            UserError: it has no operator or no value, < or > is used with a non-number, or the state is unknown.
        """
        found = _TERM.fullmatch(text.strip())
        if found is None or not found[3]:
            raise UserError(
                f"{text!r}: expected key=value, key!=value, key<value or key>value, such as seed=1,2"
            )
        key, sign, value = found.groups()
        if sign in _ORDER and _number(value) is None:
            raise UserError(f"{text!r}: {sign} expects a number, got {value!r}; = accepts text and globs")
        values = tuple(part.strip() for part in _COMMA.split(value))
        if key == "state":
            _verify_states(text, values)
        return cls(text, key, sign.replace("==", "="), values)

    def holds(self, record: Record) -> bool:
        """Whether a run satisfies the term; one without the key satisfies `=-` (as in tables) and any other `!=`."""
        found = values_of(record, self.key)
        if self.sign in _ORDER:
            limit = float(self.values[0])
            numbers = [n for n in map(_number, found) if n is not None]
            return any(_ORDER[self.sign](n, limit) for n in numbers)
        same = any(_same(value, wanted) for value in found for wanted in self.values)
        same = same or (not found and UNSET in self.values)
        return same if self.sign == "=" else not same


def values_of(record: Record, key: str) -> list[Any]:
    """Return the values that a run has for a key, usually one; [] if it has none.

    A complete run that is stale has two states. The value of a group is its name, or the name of its target in the
    spelling of the option.
    """
    if key == "state":
        return [record.state, *(["stale"] if version_changes(record) else [])]
    if key in ("folder", "experiment"):
        return [str(record.folder) if key == "folder" else record.experiment]
    if key == "seconds":
        return [record.seconds]
    split, _, metric = key.partition("/")
    if metric:
        return [record.metric(split, metric)]
    if key in record.keys:
        return [record.keys[key]]
    return _names_of_group(_node(record.config, key))


def version_changes(record: Record) -> list[str]:
    """Return the version changes since a complete run was made: ["torch 2.14.1 -> 2.15.0"]; reads no file."""
    if record.state != "complete":
        return []
    then = record.result.get("made_with") or {}
    now = {name: _installed(name) for name in then}
    return [f"{name} {then[name]} -> {now[name]}" for name in then if then[name] not in (None, now[name])]


@cache
def _installed(package: str) -> str:
    if package == "leyden":
        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def keys_of(records: Iterable[Record]) -> set[str]:
    """Return every key that a term on these runs may use."""
    known = set(_RECORD_KEYS)
    for record in records:
        known |= record.keys.keys()
        known |= {key.rpartition("._target_")[0] or key.rpartition(".name")[0] for key in record.keys}
        for split, found in (record.result.get("metrics") or {}).items():
            known |= {f"{split}/{name}" for part in ("values", "scalars") for name in found.get(part) or {}}
    return known - {""}


def _verify_states(text: str, values: Iterable[str]) -> None:
    for value in values:
        if not any(fnmatchcase(state, value) for state in _STATES):
            raise UserError(f"{text}: there is no state {value}; {nearest(value, _STATES)}")


def _verify_key(term: Term, records: Sequence[Record]) -> None:
    if term.key in _RECORD_KEYS:
        return
    if any(
        value is not None or term.key in record.keys
        for record in records
        for value in values_of(record, term.key)
    ):
        return
    known = keys_of(records)
    if term.key in known:
        return
    below = sorted(key for key in known if key.startswith(f"{term.key}."))
    if below:
        raise UserError(
            f"{term.text}: {term.key} contains several keys; give one of them: {', '.join(below[:8])}"
        )
    raise UserError(f"{term.text}: none of these runs has the key {term.key}; {nearest(term.key, known)}")


def _node(config: Mapping[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _names_of_group(node: Any) -> list[Any]:
    """Return the names of a group's option: `name` if it has one (model), else its class (AdamW, adamw, one_cycle)."""
    if not isinstance(node, Mapping):
        return []
    if "name" in node:
        return [node["name"]]
    if "_target_" not in node:
        return []
    name = str(node["_target_"]).rpartition(".")[2]
    return list(dict.fromkeys([name, name.lower(), re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()]))


def _same(value: Any, wanted: str) -> bool:
    """Compare a value with a typed one: numbers numerically, lists and null as YAML, all else as text with globs."""
    if isinstance(value, bool) or value is None:
        return wanted.lower() == {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        number = _number(wanted)
        return number == value if number is not None else fnmatchcase(str(value), wanted)
    if isinstance(value, list | dict):
        return bool(_yaml(wanted) == value)
    return fnmatchcase(str(value), wanted.strip("'\""))


def _number(value: Any) -> float | None:
    """Convert a number, or a number as text, to float; None for all else, booleans included."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


UNSET = "-"  # shown for a key that a group does not set: the signature's default applies
