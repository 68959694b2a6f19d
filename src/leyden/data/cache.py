"""Preparing a table: decode every input once into the cache, or open what is there.

cache/<fingerprint>/ holds table.json, targets.npy and, where they exist, split, group, truth, names (two
files), metadata_0 and so on, then values.npy (Dense), values.npy + offsets.npy (Ragged), or rows.npy + lengths.npy
(Files, folder <fingerprint>-files). The folder appears whole or not at all.
"""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from leyden.data.array_files import DAMAGED, ArrayWriter, new_folder, open_array, vanished
from leyden.data.decode import BadInput
from leyden.data.index import Index, PackedStrings, Source
from leyden.data.metadata import verify_metadata
from leyden.data.modalities import Modality, modality_of
from leyden.data.table import Dense, FileColumn, Ragged, SkippedInputs, Table
from leyden.data.targets import verify
from leyden.utils.errors import UserError
from leyden.utils.files import json_object, open_regular, verify_plain, write_json
from leyden.utils.parallel import parallel_map
from leyden.utils.text import indented_lines, plural

FORMAT = 5  # of the folder and of how tables are read; another number is prepared anew
PROBES = 32  # inputs decoded to estimate the size of all
CHUNK_BYTES = 8e6  # decoded bytes per piece of work: bounds memory whatever the length of the recordings

OnBad = Literal["stop", "skip"]


class DenseSink:
    """Takes inputs of one shape in order; `finish` refuses them where one has another shape than the first."""

    kind = "dense"

    def __init__(self, folder: Path, keep: bool, modality: Modality) -> None:
        """keep: whether values are stored in `folder`; else they are only looked at."""
        self._folder, self._keep, self._modality = folder, keep, modality
        self._shapes: Counter[tuple[int, ...]] = Counter()
        self._examples: dict[tuple[int, ...], str] = {}
        self._writer: ArrayWriter | None = None

    def add(self, values: np.ndarray, name: str) -> None:
        """Take the next input."""
        if not self._shapes and self._keep:
            self._writer = ArrayWriter(self._folder / "values.npy", values.dtype, values.shape)
        self._shapes[values.shape] += 1
        self._examples.setdefault(values.shape, name)
        if self._writer is not None and len(self._shapes) == 1:
            self._writer.append(values[None])

    def finish(self) -> dict[str, Any]:
        """Check and store what was counted; facts for table.json."""
        if len(self._shapes) > 1:
            raise UserError(self._modality.shape_advice(self._shapes, self._examples))
        return {"shape": list(next(iter(self._shapes)))}

    def close(self) -> None:
        """Close the values file."""
        if self._writer is not None:
            self._writer.close()


class SequenceSink:
    """Takes sequences in order: one values file and the offsets."""

    kind = "ragged"

    def __init__(self, folder: Path, keep: bool, dtype: type) -> None:
        """See the class."""
        self._folder = folder
        self._lengths: list[int] = []
        self._writer = ArrayWriter(folder / "values.npy", dtype) if keep else None

    def add(self, values: np.ndarray, name: str) -> None:
        """Take the next input."""
        self._lengths.append(len(values))
        if self._writer is not None:
            self._writer.append(values)

    def finish(self) -> dict[str, Any]:
        """Check and store what was counted; facts for table.json."""
        lengths = np.array(self._lengths, dtype=np.int64)
        if self._writer is None:
            np.save(self._folder / "lengths.npy", lengths)
        else:
            np.save(self._folder / "offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
        return {"shape": []}

    def close(self) -> None:
        """Close the values file."""
        if self._writer is not None:
            self._writer.close()


def _verify_usable(index: Index, where: str) -> None:
    """Refuse what nothing can be learned of, before it is decoded."""
    usable = index.usable()
    if len(index) and not len(usable):
        first = f"{index.names[0]}: {index.unusable[0]}"
        raise UserError(f"{where}: none of the {len(index):,} rows has a target; the first is {first}")
    verify(usable, where)


def bad_files(source: object, where: str, skipped: SkippedInputs) -> UserError:
    """The error that lists every input of a data set that could not be decoded or has no target."""
    where = where or type(source).__name__
    return UserError(
        f"{where}: {plural(len(skipped), 'input')} cannot be used:{indented_lines(skipped.lines())}\n"
        "Repair or remove them, or leave them out with data.on_bad=skip"
    )


def load_or_decode(source: Source, cache: Path, on_bad: OnBad, limit_gb: float, trains: bool) -> Table:
    """The stored table of `source`, decoded now if it was not before; `trains`: it is verified before that."""
    fingerprint = source.fingerprint(cache)
    for folder in (cache / fingerprint, cache / f"{fingerprint}-files"):
        table = _stored(folder, fingerprint, source, limit_gb)
        if table is not None:
            return table
    index, facts = source.index(), source.facts()
    verify_metadata(index.metadata, len(index), index.where or type(source).__name__)
    if trains:
        _verify_usable(index, index.where or type(source).__name__)
    size, bytes_each = _estimate(source, len(index))
    stay_files = modality_of(source).may_stay_files and size > limit_gb * 1e9
    folder = cache / (f"{fingerprint}-files" if stay_files else fingerprint)
    _room(cache, 0 if stay_files else size)
    with new_folder(folder) as temporary:
        rows, skipped, stored = _decode_all(source, index, temporary, not stay_files, bytes_each)
        if on_bad == "stop" and len(skipped):
            raise bad_files(source, index.where, skipped)
        if len(skipped):
            index = index.take(rows)
        known = {"source": type(source).__name__, "inputs": len(index)}
        _write(temporary, index, {**stored, **known, "facts": facts, "bytes": size}, skipped)
    table = _stored(folder, fingerprint, source, 0.0 if stay_files else limit_gb)
    if table is None:
        raise vanished(folder)
    return table


def _estimate(source: Source, count: int) -> tuple[float, float]:
    """(decoded bytes of the whole data set, of one input), from evenly spaced inputs that can be decoded."""
    sizes = []
    for row in np.unique(np.linspace(0, count - 1, PROBES).astype(np.int64)).tolist():
        try:
            sizes.append(source.decode(row).nbytes)
        except BadInput:
            continue  # every bad input is listed once all have been decoded
    each_one = float(np.mean(sizes)) if sizes else 0.0
    return each_one * count, each_one


def _room(cache: Path, size: float) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if size > free:
        raise UserError(
            f"the decoded data needs about {size / 1e9:.1f} GB, but {cache} has {free / 1e9:.1f} GB free; "
            "free some, or name another folder: cache=DIR"
        )


def _decode_all(
    source: Source, index: Index, folder: Path, keep: bool, bytes_each: float
) -> tuple[np.ndarray, SkippedInputs, dict[str, Any]]:
    """Decode every row into `folder` (without `keep` only look at it): (good rows, bad inputs, facts)."""
    modality = modality_of(source)
    dtype = modality.dtype
    sink = SequenceSink(folder, keep, dtype) if modality.is_ragged else DenseSink(folder, keep, modality)
    rows: list[int] = []
    bad: list[BadInput] = []
    chunk = int(np.clip(CHUNK_BYTES // max(bytes_each, 1), 1, 256))

    def decode(row: int) -> np.ndarray | BadInput:
        try:
            if row in index.unusable:
                raise BadInput(index.names[row], index.unusable[row])
            return source.decode(row)
        except BadInput as error:
            return error

    try:
        for row, result in enumerate(
            parallel_map(decode, range(len(index)), f"decoding {modality.name}", chunk)
        ):
            if isinstance(result, BadInput):
                bad.append(result)
                continue
            if result.dtype != dtype:
                raise UserError(
                    f"{type(source).__name__}.decode gave {result.dtype}, expected {np.dtype(dtype)}"
                )
            sink.add(result, index.names[row])
            rows.append(row)
        skipped = SkippedInputs(tuple(b.name for b in bad), tuple(b.reason for b in bad))
        if not rows:
            raise bad_files(source, index.where, skipped)
        stored = sink.finish()
    finally:
        sink.close()
    kept = np.array(rows, dtype=np.int64)
    if not keep:
        np.save(folder / "rows.npy", kept)
    return kept, skipped, {**stored, "kind": sink.kind if keep else "files"}


def _write(folder: Path, index: Index, stored: dict[str, Any], skipped: SkippedInputs) -> None:
    """The index's arrays and table.json."""
    names = index.names if isinstance(index.names, PackedStrings) else PackedStrings.of(index.names)
    arrays = {"targets": index.targets, "split": index.split, "group": index.group, "truth": index.truth}
    arrays |= {"names_values": names.values, "names_offsets": names.offsets}
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    for place, values in enumerate(index.metadata.values()):
        np.save(folder / f"metadata_{place}.npy", values)
    description = {
        "format": FORMAT,
        "target_names": index.target_names,
        "group_names": index.group_names,
        "metadata": list(index.metadata),
        "notes": index.notes,
        "obstacle": index.obstacle,
        "skipped": [skipped.names, skipped.reasons],
        **stored,
    }
    write_json(folder / "table.json", description, indent=None, default=None)


def _stored(folder: Path, fingerprint: str, source: Source, limit_gb: float) -> Table | None:
    """The table in `folder`; None where there is none, it is damaged, or a raised limit ends Files."""
    verify_plain(folder)
    try:
        with open_regular(folder / "table.json") as file:
            description = json_object(file.read())
        if description["format"] != FORMAT:
            raise ValueError("another format")
        if description["kind"] == "files" and description["bytes"] <= limit_gb * 1e9:
            return None
        return Table(
            _stored_index(folder, description),
            _stored_inputs(folder, description, source),
            description["facts"],
            fingerprint,
            SkippedInputs(*map(tuple, description["skipped"])),
        )
    except DAMAGED:
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _stored_index(folder: Path, description: dict[str, Any]) -> Index:
    def optional(name: str) -> np.ndarray | None:
        path = folder / f"{name}.npy"
        return np.load(path) if path.exists() else None

    return Index(
        targets=np.load(folder / "targets.npy"),
        target_names=tuple(description["target_names"]),
        split=optional("split"),
        group=optional("group"),
        group_names=tuple(description["group_names"]),
        names=PackedStrings(
            open_array(folder / "names_values.npy"), open_array(folder / "names_offsets.npy")
        ),
        truth=optional("truth"),
        metadata={
            name: np.load(folder / f"metadata_{place}.npy")
            for place, name in enumerate(description["metadata"])
        },
        notes=tuple(description["notes"]),
        obstacle=description["obstacle"],
    )


def _stored_inputs(folder: Path, description: dict[str, Any], source: Source) -> Dense | Ragged | FileColumn:
    if description["kind"] == "dense":
        return Dense(open_array(folder / "values.npy"))
    if description["kind"] == "ragged":
        return Ragged(open_array(folder / "values.npy"), open_array(folder / "offsets.npy"))
    rows = np.load(folder / "rows.npy")
    lengths = folder / "lengths.npy"
    return FileColumn(
        source,
        rows,
        np.load(lengths) if lengths.exists() else np.zeros_like(rows),
        tuple(description["shape"]),
    )


def load(
    source: Source,
    cache: Path,
    on_bad: Literal["stop", "skip"] = "stop",
    limit_gb: float = 8.0,
    trains: bool = True,
) -> Table:
    """The decoded data set of `source`, from `cache` when it was decoded before, else decoded into it.

    on_bad: "stop" raises UserError with every input that cannot be decoded or has no target; "skip" leaves them
    out and records them in Table.skipped. Above limit_gb (1e9 bytes, estimated from a sample) images and audio stay
    files; they are still decoded once, to find bad ones and the lengths. trains: whether targets that nothing can be
    learned of are refused. Raises UserError for whatever is
    wrong with the data.
    """
    table = load_or_decode(source, Path(cache).expanduser(), on_bad, limit_gb, trains)
    if on_bad == "stop" and len(table.skipped):
        raise bad_files(source, table.index.where, table.skipped)
    if trains:
        left_out = f", with {plural(len(table.skipped), 'input')} left out" if len(table.skipped) else ""
        verify(table.index, f"{type(source).__name__}{left_out}")
    return table
