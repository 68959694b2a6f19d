"""Weights taken over from another run or file (`init.from`), and parameters frozen (`init.freeze`)."""

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn

from leyden.config.schema import Config
from leyden.nets import heads
from leyden.utils import tensors
from leyden.utils.console import console
from leyden.utils.errors import UserError, nearest
from leyden.utils.text import plural


def names_of(module: nn.Module, patterns: Sequence[str], head: str) -> set[str]:
    """The parameters that globs name; "head" stands for those whose names begin with `head`, "backbone" for all others.

    Raises:
        ValueError: a pattern matches no parameter.
    """
    everything = [name for name, _ in module.named_parameters()]
    meant = {"head": {n for n in everything if n.startswith(head)}}
    meant["backbone"] = set(everything) - meant["head"]
    found: set[str] = set()
    for pattern in patterns:
        matching = meant.get(pattern) or {name for name in everything if fnmatch(name, pattern)}
        if not matching:
            there = sorted({name.rpartition(".")[0] + ".*" for name in everything})[:20]
            raise ValueError(
                f"{pattern!r} matches no parameter; there are: head, backbone, {', '.join(there)}"
            )
        found |= matching
    return found


def freeze(module: nn.Module, names: Collection[str]) -> int:
    """Freeze the parameters of these names; returns how many values that are."""
    frozen = 0
    for name, parameter in module.named_parameters():
        if name in names:
            frozen += parameter.numel() if parameter.requires_grad else 0
            parameter.requires_grad = False
    return frozen


def transfer(module: nn.Module, weights: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Copy what agrees in name and shape; returns (names copied, names of the module left as they were).

    Raises:
        ValueError: nothing agrees.
    """
    own = module.state_dict()
    fits = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    if not any(k in dict(module.named_parameters()) for k in fits):
        raise ValueError(f"no weight of the {len(weights)} there fits this net by name and shape")
    module.load_state_dict(fits, strict=False)
    return sorted(fits), sorted(set(own) - set(fits))


def start(built: LightningModule, config: Config, num_classes: int) -> None:
    """Take over weights (`init.from`, less `init.redraw`) and freeze (`init.freeze`).

    Raises:
        UserError: no such file or run, no weight fits, or a pattern matches nothing.
    """
    named = {"head", "backbone"} & {*config.init.redraw, *config.init.freeze}
    head = f"net.{heads.find(built.net, num_classes)}." if named else ""  # type: ignore[arg-type]
    if config.init.source is not None:
        path = weight_file(Path(config.init.source))
        try:
            redrawn = names_of(built, config.init.redraw, head)
            kept = {name: value for name, value in weights(path).items() if name not in redrawn}
            copied, left = transfer(built, kept)
        except ValueError as error:
            raise UserError(f"init.from={config.init.source}: {error}") from error
        console.print(
            f"init.from: {plural(len(copied), 'tensor')} taken from {path}; not loaded: {', '.join(left) or 'none'}"
        )
    for name, source in config.init.encoders.items():
        _start_encoder(built, name, source)
    try:
        frozen = freeze(built, names_of(built, config.init.freeze, head))
    except ValueError as error:
        raise UserError(f"init.freeze: {error}") from error
    if frozen:
        console.print(f"init.freeze: {plural(frozen, 'parameter')} frozen")


def _start_encoder(built: LightningModule, name: str, source: str) -> None:
    """Take over frontend and net of a run with one input as an encoder's, or the same encoder of a fused run."""
    encoders = getattr(built.net, "encoders", {})
    key = f"init.encoders.{name}"
    if name not in encoders:
        raise UserError(f"{key}: there is no such encoder; {nearest(name, list(encoders))}")
    path = weight_file(Path(source), key)
    moved = {}
    for full, value in weights(path).items():
        part, _, rest = full.partition(".")
        own = f"net.encoders.{name}." if part == "net" else f"{part}.{name}."
        moved[full if full.startswith(own) else f"{own}{rest}"] = value
    try:
        copied, _ = transfer(built, moved)
    except ValueError as error:
        raise UserError(f"{key}={source}: {error}") from error
    console.print(f"{key}: {plural(len(copied), 'tensor')} taken from {path}")


def weight_file(path: Path, key: str = "init.from") -> Path:
    """The weights that `path` means: itself, or the best checkpoint of the run whose folder it is."""
    if path.is_file():
        return path.resolve()  # what was typed may be a link, as in a cache of downloaded weights
    best = path / "checkpoints" / "best.ckpt"
    if not best.is_file():
        near = (str(p.parents[1]) for p in path.parent.glob("*/checkpoints/best.ckpt"))
        raise UserError(
            f"{key}={path}: neither a weight file nor a run with a best checkpoint (folder, fingerprint, last); "
            f"{nearest(str(path), near)}"
        )
    return best


def weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, of safetensors or of a plain state_dict, whose names get the prefix of the net's.

    Raises:
        UserError: the file holds no weights, or something that could run code.
    """
    try:
        found, is_module = tensors.read_weights(path) if path.suffix == ".safetensors" else _stored(path)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as weights ({type(error).__name__}): it is damaged, or no checkpoint or state_dict"
        ) from error
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise UserError(f"{path} holds neither a checkpoint nor a state_dict")
    return {name if is_module else f"net.{name}": value for name, value in found.items()}


def _stored(path: Path) -> tuple[Any, bool]:
    """What should be weights in a file that torch wrote, and whether they are a whole module's."""
    stored = tensors.load(path)
    is_checkpoint = isinstance(stored, Mapping) and "state_dict" in stored
    return (stored["state_dict"] if is_checkpoint else stored), is_checkpoint
