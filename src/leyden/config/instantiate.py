"""Make the objects of a configuration that has been checked: targets are called with the arguments of their nodes.

Facts about the data are passed by parameter name: `instantiate_with_facts` gives a constructor exactly those of
the offered values that its signature names. Not by Hydra's `instantiate`, which resolves interpolations again, takes
positional arguments from `_args_`, and calls whatever its list of blocked names forgets.
"""

import functools
import traceback
from collections.abc import Mapping
from typing import Any

from leyden.config.signatures import parameters_of
from leyden.config.validate import arguments_of, find_target
from leyden.utils.errors import UserError, first_line


def instantiate_with_facts(path: str, node: Mapping[str, Any], offered: Mapping[str, Any]) -> Any:
    """Call a target with the node's arguments and with those of `offered` that its signature names.

    Raises:
        UserError: the target is not of its place's kind, rejects its arguments or fails otherwise; the message names
            `path`.
    """
    target = find_target(path, node)
    arguments = {
        name: _made(f"{path}.{name}", value, offered) for name, value in arguments_of(path, node).items()
    }
    arguments |= {name: value for name, value in offered.items() if name in parameters_of(target)}
    if node.get("_partial_"):
        return functools.partial(target, **arguments)
    try:
        return target(**arguments)
    except UserError:
        raise
    except Exception as error:
        raise UserError(_failure_message(path, node, error)) from error


def _made(path: str, value: Any, offered: Mapping[str, Any]) -> Any:
    """An argument's value, with the targets in it instantiated; its lists and mappings are copies."""
    if isinstance(value, Mapping) and "_target_" in value:
        return instantiate_with_facts(path, value, offered)
    if isinstance(value, Mapping):
        return {key: _made(f"{path}.{key}", part, offered) for key, part in value.items()}
    if isinstance(value, list):
        return [_made(f"{path}.{place}", part, offered) for place, part in enumerate(value)]
    return value


def _failure_message(path: str, node: Mapping[str, Any], cause: BaseException) -> str:
    """Return the message of a ValueError as it is; for any other exception, add its type and `file:line`."""
    if isinstance(cause, ValueError) or type(cause).__name__ == "MisconfigurationException":  # Lightning's
        return f"{path}: {first_line(cause)}"
    where = traceback.extract_tb(cause.__traceback__)[-1]
    return (
        f"{path}: {node['_target_']} fails: {type(cause).__name__}: {first_line(cause)} "
        f"({where.filename}:{where.lineno})"
    )
