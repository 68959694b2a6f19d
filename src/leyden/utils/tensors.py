"""The one reader of files that torch has written: tensors and plain data, never a pickle that could run code.

    load(folder / "checkpoints" / "best.ckpt")["state_dict"]

torch's `weights_only` reads numbers, texts, lists, tuples, sets, dictionaries and tensors; a caller may add classes of
its own. NumPy's arrays are none of them: their pickles say where memory begins. `--trust` alone lets a file hold
anything. What is no plain data is stored as bytes (`pack`), so that the rest of its file can be read without it.
"""

import io
import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from leyden.utils.errors import UserError
from leyden.utils.files import atomic_write, open_regular
from leyden.utils.trust import is_trusting

_PICKLED = "pickled by leyden"  # the one key of what `pack` returns
_MODULE = "module trained by leyden"  # in the metadata of a safetensors file that `write_weights` made
_VALUES = (
    *(type(None), bool, int, float, complex, str, bytes, bytearray),
    *(Tensor, nn.Parameter, torch.Size, torch.dtype, torch.device),
)


def load(
    file: Path | IO[bytes],
    device: str = "cpu",
    safe: Sequence[type] = (),
    from_disk: bool = False,
    name: str = "",
) -> Any:
    """What `torch.save` has written.

    Args:
        file: its path, or an open file.
        device: that tensors are put on; "meta": only their shapes are read.
        safe: classes that may be in it: containers of data, which do nothing when they are made.
        from_disk: leave tensors on the disk until they are used.
        name: of the file in messages, where it is not its path.

    Raises:
        UserError: it holds another class or a function, which is named.
        OSError: there is no such file, or it is a link, a pipe or a device.
        Exception: whatever torch raises at a file that is damaged, or none of its.
    """
    if isinstance(file, Path):
        open_regular(file).close()
    try:
        with torch.serialization.safe_globals(list(safe)):
            return torch.load(file, map_location=device, mmap=from_disk, weights_only=not is_trusting())
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found is None:
            raise
        raise UserError(
            f"{name or file} holds {found[1]}, which may run code when it is read; of a file whose maker is unknown "
            "only tensors and plain data are read. If you trust it, add --trust (in Python: trust=True)"
        ) from None


def write_weights(path: Path, state: Mapping[str, Any]) -> None:
    """The tensors of a module's `state_dict` in the safetensors format, which holds no code whoever reads it."""
    # Of tensors that share memory, which the format refuses, each is stored.
    found = {
        name: value.cpu().contiguous().clone() for name, value in state.items() if isinstance(value, Tensor)
    }
    with atomic_write(path) as file:
        file.write(safetensors.torch.save(found, metadata={_MODULE: "state_dict"}))


def read_weights(path: Path) -> tuple[dict[str, Tensor], bool]:
    """The tensors of a safetensors file, and whether they are a whole module's, as `write_weights` names them.

    Raises:
        Exception: whatever safetensors raises at a file that is damaged, or none of its.
    """
    open_regular(path).close()
    with safe_open(path, "pt") as file:
        names = list(file.keys())  # it cannot be iterated itself
        return {name: file.get_tensor(name) for name in names}, _MODULE in (file.metadata() or {})


def is_plain(value: Any) -> bool:
    """Whether `load` reads this value."""
    if type(value) in (dict, OrderedDict, Counter):
        return all(map(is_plain, value.keys())) and all(map(is_plain, value.values()))
    if type(value) in (list, tuple, set):
        return all(map(is_plain, value))
    return type(value) in _VALUES


def pack(value: Any) -> Any:
    """A plain value as it is, any other as bytes for `unpack`."""
    if is_plain(value):
        return value
    written = io.BytesIO()
    torch.save(value, written)
    return {_PICKLED: written.getvalue()}


def is_packed(value: Any) -> bool:
    """Whether `pack` has made bytes of a value."""
    return type(value) is dict and set(value) == {_PICKLED}


def unpack(value: Any, name: str) -> Any:
    """What `pack` was given. name: of the value, in messages.

    Raises:
        UserError: it is no plain data, and the user has not said --trust.
    """
    return load(io.BytesIO(value[_PICKLED]), name=name) if is_packed(value) else value
