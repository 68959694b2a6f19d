"""What may stand at each place of a configuration that takes a target: its kind, and whose classes fit it.

Every target is held to the kind of its place before it is called, typed or stored. Of a stored configuration
(`leyden.config.stored`) only classes of `roots` are used. A class is told by the names of its bases, so that nothing is
imported for it.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, get_origin, get_type_hints

from leyden.utils.errors import UserError


class Kind(NamedTuple):
    """What a target of one place is.

    Attributes:
        words: as messages say it.
        roots: modules of Leyden (".nets") and of its main dependencies whose classes fit.
        base: full name of the class that it derives from, where that is asked.
        methods: that it has.
        is_function: whether it is called with scores and targets, and not to make an object.
    """

    words: str
    roots: tuple[str, ...]
    base: str = ""
    methods: tuple[str, ...] = ()
    is_function: bool = False


def _full(name: str) -> str:
    """The full name of what stands in the table without Leyden's: a package above this one is named, not imported."""
    return f"{__package__.partition('.')[0]}{name}" if name.startswith(".") else name


def _derived(base: str, *roots: str) -> Kind:
    words = (
        _full(base)
        .replace("torch.nn.modules.module", "torch.nn")
        .replace("torch.optim.optimizer", "torch.optim")
    )
    return Kind(f"a class derived from {words}", tuple(map(_full, roots)), _full(base))


def _with(*methods: str, roots: tuple[str, ...]) -> Kind:
    words = "a class whose objects can be called" if methods == ("__call__",) else "a class with the methods "
    named = "" if methods == ("__call__",) else ", ".join(methods)
    return Kind(words + named, tuple(map(_full, roots)), methods=methods)


_MODULE = "torch.nn.modules.module.Module"
_TRANSFORMS = (".data.transforms", "torch.nn", "torchvision.transforms")
_TOKENIZER = _with("fit", "encode", "to_json", roots=(".data.tokenizers",))
METRIC = "metrics.*.function"

KINDS: dict[str, Kind] = {
    "task.target": _derived(".tasks.base.Task", ".tasks"),
    "data.source": _with("fingerprint", "index", "decode", "facts", roots=(".data.sources",)),
    "data.tokenizer": _TOKENIZER,
    "split": _with("__call__", roots=(".data.split",)),
    "long_tail": _with("__call__", roots=(".data.long_tail",)),
    "sampling": _with("prior", "length", roots=(".data.sampling_policies",)),
    "augment.*": _derived(_MODULE, *_TRANSFORMS),
    "model.tokenizer": _TOKENIZER,
    "model.frontend": _derived(_MODULE, *_TRANSFORMS),
    "model.net": _derived(_MODULE, ".nets", "torch.nn", "torchvision"),
    "model.encoders.*.frontend": _derived(_MODULE, *_TRANSFORMS),
    "model.encoders.*.net": _derived(_MODULE, ".nets", "torch.nn", "torchvision"),
    "head": _with("__call__", roots=(".nets.heads",)),
    "loss": _derived(_MODULE, ".losses", "torch.nn", "torchmetrics"),
    "model.module": _derived(
        "lightning.pytorch.core.module.LightningModule", ".modules", "lightning.pytorch"
    ),
    "optimizer": _derived("torch.optim.optimizer.Optimizer", "torch.optim"),
    "scheduler": _with("__call__", roots=(".optim",)),
    "decision": _with("fit", roots=(".decision",)),
    "health": _derived(".health.settings.DiagnosticsSettings", ".health.settings"),
    "trainer": _derived("lightning.pytorch.trainer.trainer.Trainer", "lightning.pytorch"),
    "callbacks.*": _derived(
        "lightning.pytorch.callbacks.callback.Callback", ".callbacks", "lightning.pytorch.callbacks"
    ),
    "logger.*": _derived(
        "lightning.pytorch.loggers.logger.Logger", ".callbacks", "lightning.pytorch.loggers"
    ),
    METRIC: Kind(
        "a function of scores and targets", (".metrics", "torchmetrics.functional"), is_function=True
    ),
}


def kind_of_place(path: str) -> Kind | None:
    """The kind of a place of the configuration, by its dotted path; None: inside of a target."""
    parts = path.split(".")
    for pattern, kind in KINDS.items():
        names = pattern.split(".")
        if len(names) == len(parts) and all(n in ("*", part) for n, part in zip(names, parts, strict=True)):
            return kind
    return None


def verify_kind(path: str, name: str, target: Callable[..., Any], is_partial: bool) -> None:
    """Hold a target to the kind of its place; one inside of another target is not held to any.

    Raises:
        UserError: it is of another kind; the message says which is expected.
    """
    kind = kind_of_place(path)
    if kind is None:
        return
    if is_partial and not kind.is_function:
        raise UserError(f"{path}._partial_: expected {kind.words}, to be made of it; leave _partial_ out")
    if not fits_kind(target, kind):
        raise UserError(
            f"{path}._target_={name}: expected {kind.words}, got {_described(target)}; "
            f"`leyden list {path.partition('.')[0]}` shows what there is"
        )


def fits_kind(target: Any, kind: Kind) -> bool:
    """Whether a class, or what a function is annotated to return, is of a kind."""
    if kind.is_function:
        return inspect.isfunction(target) and len(_positional(target)) >= 2
    found = target if inspect.isclass(target) else _returned(target)
    bases = getattr(found, "__mro__", ())
    names = {f"{base.__module__}.{base.__qualname__}" for base in bases}
    has = all(any(method in vars(base) for base in bases) for method in kind.methods)
    return bool(bases) and has and (not kind.base or kind.base in names)


def _returned(function: Any) -> Any:
    """The class that a function is annotated to return; None where it is not."""
    try:
        hint = get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):
        return None
    return get_origin(hint) or hint


def _positional(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _described(target: Any) -> str:
    if inspect.isclass(target):
        return f"the class {target.__name__}"
    hint = getattr(_returned(target), "__name__", None)
    return (
        f"a function that returns {hint}"
        if hint
        else "a function whose annotation does not say what it returns"
    )
