"""Sources whose rows have several inputs: other sources joined by a key, or one table with a column for each input.

Try one: leyden train data=multimodal_table data.source.csv=patients.csv data.source.image=photo data.source.text=note
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from leyden.data.fingerprint import digest_files, fingerprint
from leyden.data.index import Index, PackedStrings, Source
from leyden.data.joined import Places, Several
from leyden.data.modalities import modality_of
from leyden.utils.errors import UserError
from leyden.utils.text import and_more

_SHOWN = 5  # rows in a message


class Multimodal:
    """What sources with several inputs share: `parts`, a source for each input by its name, and `join`."""

    modality: ClassVar[Any] = Several({})
    parts: Mapping[str, Source]

    def index(self) -> Index:
        """The joint rows."""
        return self.join({name: part.index() for name, part in self.parts.items()})[0]

    def join(self, indices: Mapping[str, Index]) -> tuple[Index, Places]:
        """See `leyden.data.joined.MultimodalSource`."""
        raise NotImplementedError

    def decode(self, row: int) -> dict[str, np.ndarray]:
        """The inputs of a joint row that are there, by name."""
        places = self.join({name: part.index() for name, part in self.parts.items()})[1]
        there = {name: int(places[name][row]) for name in self.parts}
        return {name: self.parts[name].decode(place) for name, place in there.items() if place >= 0}

    def facts(self) -> dict[str, Any]:
        """None beyond those of the parts."""
        return {}

    def passed_over(self) -> str:
        """What the parts do not read, in words."""
        found = (getattr(part, "passed_over", str)() for part in self.parts.values())
        return "; ".join(filter(None, dict.fromkeys(found)))


class Join(Multimodal):
    """Sources joined row by row, or by a key.

    Args:
        sources: a source for each input, by the input's name.
        by: "row": the i-th rows belong together, and all sources have equally many; "name": rows whose files have the
            same name up to the ending (a/17.png and b/17.wav); else a column of further facts that all sources have.
            A row that one source has not got lacks that input.

    Raises:
        UserError: no source, or sources of other targets.
    """

    def __init__(self, sources: Mapping[str, Source], by: str = "row") -> None:
        """Nothing is read yet."""
        if not sources:
            raise UserError("data.source.sources: expected a source for each input, by its name")
        self.parts, self._by = dict(sources), by
        self.modality = Several({name: modality_of(part) for name, part in self.parts.items()})  # type: ignore[misc]

    def fingerprint(self, cache: Path) -> str:
        """Of the sources and the key."""
        digests = {name: part.fingerprint(cache) for name, part in self.parts.items()}
        return fingerprint(self, {"by": self._by, "order": list(self.parts)}, digests)

    def join(self, indices: Mapping[str, Index]) -> tuple[Index, Places]:
        """Every key of any source once, in the order in which they are met."""
        keys = {name: self._keys(name, index) for name, index in indices.items()}
        rows = {
            key: row for row, key in enumerate(dict.fromkeys(key for own in keys.values() for key in own))
        }
        places = {name: np.full(len(rows), -1, dtype=np.int64) for name in indices}
        for name, own in keys.items():
            places[name][[rows[key] for key in own]] = np.arange(len(own))
        self._verify_common(places)
        return _joint(indices, places, list(map(str, rows))), places

    def _keys(self, name: str, index: Index) -> list[Any]:
        if self._by == "row":
            found: list[Any] = [f"row {row}" for row in range(len(index))]
        elif self._by == "name":
            found = [PurePosixPath(each).stem for each in index.names]
        elif self._by in index.metadata:
            found = index.metadata[self._by].tolist()
        else:
            raise UserError(
                f"data.source.by={self._by}: the source of {name} has no such column; expected row, name"
                f"{''.join(f', {column}' for column in index.metadata)}"
            )
        if len(set(found)) < len(found):
            twice = next(key for key in found if found.count(key) > 1)
            raise UserError(f"data.source.by={self._by}: the source of {name} has several rows of {twice!r}")
        return found

    def _verify_common(self, places: Places) -> None:
        sizes = {name: int((own >= 0).sum()) for name, own in places.items()}
        if self._by == "row" and len(set(sizes.values())) > 1:
            said = ", ".join(f"{name} {n:,}" for name, n in sizes.items())
            raise UserError(
                f"data.source.by=row: the sources differ in length ({said}): join them by=name or a column"
            )
        found = np.stack(list(places.values())) >= 0
        if len(places) > 1 and not (found.sum(axis=0) > 1).any():
            raise UserError(
                f"data.source.by={self._by}: no two of the sources {', '.join(places)} have a key in common"
            )


def _joint(indices: Mapping[str, Index], places: Places, names: Sequence[str]) -> Index:
    """The joint rows: target, split and group of the first source that has the row.

    Raises:
        UserError: two sources give a row other targets or splits.
    """
    base = next(iter(indices.values()))
    owned = np.zeros(len(names), dtype=bool)
    columns: dict[str, NDArray[Any]] = {}
    common = [
        c for c in ("targets", "split", "group") if all(getattr(i, c) is not None for i in indices.values())
    ]
    for name, index in indices.items():
        if index.target_names != base.target_names:
            raise UserError(
                f"data.source: the targets of {name} are {and_more(list(index.target_names), _SHOWN)}, others have "
                f"{and_more(list(base.target_names), _SHOWN)}; expected the same"
            )
        there = places[name] >= 0
        for column in common:
            values = getattr(index, column)
            known = columns.setdefault(column, np.zeros((len(names), *values.shape[1:]), values.dtype))
            given = values[np.maximum(places[name], 0)]
            if column != "group":
                _verify_same(column, name, names, there & owned, known, given)
            known[there & ~owned] = given[there & ~owned]
        owned |= there
    group_names = base.group_names if "group" in common else ()
    split, group = columns.get("split"), columns.get("group")
    return Index(columns["targets"], base.target_names, split, group, group_names, PackedStrings.of(names))


def _verify_same(
    column: str, source: str, names: Sequence[str], rows: NDArray[np.bool_], known: Any, given: Any
) -> None:
    differs = (known != given).reshape(len(names), -1).any(axis=1) & rows
    if differs.any():
        row = names[int(np.flatnonzero(differs)[0])]
        raise UserError(f"data.source: the source of {source} gives {row} other {column} than one before it")


def digest_of(file: Path, cache: Path) -> str:
    """Of a file's content."""
    return digest_files([file], file.parent, cache)[file.name]
