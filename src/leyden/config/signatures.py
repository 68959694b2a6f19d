"""What a target may be given: its parameters, their annotations, and whether a value of the YAML satisfies one."""

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_type_hints

import yaml
from annotated_types import Ge, Gt, Interval
from pydantic import (
    ConfigDict,
    FiniteFloat,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)

from leyden.utils.errors import UserError, nearest

# Ranges that signatures outside Leyden leave open: what is beyond them fails late, or never ends.
RANGES: dict[str, dict[str, Any]] = {
    "trainer": {
        "max_epochs": Annotated[int, Ge(1)],
        "accumulate_grad_batches": Annotated[int, Ge(1)],
        "gradient_clip_val": Annotated[FiniteFloat, Gt(0)] | None,
        "check_val_every_n_epoch": Literal[1],  # the best checkpoint is chosen after every epoch
        "limit_val_batches": Annotated[FiniteFloat, Gt(0)] | None,
    },
    "optimizer": {
        "lr": Annotated[FiniteFloat, Ge(0)],
        "weight_decay": Annotated[FiniteFloat, Ge(0)],
        "momentum": Annotated[FiniteFloat, Interval(ge=0, lt=1)],
    },
}


@functools.lru_cache(256)
def parameters_of(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """What a target may be given by name. A class's **kwargs stand for what its parent takes, and so on up."""
    merged: dict[str, inspect.Parameter] = {}
    for layer in _layers(target):
        merged = {**inspect.signature(layer).parameters, **merged}
    open_ended = _takes_any(_layers(target)[-1])
    return {
        n: p for n, p in merged.items() if p.kind not in _STARRED or (open_ended and p.kind is p.VAR_KEYWORD)
    }


_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _takes_any(target: Callable[..., Any]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values())


def _layers(target: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The target, and while each takes **kwargs, the next class in line that has a constructor of its own."""
    layers = [target]
    for base in target.__mro__[1:] if inspect.isclass(target) else ():
        if not _takes_any(layers[-1]):
            break
        if "__init__" in vars(base) and base is not object:
            layers.append(base)
    return layers


@functools.lru_cache(256)
def hints_of(target: Callable[..., Any]) -> Mapping[str, Any]:
    """The annotations of a target's arguments; none where they cannot be evaluated (other people's code)."""
    hints: dict[str, Any] = {}
    for layer in _layers(target):
        try:
            own = get_type_hints(layer.__init__ if inspect.isclass(layer) else layer, include_extras=True)
        except (NameError, TypeError):
            continue
        hints = {**own, **hints}
    return hints


def verify_type(path: str, value: Any, hint: Any) -> None:
    """`value` is of the annotated type, as it would be after going through JSON (lists are tuples, too)."""
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError):
        return  # an annotation that no YAML value is meant to satisfy; the constructor will speak for itself
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        errors = [e for e in error.errors(include_url=False) if e["type"] != "is_instance_of"]
        if errors:
            raise UserError(f"{path}={as_typed(value)}: {reason(errors, value, hint)}") from None


def reason(errors: Sequence[Any], value: Any, hint: Any = "") -> str:
    """pydantic's first finding in Leyden's words; of a list of choices the nearest.

    Args:
        errors: what `ValidationError.errors` returns of one value.
        value: the value.
        hint: its annotation.
    """
    listed = [e["ctx"]["expected"] for e in errors if e["type"] == "literal_error"]
    kind = errors[0]["type"]
    if listed:
        choices = [c.strip("' ") for part in listed for c in part.replace(" or ", ",").split(",")]
        return nearest(str(value), choices)
    if kind in ("list_type", "tuple_type"):
        return f"expected a list: [{value}]"
    if kind in ("dict_type", "model_type"):
        return "expected keys and values: {key: value}"
    if kind == "missing":
        return f"expected {inspect.formatannotation(hint)}"
    text = str(errors[0]["msg"])
    return text[:1].lower() + text[1:]


def as_typed(value: Any) -> str:
    """A value as one types it; a text in quotes where it would be read as something else: null, [1], '1'."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        return value if yaml.safe_load(value) == value else repr(value)
    except yaml.YAMLError:
        return repr(value)
