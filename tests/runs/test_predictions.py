"""Stored predictions: read as they were written, or refused in one message."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import run_folders
from leyden.runs.predictions import read_predictions, stored_splits
from leyden.utils.errors import UserError


def stored(folder: Path, split: str = "val", **arrays: Any) -> Path:
    path = folder / "predictions" / f"{split}.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def test_arrays_are_read_by_name(tmp_path: Path) -> None:
    folder = run_folders.write(tmp_path)
    stored(folder, rows=np.array([4, 2], np.int32), labels=np.array([0, 1]), probabilities=np.eye(2))
    found = read_predictions(folder, "val")
    assert stored_splits(folder) == ["val"]
    assert found["rows"].tolist() == [4, 2]
    assert found["rows"].dtype == np.int64
    assert found["probabilities"].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"labels": np.arange(3)}, "rows"),
        ({"rows": np.zeros(0, np.int64)}, "row numbers"),
        ({"rows": np.array([0.5])}, "row numbers"),
        ({"rows": np.arange(3), "labels": np.arange(2)}, "`labels`"),
        ({"rows": np.arange(1), "labels": np.array(["a"])}, "`labels`"),
        ({"rows": np.arange(1), "labels": np.array([None])}, "allow_pickle"),
        ({"rows": np.arange(1), "probabilities": np.array([np.nan])}, "NaN"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], why: str) -> None:
    folder = run_folders.write(tmp_path)
    stored(folder, **arrays)
    with pytest.raises(UserError, match=r"val\.npz is damaged") as refused:
        read_predictions(folder, "val")
    assert why in str(refused.value)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    folder = run_folders.write(tmp_path)
    path = stored(folder, rows=np.arange(300), labels=np.arange(300))
    whole = path.read_bytes()
    for content in (
        b"",
        b"PK",
        whole[:200],
        whole[: len(whole) // 2] + bytes(50) + whole[len(whole) // 2 + 50 :],
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is damaged"):
            read_predictions(folder, "val")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="not a regular file"):
        read_predictions(folder, "val")


def test_it_says_why_there_are_none(tmp_path: Path) -> None:
    failed, complete = run_folders.write(tmp_path, "failed"), run_folders.write(tmp_path, seed=2)
    with pytest.raises(UserError, match="it is failed"):
        read_predictions(failed, "val")
    with pytest.raises(UserError, match="keeps no outputs"):
        read_predictions(complete, "val")
    stored(complete, "test", rows=np.arange(1))
    with pytest.raises(UserError, match="--split test"):
        read_predictions(complete, "val")
