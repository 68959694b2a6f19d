"""Parameters of a target: their names, their annotations, and type checks of YAML values against them."""

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_type_hints

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
from pydantic_core import SchemaError

from leyden.utils.errors import UserError, nearest

# Ranges for arguments of code outside Leyden: values beyond them fail late, or the training never ends.
RANGES: dict[str, dict[str, Any]] = {
    "trainer": {
        "max_epochs": Annotated[int, Interval(ge=1, le=100_000)],  # each is planned before the first
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
    """Return the named parameters of a target; **kwargs of a class are replaced by its parent's parameters."""
    merged: dict[str, inspect.Parameter] = {}
    for layer in layers_of(target):
        merged = {**inspect.signature(layer).parameters, **merged}
    open_ended = _takes_any(layers_of(target)[-1])
    return {
        n: p for n, p in merged.items() if p.kind not in _STARRED or (open_ended and p.kind is p.VAR_KEYWORD)
    }


_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _takes_any(target: Callable[..., Any]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values())


def layers_of(target: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return the target and, as long as the last one takes **kwargs, the next base class that defines `__init__`."""
    layers = [target]
    for base in target.__mro__[1:] if inspect.isclass(target) else ():
        if not _takes_any(layers[-1]):
            break
        if "__init__" in vars(base) and base is not object:
            layers.append(base)
    return layers


@functools.lru_cache(256)
def hints_of(target: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the evaluated annotations of a target's arguments; those that cannot be evaluated are omitted."""
    hints: dict[str, Any] = {}
    for layer in layers_of(target):
        try:
            own = get_type_hints(layer.__init__ if inspect.isclass(layer) else layer, include_extras=True)
        except (NameError, TypeError):
            continue
        hints = {**own, **hints}
    return hints


def verify_type(path: str, value: Any, hint: Any) -> None:
    """Check that `value`, as JSON, satisfies the annotated type (lists are accepted as tuples).

    Raises:
        UserError: it does not; the message names `path`, the value and what was expected.
    """
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError, SchemaError):
        # no type that a YAML value could satisfy; the constructor reports its own error, a protocol has none
        kinds = [kind for kind in (hint, *get_args(hint)) if getattr(kind, "_is_protocol", False)]
        if kinds and not (value is None and type(None) in get_args(hint)):
            raise UserError(
                f"{path}={as_typed(value)}: expected a {kinds[0].__name__}: {{_target_: package.module.Name}}"
            ) from None
        return
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        errors = [e for e in error.errors(include_url=False) if e["type"] != "is_instance_of"]
        if errors:
            raise UserError(f"{path}={as_typed(value)}: {reason(errors, value, hint)}") from None


def reason(errors: Sequence[Any], value: Any, hint: Any = "") -> str:
    """Rewrite pydantic's first error as the end of a message; for a list of choices, suggest the nearest.

    Args:
        errors: what `ValidationError.errors` returns of one value.
        value: the value.
        hint: its annotation.
    """
    expected = [e["ctx"]["expected"] for e in errors if e["type"] == "literal_error"]
    kind = errors[0]["type"]
    if expected:
        choices = [c.strip("' ") for part in expected for c in part.replace(" or ", ",").split(",")]
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
    """Return a value as typed on the command line; a string is quoted if YAML would parse it otherwise: null, '1'."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        return value if yaml.safe_load(value) == value else repr(value)
    except yaml.YAMLError:
        return repr(value)
