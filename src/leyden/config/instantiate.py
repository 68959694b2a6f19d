"""Instantiate a checked node of a configuration. The only caller of Hydra's instantiate.

Facts about the data are passed by parameter name: `instantiate_with_facts` gives a constructor exactly those of
the offered values that its signature names.
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
    """Call a target with the node's arguments and with those of `offered` that its signature names.

    Raises:
        UserError: the target rejects its arguments or fails otherwise; the message names `path`.
    """
    parameters = parameters_of(import_target(node["_target_"], path))
    parts = {name: value for name, value in offered.items() if name in parameters}
    parts |= {
        name: instantiate_with_facts(f"{path}.{name}", part, offered)
        for name, part in node.items()
        if isinstance(part, Mapping) and "_target_" in part
    }
    plain = {name: value for name, value in node.items() if name not in parts}
    try:
        # facts and nested objects are passed separately: Hydra would convert a dataclass among them to a dictionary
        factory = instantiate({**plain, "_partial_": True}, _convert_="all")
        return functools.partial(factory, **parts) if node.get("_partial_") else factory(**parts)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(_failure_message(path, node, cause or error)) from cause


def _failure_message(path: str, node: Mapping[str, Any], cause: BaseException) -> str:
    """Return the message of a ValueError as it is; for any other exception, add its type and `file:line`."""
    if isinstance(cause, ValueError) or type(cause).__name__ == "MisconfigurationException":  # Lightning's
        return f"{path}: {cause}"
    where = traceback.extract_tb(cause.__traceback__)[-1]
    return (
        f"{path}: {node['_target_']} fails: {type(cause).__name__}: {cause} ({where.filename}:{where.lineno})"
    )
