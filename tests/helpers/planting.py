"""Configurations whose net goes wrong at a chosen step, in a chosen module; for tests and scripts/torture_health."""

from typing import Any, NamedTuple

from faults import keys_of
from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.modules.standalone import fit_frontend
from leyden.training import build

NETS = {
    "image": ["data=planted_images", "model=cnn"],
    "text": ["data=planted_text", "model=lstm"],
    "audio": ["data=planted_audio", "model=logmel_cnn"],
}


class Prepared(NamedTuple):
    """A configuration, and what training will be made of."""

    plain: dict[str, Any]
    module: Any
    batches: list[Any]  # of the first epoch, in order


def prepared(words: list[str]) -> Prepared:
    """Read the data, build the module, fit its frontend."""
    plain = compose(words)
    config = check(plain)
    made = build.experiment(config)
    module: Any = made.module()
    fit_frontend(module, made.data)
    return Prepared(plain, module, list(made.data.training_loader(config.epochs)))


def planted(words: list[str], steps: list[int], module: str, **more: Any) -> dict[str, Any]:
    """The configuration whose net goes wrong in these batches of the first epoch, in a module."""
    plain, built, batches = prepared(words)
    found = keys_of(built, [batches[step] for step in steps])
    plain["model"]["net"] = {
        "_target_": "faults.Planted",
        "net": plain["model"]["net"],
        "module": module,
        "triggers": [float(of.max()) for of in found],
        **more,
    }
    return plain


def modules_of(words: list[str]) -> list[str]:
    """Names of the innermost modules of the net that a training step calls."""
    _, built, batches = prepared(words)
    called: list[str] = []
    for name, part in built.net.named_modules():
        if name and not any(part.children()):
            part.register_forward_hook(lambda *_, name=name: called.append(name))
    built(built.prepare(batches[0]))
    return called
