"""Columns: decoded once, stored whole, opened without reading; bad files listed; processes may race."""

import json
import multiprocessing
import os
import pickle
import shutil
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.data import cache, token_ids
from leyden.data.array_files import ArrayWriter, new_folder
from leyden.data.cache import load
from leyden.data.decode import BadInput
from leyden.data.index import NumberedNames, PackedStrings, encode
from leyden.data.table import Dense, FileColumn, Index, Ragged, Source, pad
from leyden.data.targets import verify
from leyden.data.tokenizers import Word
from leyden.utils import parallel
from leyden.utils.errors import UserError


class Made:
    """A source made of arrays; counts its decodes. An entry that is a str is a bad file with that reason."""

    def __init__(
        self,
        modality: str,
        items: Sequence[np.ndarray | str],
        labels: Sequence[int],
        split: Sequence[int] | None = None,
        key: str = "k",
    ) -> None:
        self.modality = modality
        self.items, self.labels, self.split, self.key = items, labels, split, key
        self.decoded: list[int] = []

    def fingerprint(self, cache: Path) -> str:
        return f"made-{self.key}"

    def index(self) -> Index:
        n = len(self.labels)
        return Index(
            targets=np.array(self.labels, dtype=np.int64),
            target_names=tuple(f"c{c}" for c in range(max(self.labels) + 1)),
            split=None if self.split is None else np.array(self.split, dtype=np.int8),
            group=(np.arange(n) % 3).astype(np.int32),
            group_names=("ä", "b", "c"),
            names=[f"dir/ü{row}.x" for row in range(n)],
            truth=np.arange(2 * n, dtype=np.int32).reshape(n, 2),
        )

    def decode(self, row: int) -> np.ndarray:
        self.decoded.append(row)
        item = self.items[row]
        if isinstance(item, str):
            raise BadInput(f"dir/ü{row}.x", item)
        return item

    def facts(self) -> dict[str, Any]:
        return {"sample_rate": 8000} if self.modality == "audio" else {}


def images(n: int = 10, shape: tuple[int, ...] = (1, 3, 4)) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(n)]


def clips(n: int = 10) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(-9, 9, 1 + 7 * i % 11).astype(np.int16) for i in range(n)]


def same_index(a: Index, b: Index) -> None:
    assert (a.target_names, a.group_names, list(a.names)) == (b.target_names, b.group_names, list(b.names))
    for name in ("targets", "split", "group", "truth"):
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None)
        if left is not None:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)


def test_made_is_a_source() -> None:
    assert isinstance(Made("image", images(), [0, 1] * 5), Source)


def test_images_become_dense_and_the_second_start_decodes_nothing(tmp_path: Path) -> None:
    items, labels, split = images(), [0, 1] * 5, [0] * 8 + [2] * 2
    table = load(Made("image", items, labels, split), tmp_path)
    again = Made("image", items, labels, split)
    second = load(again, tmp_path)
    assert again.decoded == []
    for found in (table, second):
        assert isinstance(found.inputs, Dense)
        assert found.inputs.shape == (1, 3, 4)
        assert len(found) == len(found.inputs) == 10
        assert found.fingerprint == "made-k"
        assert not len(found.skipped)
        rows = torch.tensor([3, 3, 0])
        gathered = found.inputs.gather(rows).values
        assert gathered.dtype == torch.uint8
        np.testing.assert_array_equal(gathered.numpy(), np.stack([items[r] for r in (3, 3, 0)]))
        assert torch.equal(gathered, found.inputs.gather(rows.numpy()).values)
        same_index(found.index, Made("image", items, labels, split).index())


def test_sequences_become_ragged(tmp_path: Path) -> None:
    items = clips()
    for _ in range(2):
        table = load(Made("audio", items, [0, 1] * 5), tmp_path)
        assert isinstance(table.inputs, Ragged)
        assert table.facts == {"sample_rate": 8000}
        assert table.index.split is None
        assert table.inputs.lengths.tolist() == [len(item) for item in items]
        for row, item in enumerate(items):
            np.testing.assert_array_equal(table.inputs.row(row), item)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(-5, 5), max_size=6), min_size=1, max_size=8), st.data())
def test_ragged_gather_pads(lists: list[list[int]], data: st.DataObject) -> None:
    offsets = np.cumsum([0, *map(len, lists)])
    column = Ragged(np.array([v for one in lists for v in one], dtype=np.int16), offsets)
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    values, lengths = column.gather(np.array(rows, dtype=np.int64))
    longest = max((len(lists[r]) for r in rows), default=0)
    assert values.dtype == torch.int16
    assert lengths.dtype == torch.int64
    assert values.tolist() == [lists[r] + [0] * (longest - len(lists[r])) for r in rows]
    assert lengths.tolist() == [len(lists[r]) for r in rows]
    assert torch.equal(column.gather(torch.tensor(rows, dtype=torch.int64))[0], values)


def test_writing_into_a_batch_changes_no_file(tmp_path: Path) -> None:
    source = Made("image", images(), [0, 1] * 5)
    table = load(source, tmp_path)
    assert isinstance(table.inputs, Dense)
    table.inputs.gather(torch.arange(10)).values.zero_()
    table.inputs.values[:] = 0  # copy-on-write
    np.testing.assert_array_equal(
        load(source, tmp_path).inputs.gather(torch.arange(10)).values, np.stack(images())
    )


def test_bad_files_stop_and_are_all_listed(tmp_path: Path) -> None:
    items: list[Any] = images(60)
    bad = list(range(1, 60, 2))[:25]
    for row in bad:
        items[row] = "is truncated"
    with pytest.raises(UserError) as caught:
        load(Made("image", items, [0, 1] * 30), tmp_path)
    message = str(caught.value)
    assert "25 inputs cannot be used" in message
    assert "dir/ü1.x: is truncated" in message
    assert message.count("is truncated") == 20
    assert "and 5 more" in message
    assert "data.on_bad=skip" in message
    assert not list(tmp_path.iterdir())


def test_bad_files_are_skipped_and_recorded(tmp_path: Path) -> None:
    items: list[Any] = images()
    items[2], items[7] = "is truncated", "is empty"
    for _ in range(2):
        table = load(Made("image", items, [0, 1] * 5), tmp_path, on_bad="skip")
        assert table.skipped.lines() == ["dir/ü2.x: is truncated", "dir/ü7.x: is empty"]
        rows = np.array([0, 1, 3, 4, 5, 6, 8, 9])
        same_index(table.index, Made("image", items, [0, 1] * 5).index().take(rows))
        np.testing.assert_array_equal(
            table.inputs.gather(np.arange(8)).values, np.stack([items[r] for r in rows])
        )
    with pytest.raises(UserError, match="2 inputs cannot be used"):  # what was skipped still stops
        load(Made("image", items, [0, 1] * 5), tmp_path, on_bad="stop")


@pytest.mark.parametrize(
    ("labels", "bad", "message"),
    [([0, 0, 0, 1], [3], "class 'c1'"), ([0, 0, 1, 1], [0, 1, 2, 3], "4 inputs")],
)
def test_a_class_must_not_vanish(tmp_path: Path, labels: list[int], bad: list[int], message: str) -> None:
    items: list[Any] = images(4)
    for row in bad:
        items[row] = "is bad"
    with pytest.raises(UserError, match=message):
        load(Made("image", items, labels), tmp_path, on_bad="skip")


def test_a_class_must_not_vanish_from_training(tmp_path: Path) -> None:
    items: list[Any] = images(4)
    items[1] = "is bad"
    with pytest.raises(UserError, match=r"test split has labels.*'c1'"):
        load(Made("image", items, [0, 1, 0, 1], [0, 0, 2, 2]), tmp_path, on_bad="skip")


def test_images_of_several_shapes_are_refused(tmp_path: Path) -> None:
    items = images(6, (3, 8, 8)) + images(3, (3, 8, 10)) + images(1, (1, 8, 8))
    with pytest.raises(UserError) as caught:
        load(Made("image", items, [0, 1] * 5), tmp_path)
    message = str(caught.value)
    assert "data.source.size=8" in message
    assert "data.source.channels=3" in message
    assert "8x8 pixels, 3 channels: 6 images, e.g. dir/ü0.x" in message
    assert "10x8 pixels, 3 channels: 3 images, e.g. dir/ü6.x" in message


def test_a_wrong_dtype_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gave float64, expected uint8"):
        load(Made("image", [np.zeros((1, 2, 2))] * 2, [0, 1]), tmp_path)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_above_the_limit_inputs_stay_files(tmp_path: Path, modality: str) -> None:
    items: list[Any] = images() if modality == "image" else clips()
    columns = load(Made(modality, items, [0, 1] * 5, key="c"), tmp_path)
    broken = [*items]
    broken[4] = "is bad"
    for _ in range(2):
        source = Made(modality, broken, [0, 1] * 5)
        table = load(source, tmp_path, on_bad="skip", limit_gb=1e-9)
        assert isinstance(table.inputs, FileColumn)
        assert len(table.inputs) == len(table.index) == 9
        copy = pickle.loads(pickle.dumps(table.inputs))
        rows = torch.tensor([5, 0, 3])
        expected = columns.inputs.gather(torch.tensor([6, 0, 3]))
        for found in (table.inputs.gather(rows), copy.gather(rows)):
            if modality == "image":
                assert torch.equal(found.values, expected.values)
                assert table.inputs.shape == columns.inputs.shape
            else:
                assert all(map(torch.equal, found, expected))
                assert table.inputs.lengths.tolist() == [len(x) for i, x in enumerate(items) if i != 4]
    assert len(source.decoded) == 3  # the second start decoded nothing but the batch
    assert not (tmp_path / "made-k").exists()
    raised = load(Made(modality, broken, [0, 1] * 5), tmp_path, on_bad="skip", limit_gb=1)
    assert isinstance(raised.inputs, Dense | Ragged)


def test_text_never_stays_files(tmp_path: Path) -> None:
    items = [np.frombuffer(b"some text", dtype=np.uint8)] * 4
    assert isinstance(load(Made("text", items, [0, 1] * 2), tmp_path, limit_gb=1e-9).inputs, Ragged)


def test_a_file_gone_bad_later_is_named(tmp_path: Path) -> None:
    items: list[Any] = images()
    table = load(Made("image", items, [0, 1] * 5), tmp_path, limit_gb=1e-9)
    items[3] = "is truncated"
    with pytest.raises(UserError, match=r"ü3\.x: is truncated"):
        table.inputs.gather(torch.tensor([3]))


@pytest.mark.parametrize("damage", ["json", "format", "earlier", "shorten", "remove"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: str) -> None:
    """earlier: a quotation mark that is not closed swallowed rows of a table, which is refused since format 4."""
    items = images(100)
    load(Made("image", items, [0, 1] * 50), tmp_path)
    folder = tmp_path / "made-k"
    description, values = folder / "table.json", folder / "values.npy"
    if damage == "json":
        description.write_text("{")
    elif damage in ("format", "earlier"):
        number = 0 if damage == "format" else 3
        description.write_text(json.dumps({**json.loads(description.read_text()), "format": number}))
    elif damage == "shorten":
        os.truncate(values, values.stat().st_size // 2)
    else:
        values.unlink()
    source = Made("image", items, [0, 1] * 50)
    np.testing.assert_array_equal(
        load(source, tmp_path).inputs.gather(np.arange(100)).values, np.stack(items)
    )
    assert set(source.decoded) == set(range(100))


@pytest.mark.parametrize("name", ["values.npy", "offsets.npy", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["shorten", "empty", "remove", "others"])
def test_damaged_token_ids_are_made_again(tmp_path: Path, name: str, damage: str) -> None:
    """others: what belongs to fewer texts."""
    texts = [np.frombuffer(b"a text of words", np.uint8)] * 9 + [np.frombuffer(b"one", np.uint8)]
    table, train = load(Made("text", texts, [0, 1] * 5), tmp_path), np.arange(10)
    tokenizer, ids = token_ids.encode(table, Word(min_frequency=1), train, tmp_path)
    expected = ids.gather(train).values
    (folder,) = tmp_path.glob("tokens-*")
    path, written = folder / name, {file.name: file.read_bytes() for file in folder.iterdir()}
    if damage == "shorten":
        os.truncate(path, path.stat().st_size // 2)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "remove":
        path.unlink()
    elif name != "tokenizer.json":
        np.save(path, np.load(path)[:-1])
    again, found = token_ids.encode(table, Word(min_frequency=1), train, tmp_path)
    assert again.to_json() == tokenizer.to_json()
    np.testing.assert_array_equal(found.gather(train).values, expected)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == written


def test_the_loser_of_a_race_uses_the_winners_folder(tmp_path: Path) -> None:
    barrier = threading.Barrier(2)
    target = tmp_path / "t"

    def writer(word: str) -> None:
        with new_folder(target) as folder:
            (folder / "word").write_text(word)
            barrier.wait()

    both = [threading.Thread(target=writer, args=(word,)) for word in ("a", "b")]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert (target / "word").read_text() in ("a", "b")
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def _load_one(cache: Path) -> int:
    table = load(Made("audio", clips(200), [0, 1] * 100), cache)
    return int(table.inputs.gather(torch.arange(200))[0].sum())


def test_processes_may_race(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert len(set(pool.map(_load_one, [tmp_path] * 4, chunksize=1))) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["made-k"]


def test_a_failure_leaves_nothing_and_old_remains_are_swept(tmp_path: Path) -> None:
    old, new = tmp_path / ".tmp-old", tmp_path / ".tmp-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (time.time() - 3 * 24 * 3600,) * 2)
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "t"):
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == [".tmp-new"]


def test_a_full_disk_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=50)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"cache=DIR"):
        load(Made("image", images(), [0, 1] * 5), tmp_path)


class Long(Made):
    """Clips of 400 kB that exist only while they are decoded."""

    def __init__(self, n: int) -> None:
        super().__init__("audio", [], [0, 1] * (n // 2))

    def decode(self, row: int) -> np.ndarray:
        return np.full(200_000, row, dtype=np.int16)


def test_memory_stays_bounded(tmp_path: Path) -> None:
    tracemalloc.start()
    table = load(Long(400), tmp_path)  # 160 MB
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(table.inputs, Ragged)
    assert table.inputs.row(399)[-1] == 399
    assert peak < (2 * parallel.threads() + 3) * cache.CHUNK_BYTES + 20e6


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=8))
def test_the_array_writer_writes_npy(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    path = tmp_path_factory.mktemp("w") / "a.npy"
    writer = ArrayWriter(path, np.int16, (2, 3))
    blocks = [np.full((size, 2, 3), i, dtype=np.int16) for i, size in enumerate(sizes)]
    for block in blocks:
        writer.append(block)
    writer.close()
    np.testing.assert_array_equal(np.load(path), np.concatenate([np.zeros((0, 2, 3), np.int16), *blocks]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 300), st.integers(1, 70))
def test_work_keeps_order(n: int, chunk: int) -> None:
    assert list(parallel.parallel_map(lambda i: i * i, range(n), "x", chunk)) == [i * i for i in range(n)]


def test_work_stops_when_its_user_does() -> None:
    begun: list[int] = []

    def slow(i: int) -> int:
        begun.append(i)
        time.sleep(0.001)
        return i

    results = parallel.parallel_map(slow, range(10_000), "x", chunk=1)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    results.close()  # what an exception in the loop that uses it does
    assert len(begun) < 1000


def test_the_bar_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[bool] = []
    monkeypatch.setattr(parallel, "PATIENCE", 0.0)
    monkeypatch.setattr(parallel._Bar, "_open", lambda self: opened.append(True))
    run: Callable[[], list[int]] = lambda: list(parallel.parallel_map(abs, range(9), "x", chunk=3))  # noqa: E731
    run()
    assert opened == []
    monkeypatch.setattr(parallel.sys, "stderr", type("Terminal", (), {"isatty": lambda self: True})())
    run()
    assert opened


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
@settings(deadline=None)
def test_strings_round_trip(strings: list[str]) -> None:
    packed = PackedStrings.of(strings)
    assert list(packed) == strings
    assert packed[1:3] == strings[1:3]
    if strings:
        assert packed[-1] == strings[-1]
    with pytest.raises(IndexError):
        packed[len(strings)]


def test_strings_keep_undecodable_names() -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    assert PackedStrings.of([name])[0] == name


def test_numbered_names() -> None:
    names = NumberedNames("digit", range(4))
    assert (len(names), names[3], names[1:3]) == (4, "digit 3", ["digit 1", "digit 2"])
    assert Index(np.zeros(2, np.int64), ("a",)).names[1] == "row 1"


def test_labels_are_sorted_as_numbers_when_they_are_numbers() -> None:
    codes, names = encode(["10", "9", "10", "-1"])
    assert (codes.tolist(), names) == ([2, 1, 2, 0], ("-1", "9", "10"))
    assert encode(["10", "9", "b"])[1] == ("10", "9", "b")


def test_verify() -> None:
    def index(labels: list[int], split: list[int] | None = None) -> Index:
        codes = None if split is None else np.array(split, dtype=np.int8)
        return Index(np.array(labels, dtype=np.int64), ("a", "b", "c")[: max(labels, default=0) + 1], codes)

    verify(index([0, 0, 1]), "x")  # one sample of a class is allowed
    verify(index([0, 1, 0], [0, 0, 2]), "x")  # and a class that is not tested
    for bad, message in (
        (index([]), "no samples"),
        (index([0, 0]), "only one class found"),
        (index([0, 2]), "class 'b'"),
        (index([0, 1], [2, 2]), "no training samples"),
        (index([0, 1, 0], [0, 1, 2]), "validation split has labels.*'b'.*row 1"),
    ):
        with pytest.raises(UserError, match=message):
            verify(bad, "x")


def test_padded_is_what_ragged_gathers() -> None:
    values, lengths = pad([np.array([1, 2]), np.array([3])], np.dtype(np.int32))
    assert (values.tolist(), lengths.tolist(), values.dtype) == ([[1, 2], [3, 0]], [2, 1], torch.int32)
