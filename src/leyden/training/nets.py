"""Frontend and net of a configuration; of data with several inputs, those of each."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from leyden.config.instantiate import instantiate_with_facts
from leyden.config.schema import Config, Model
from leyden.config.validate import import_target
from leyden.data.spec import DataSpec
from leyden.data.transforms.named import NamedFrontends
from leyden.utils.errors import UserError, nearest

Facts = Mapping[str, Any]


def frontend_and_net(
    config: Config, facts: Facts, spec: DataSpec
) -> tuple[nn.Module, nn.Module, dict[str, Any]]:
    """The frontend, the net, and the facts that the frontend adds.

    Args:
        config: checked.
        facts: of the data, by the names under which a net asks for them.
        spec: of the data.

    Raises:
        UserError: a target refuses its arguments, an input has no encoder, or the net is for another task.
    """
    frontend, net, added = _frontend_and_net(config, facts, spec)
    task = config.task.name
    if (wanted := getattr(net, "task", task)) != task:
        raise UserError(
            f"model.net: {type(net).__name__} is for task={wanted}, this run has task={task}: choose task={wanted}, "
            "or another model"
        )
    return frontend, net, added


def _frontend_and_net(
    config: Config, facts: Facts, spec: DataSpec
) -> tuple[nn.Module, nn.Module, dict[str, Any]]:
    if not spec.parts or not config.model.encoders:  # a net that reads no input
        return _made("model", config.model, facts)
    encoders, frontends = {}, {}
    for name, part in spec.parts.items():
        model = config.model.encoders.get(name)
        if model is None:
            raise UserError(
                f"model.encoders: the data have the input {name!r}, which has no encoder: "
                f"{nearest(name, config.model.encoders)}; add +model@model.encoders.{name}=... "
                f"with a model for {part.modality}"
            )
        _verify_fits(name, model, part)
        frontends[name], encoders[name], _ = _made(f"model.encoders.{name}", model, {**facts, **part.facts()})
    frontend = NamedFrontends(frontends, {name: part.modality for name, part in spec.parts.items()})
    net = instantiate_with_facts("model.net", config.model.net, {**facts, "encoders": encoders})
    return frontend, net, {}


def _made(path: str, model: Model, facts: Facts) -> tuple[nn.Module, nn.Module, dict[str, Any]]:
    frontend = (
        instantiate_with_facts(f"{path}.frontend", model.frontend, facts) if model.frontend else nn.Identity()
    )
    added: dict[str, Any] = getattr(frontend, "facts", dict)()
    net = instantiate_with_facts(f"{path}.net", model.net, {**facts, **added}) if model.net else nn.Identity()
    return frontend, net, added


def _verify_fits(name: str, model: Model, part: DataSpec) -> None:
    """Refuse an encoder for another modality."""
    own, target = part.modality, model.frontend.get("_target_", "")
    wanted = "any"
    if target:
        wanted = getattr(import_target(target, f"model.encoders.{name}.frontend"), "modality", "any")
    if wanted not in ("any", own):
        raise UserError(
            f"model.encoders.{name}: {model.name} is for {wanted}, but the input {name} is {own}: "
            f"choose another with model@model.encoders.{name}=..."
        )
