"""The text column as token ids: the tokenizer fitted on the training rows, the ids cached beside the columns."""

import hashlib
import json
from pathlib import Path

import numpy as np

from leyden.data import tokenizers
from leyden.data.array_files import new_folder, open_array
from leyden.data.table import Ragged, Table
from leyden.data.tokenizers import Tokenizer
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
    if folder.exists():
        verify_plain(folder)
    else:
        texts = _texts(table)
        if hasattr(tokenizer, "fit"):
            tokenizer.fit(texts[row] for row in train)
        with new_folder(folder) as fresh:
            values, offsets = tokenizer.encode(texts)
            np.save(fresh / "values.npy", values)
            np.save(fresh / "offsets.npy", offsets)
            (fresh / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    ids = Ragged(open_array(folder / "values.npy"), open_array(folder / "offsets.npy"))
    return tokenizers.load(read_text(folder / "tokenizer.json")), ids


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
