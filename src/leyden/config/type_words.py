"""An annotation and a value in the words of a table: Annotated[int, Ge(1)] | None is `integer, 1 or more, or null`."""

import collections.abc
import inspect
import types
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import GroupedMetadata
from pydantic.fields import FieldInfo

from leyden.config.signatures import as_typed

REQUIRED = "required"  # in place of a default: the argument must be given

_NOUNS: dict[Any, str] = {int: "integer", float: "number", str: "text", Path: "path", Any: "anything"}
_PLURALS = {noun: f"{noun}s" for noun in _NOUNS.values() if noun != "anything"}
_BOUNDS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length")  # as annotated_types names them


def describe_type(hint: Any) -> str:
    """What a value of this annotation is, as one would say it; "" for no annotation.

    >>> from annotated_types import Ge
    >>> describe_type(Annotated[float, Ge(0)]), describe_type(Literal["mean", "max"])
    ('number, 0 or more', 'mean or max')
    """
    if hint is inspect.Parameter.empty:
        return ""
    words = list(dict.fromkeys(_alternatives(hint)))
    if "number" in words and "integer" in words:
        words.remove("integer")  # an integer is a number
    if "null" in words:
        words = [word for word in words if word != "null"] + ["null"]
    return _either(words)


def describe_default(value: Any) -> str:
    """A default as one would type it; of an object, what it is."""
    if value is inspect.Parameter.empty or value == "???":
        return REQUIRED
    if inspect.isclass(value) or inspect.isroutine(value):
        return str(value.__name__)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return f"[{','.join(map(as_typed, value))}]"
    try:
        return as_typed(str(value) if isinstance(value, Path) else value)
    except TypeError:  # no value of YAML
        return repr(value)


def _either(words: Sequence[str]) -> str:
    """`a, b or c`; what holds a comma or an `or` itself is set off by one."""
    if len(words) < 2:
        return "".join(words)
    is_plain = not any("," in word or " or " in word for word in words)
    return f"{', '.join(words[:-1])}{' or' if is_plain else ', or'} {words[-1]}"


def _alternatives(hint: Any) -> Iterator[str]:
    """The words of each of the types and choices that a value may have."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for part in arguments:
            yield from _alternatives(part)
    elif origin is Literal:
        yield from map(as_typed, arguments)
    elif hint is bool:
        yield from ("true", "false")
    elif hint in (None, types.NoneType):
        yield "null"
    elif origin is Annotated:
        bounds = _range(_bounds(arguments[1:]))
        yield describe_type(arguments[0]) + (f", {bounds}" if bounds else "")
    else:
        yield _noun(hint, origin, arguments)


def _noun(hint: Any, origin: Any, arguments: tuple[Any, ...]) -> str:
    """A single type that is neither a choice nor a range."""
    if isinstance(hint, collections.abc.Hashable) and hint in _NOUNS:
        return _NOUNS[hint]
    container = origin or hint
    if container is type:
        return "class"
    if container is collections.abc.Callable:
        return "function"
    if container is tuple and arguments and arguments[-1] is not Ellipsis:
        return _fixed_list(arguments)
    if inspect.isclass(container) and issubclass(container, collections.abc.Mapping):
        return "mapping" + (f" of {_grouped(arguments[0])} to {_grouped(arguments[1])}" if arguments else "")
    if inspect.isclass(container) and issubclass(container, collections.abc.Iterable) and arguments:
        return f"list of {_several(describe_type(arguments[0]))}"
    if container in (list, tuple, collections.abc.Sequence):
        return "list"
    return str(getattr(hint, "__name__", None) or inspect.formatannotation(hint))


def _fixed_list(arguments: tuple[Any, ...]) -> str:
    words = [describe_type(argument) for argument in arguments]
    if len(set(words)) == 1:
        return f"list of {len(words)} {_several(words[0])}"
    return f"list of {len(words)}: {'; '.join(words)}"


def _several(words: str) -> str:
    """`integers, each 1 or more` of `integer, 1 or more`."""
    noun, comma, rest = words.partition(", ")
    if noun not in _PLURALS:
        return f"({words})" if " " in words else words
    return _PLURALS[noun] + (f", each {rest}" if comma else "")


def _grouped(hint: Any) -> str:
    words = describe_type(hint)
    return f"({words})" if " " in words else words


def _bounds(metadata: Iterable[Any]) -> dict[str, Any]:
    """The bounds that annotated_types and pydantic's Field set, by name."""
    found: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, FieldInfo):
            found |= _bounds(item.metadata)
        elif isinstance(item, GroupedMetadata):
            found |= _bounds(item)
        else:
            found |= {b: getattr(item, b) for b in _BOUNDS if getattr(item, b, None) is not None}
    return found


def _range(bounds: dict[str, Any]) -> str:
    if "ge" in bounds and "le" in bounds:
        bounds = {"from": f"{bounds.pop('ge')} to {bounds.pop('le')}", **bounds}
    words = {
        "from": "from {}",
        "ge": "{} or more",
        "gt": "above {}",
        "le": "{} or less",
        "lt": "below {}",
        "multiple_of": "a multiple of {}",
    }
    said = [text.format(bounds[name]) for name, text in words.items() if name in bounds]
    if bounds.get("min_length"):
        said.append("not empty" if bounds["min_length"] == 1 else f"at least {bounds['min_length']} long")
    if "max_length" in bounds:
        said.append(f"at most {bounds['max_length']} long")
    return " and ".join(said)
