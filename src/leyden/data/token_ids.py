"""The text column as token ids: the tokenizer fitted on the training rows, the ids cached beside the columns."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from leyden.data import tokenizers
from leyden.data.array_files import DAMAGED, new_folder, open_array, vanished
from leyden.data.table import Ragged, Table
from leyden.data.tokenizers import Tokenizer
from leyden.utils.errors import UserError
from leyden.utils.files import read_text, verify_plain


def encode(table: Table, tokenizer: Tokenizer, train: np.ndarray, cache: Path) -> tuple[Tokenizer, Ragged]:
    """The fitted tokenizer and the ids of every row of the table.

    Args:
        table: texts as UTF-8 bytes.
        tokenizer: fitted here on the rows `train` if it can be; one that was loaded is used as it is.
        train: int64, rows of the training split: nothing else is seen by the fit.
        cache: folder of the columns.
    """
    folder = cache / f"tokens-{_key(table, tokenizer, train)}"
    if (found := _stored(folder, len(table))) is not None:
        return found
    texts = _texts(table)
    if hasattr(tokenizer, "fit"):
        tokenizer.fit(texts[row] for row in train)
    with new_folder(folder) as fresh:
        values, offsets = tokenizer.encode(texts)
        np.save(fresh / "values.npy", values)
        np.save(fresh / "offsets.npy", offsets)
        (fresh / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    if (found := _stored(folder, len(table))) is None:
        raise vanished(folder)
    return found


def _stored(folder: Path, count: int) -> tuple[Tokenizer, Ragged] | None:
    """The tokenizer and the ids of so many texts in `folder`; None: there are none, or they are damaged."""
    verify_plain(folder)
    try:
        ids = Ragged(open_array(folder / "values.npy"), open_array(folder / "offsets.npy"))
        if len(ids) != count or ids.offsets[-1] != len(ids.values):
            raise ValueError("other texts")
        return tokenizers.load(read_text(folder / "tokenizer.json")), ids
    except (*DAMAGED, UserError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _texts(table: Table) -> list[str]:
    assert isinstance(table.inputs, Ragged)
    return [bytes(table.inputs.row(row)).decode("utf-8") for row in range(len(table))]


def _key(table: Table, tokenizer: Tokenizer, train: np.ndarray) -> str:
    """Texts, tokenizer (its settings, or what it has learnt) and training rows decide the ids."""
    parts = [table.fingerprint, len(table), type(tokenizer).__name__, tokenizer.digest(), settings(tokenizer)]
    rows = np.ascontiguousarray(train).tobytes() if hasattr(tokenizer, "fit") else b""
    return hashlib.blake2b(json.dumps(parts).encode() + rows, digest_size=12).hexdigest()


def settings(tokenizer: Tokenizer) -> str:
    """The settings of a tokenizer's trainer; empty for one that is ready."""
    return repr(getattr(tokenizer, "_trainer", ""))
