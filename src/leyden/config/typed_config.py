"""The plain configuration as the typed one of the schema; its targets are not looked at."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from leyden.config.schema import Config
from leyden.config.signatures import as_typed, reason
from leyden.config.suggestions import UnknownKey
from leyden.utils.errors import UserError

_MAY_BE_INFINITE = ("checkpoint_minutes", "data.limit_gb", "health")  # for never, and for no threshold


def as_config(plain: Mapping[str, Any]) -> Config:
    """The plain configuration with the types of the schema.

    Raises:
        UnknownKey: a key that the schema does not have.
        UserError: a value of another type, NaN, or infinity where it means nothing.
    """
    _verify_finite("", plain)
    try:
        return Config.model_validate(plain)
    except ValidationError as error:
        raise _explain(error) from None


def _verify_finite(path: str, value: Any) -> None:
    """Refuse NaN anywhere, and infinity where it is not a way to say never."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            _verify_finite(f"{path}.{key}" if path else str(key), one)
    elif isinstance(value, list):
        for one in value:
            _verify_finite(path, one)
    elif isinstance(value, float) and (
        math.isnan(value) or (math.isinf(value) and not path.startswith(_MAY_BE_INFINITE))
    ):
        raise UserError(f"{path}={as_typed(value)}: expected a finite number")


def _explain(error: ValidationError) -> UserError:
    """Return the error for pydantic's first one; an unknown key takes precedence over a missing one."""
    ordered = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    first = ordered[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return UnknownKey(path, typed_value(first["input"]), "key", _fields(first["loc"][:-1]))
    if first["type"] == "missing":
        return UserError(f"{path} is missing")
    return UserError(f"{path}={as_typed(first['input'])}: {reason([first], first['input'])}")


def typed_value(value: Any) -> Any:
    """A value as one types it; a mapping as it is."""
    return value if isinstance(value, Mapping) else as_typed(value)


def _fields(path: tuple[int | str, ...]) -> list[str]:
    """Return the valid keys of the node at `path` of the configuration."""
    model: Any = Config
    for key in path:
        model = model.model_fields[str(key)].annotation
    return [f.alias or name for name, f in model.model_fields.items() if name not in ("experiment",)]
