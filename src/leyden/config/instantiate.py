"""A checked node of a configuration to an object. The only caller of Hydra's instantiate.

Facts go to a target by parameter name: `provide` gives a constructor exactly those of the offered values that
its signature asks for.
"""

import functools
import traceback
from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from leyden.config.signatures import parameters_of
from leyden.config.validate import import_target
from leyden.utils.errors import UserError


def instantiate_with_facts(path: str, node: Mapping[str, Any], offered: Mapping[str, Any]) -> Any:
    """Call a target with its own arguments and with those of `offered` that its signature names.

    Raises:
        UserError: the target refuses its arguments, or fails otherwise; the message names `path`.
    """
    parameters = parameters_of(import_target(node["_target_"], path))
    given = {name: value for name, value in offered.items() if name in parameters}
    parts = {
        name: instantiate_with_facts(f"{path}.{name}", part, offered)
        for name, part in node.items()
        if isinstance(part, Mapping) and "_target_" in part
    }
    plain = {name: value for name, value in node.items() if name not in parts}
    try:
        if not parts:
            return instantiate(plain, **given, _convert_="all")
        # made apart: Hydra would turn a part that is a dataclass into a dictionary
        made = instantiate({**plain, "_partial_": True}, **given, _convert_="all")
        return functools.partial(made, **parts) if node.get("_partial_") else made(**parts)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(_failure_message(path, node, cause or error)) from cause


def _failure_message(path: str, node: Mapping[str, Any], cause: BaseException) -> str:
    """What a target says of its arguments; an error that speaks of something else, with its place in the code."""
    if isinstance(cause, ValueError) or type(cause).__name__ == "MisconfigurationException":  # Lightning's
        return f"{path}: {cause}"
    where = traceback.extract_tb(cause.__traceback__)[-1]
    return (
        f"{path}: {node['_target_']} fails: {type(cause).__name__}: {cause} ({where.filename}:{where.lineno})"
    )
