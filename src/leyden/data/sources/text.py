"""Text sources: SMSSpam, AGNews, TextTable. Each row is one text; its name is file:line.

Try one: leyden train data=text_table data.source.path=reviews.csv data.source.label_column=stars
"""

import hashlib
import io
import urllib.request
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from leyden.data.decode import BadInput, decode_text
from leyden.data.fingerprint import digest_files, fingerprint
from leyden.data.index import TEST, TRAIN, VAL, Index
from leyden.data.sources.download import TIMEOUT, ensure, fetch_file, verify_digest
from leyden.data.sources.file_lists import file_at
from leyden.data.sources.tables import TableFormat, delimited_rows, read_table
from leyden.data.sources.tables import TextTable as TableFile
from leyden.data.targets import ClassReader, Columns, TargetReader, make_index
from leyden.utils.errors import UserError
from leyden.utils.files import atomic_write


@dataclass(frozen=True)
class Texts:
    """N texts (bytes, or str in which undecodable bytes are surrogates) with labels and names."""

    texts: Sequence[str | bytes]
    labels: Sequence[str] | Columns
    names: Sequence[str]
    split: np.ndarray | None = None
    groups: Sequence[str] | None = None
    notes: tuple[str, ...] = ()
    metadata: Columns = field(default_factory=dict)


class SMSSpam:
    """SMS Spam Collection (Almeida et al. 2011): 5,574 messages, 13.4 % spam, no split given.

    root: holds SMSSpamCollection (ham|spam, a tab, the text); downloaded where absent. Many messages occur
    several times: de-duplicate.
    """

    modality: ClassVar[str] = "text"
    ADDRESS: ClassVar[str] = "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip"
    MOST_BYTES: ClassVar[int] = 1 << 24  # of the archive and of the file, which has 0.5 MB
    SHA256: ClassVar[str] = (
        "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"  # of the unzipped file
    )

    def __init__(self, root: str, download: bool = True) -> None:
        """Nothing is read yet."""
        self._root, self._download = Path(root).expanduser(), download

    @cached_property
    def _file(self) -> Path:
        file = self._root / "SMSSpamCollection"
        ensure([file], self._download, lambda: self._fetch(file), self.ADDRESS, self._root)
        return file

    def _fetch(self, file: Path) -> None:
        with urllib.request.urlopen(self.ADDRESS, timeout=TIMEOUT) as answer:
            archive = answer.read(self.MOST_BYTES)
        try:
            with zipfile.ZipFile(io.BytesIO(archive)).open(file.name) as member:
                content = member.read(self.MOST_BYTES)  # another size has another digest
        except (zipfile.BadZipFile, KeyError) as error:
            raise OSError(f"{self.ADDRESS} is no zip archive with {file.name}") from error
        verify_digest(hashlib.sha256(content).hexdigest(), self.SHA256, file.name)
        with atomic_write(file) as written:
            written.write(content)

    @cached_property
    def _data(self) -> Texts:
        texts, labels, names = [], [], []
        for line, content in enumerate(self._file.read_bytes().split(b"\n"), start=1):
            if not content.strip():
                continue
            label, tab, text = content.rstrip(b"\r").partition(b"\t")
            if not tab or label not in (b"ham", b"spam"):
                raise UserError(f"{self._file}:{line}: expected ham or spam, a tab and the text")
            texts.append(text)
            labels.append(label.decode())
            names.append(f"{self._file.name}:{line}")
        return Texts(texts, labels, names)

    def fingerprint(self, cache: Path) -> str:
        """Of the file's content."""
        return fingerprint(self, {}, digest_files([self._file], self._root, cache))

    def index(self) -> Index:
        """Classes ham and spam."""
        return _index(self._data, str(self._file))

    def decode(self, row: int) -> np.ndarray:
        """uint8 (n,), UTF-8."""
        return decode_text(self._data.texts[row], self._data.names[row])

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}


def _index(data: Texts, where: str, reader: TargetReader | None = None) -> Index:
    index = make_index(where, data.labels, data.names, data.split, data.groups, reader, data.metadata)
    return replace(index, notes=(*data.notes, *index.notes))


class AGNews:
    """AG's News (Zhang, Zhao, LeCun 2015): 120,000 train and 7,600 test news, four topics.

    root: holds train.csv and test.csv (class 1 to 4, title, description); downloaded where absent. A text
    is the title and the description; the backslashes that stand for line breaks become spaces.
    """

    modality: ClassVar[str] = "text"
    CLASSES: ClassVar[tuple[str, ...]] = ("World", "Sports", "Business", "Sci/Tech")
    ADDRESS: ClassVar[str] = (
        "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv/"
    )
    MD5: ClassVar[dict[str, str]] = {
        "train.csv": "b1a00f826fdfbd249f79597b59e1dc12",
        "test.csv": "d52ea96a97a2d943681189a97654912d",
    }

    def __init__(self, root: str, download: bool = True) -> None:
        """Nothing is read yet."""
        self._root, self._download = Path(root).expanduser(), download

    @cached_property
    def _files(self) -> list[Path]:
        files = [self._root / name for name in self.MD5]
        ensure(files, self._download, self._fetch, self.ADDRESS, self._root)
        return files

    def _fetch(self) -> None:
        for name, digest in self.MD5.items():
            fetch_file(self.ADDRESS + name, self._root / name, digest, "md5")

    @cached_property
    def _data(self) -> Texts:
        texts, labels, names = [], [], []
        split: list[int] = []
        for file, code in zip(self._files, (TRAIN, TEST), strict=True):
            for line, cells in delimited_rows(file):
                if len(cells) != 3 or cells[0] not in ("1", "2", "3", "4"):
                    raise UserError(f"{file}:{line}: expected a class 1 to 4, a title and a description")
                texts.append(" ".join(cells[1:]).replace("\\", " "))
                labels.append(cells[0])
                names.append(f"{file.name}:{line}")
                split.append(code)
        return Texts(texts, labels, names, np.array(split, dtype=np.int8))

    def fingerprint(self, cache: Path) -> str:
        """Of the two files' content."""
        return fingerprint(self, {}, digest_files(self._files, self._root, cache))

    def index(self) -> Index:
        """Four topics and the official split."""
        data = self._data
        topics = [self.CLASSES[int(label) - 1] for label in data.labels]
        return make_index(str(self._root), topics, data.names, data.split)

    def decode(self, row: int) -> np.ndarray:
        """uint8 (n,), UTF-8."""
        return decode_text(self._data.texts[row], self._data.names[row])

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}


class TextTable:
    """Texts in a .csv, .tsv or .jsonl file with named columns.

    split_column holds train, val or test; or give each split its own file: path is training, val_path and
    test_path the others. group_column (author, conversation) keeps the rows of a group on one side of the
    split. delimiter: between cells; without it what makes header and rows equally long. encoding: without it
    UTF-8, or UTF-16 where the file says so.
    """

    modality: ClassVar[str] = "text"

    def __init__(
        self,
        path: str,
        text_column: str = "text",
        label_column: str | list[str] = "label",
        split_column: str | None = None,
        group_column: str | None = None,
        val_path: str | None = None,
        test_path: str | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is read yet."""
        if split_column is not None and (val_path or test_path):
            raise UserError("data.source.split_column: give it, or val_path and test_path, not both")
        self._paths = {"path": path, "val_path": val_path, "test_path": test_path}
        self._columns = (text_column, label_column, split_column, group_column)
        self._written = TableFormat(delimiter, encoding)
        self._reader = reader or ClassReader()

    @cached_property
    def _files(self) -> dict[str, Path]:
        given = {key: path for key, path in self._paths.items() if path}
        return {key: file_at(path, f"data.source.{key}") for key, path in given.items()}

    @cached_property
    def _data(self) -> Texts:
        text, _, split, group = self._columns
        tables = {key: read_table(file, self._written) for key, file in self._files.items()}

        def column(name: str, field: str, empty: bool = False) -> list[str]:
            pieces = (table.column(name, f"data.source.{field}", empty) for table in tables.values())
            return [value for piece in pieces for value in piece]

        codes = {"path": TRAIN, "val_path": VAL, "test_path": TEST}
        sizes = [len(table.rows) for table in tables.values()]
        by_file = np.repeat(np.array([codes[key] for key in tables], dtype=np.int8), sizes)
        return Texts(
            column(text, "text_column", empty=True),
            self._labels(tables),
            [place for table in tables.values() for place in table.places()],
            tables["path"].split(split) if len(tables) == 1 else by_file,
            None if group is None else column(group, "group_column"),
            tuple(note for table in tables.values() for note in table.notes),
            self._metadata(list(tables.values())),
        )

    def _labels(self, tables: Mapping[str, TableFile]) -> Columns:
        """The label columns of all files, one after the other."""
        pieces = [table.labels(self._columns[1]) for table in tables.values()]
        return {name: [cell for piece in pieces for cell in piece[name]] for name in pieces[0]}

    def _metadata(self, tables: Sequence[TableFile]) -> Columns:
        """The further columns of any file, empty for the rows of a file that has not got them."""
        text, label, split, group = self._columns
        used = [text, *([label] if isinstance(label, str) else label), split, group]
        pieces = [(len(table.rows), table.others(used)) for table in tables]
        names = dict.fromkeys(name for _, found in pieces for name in found)
        return {
            name: [cell for rows, found in pieces for cell in found.get(name, [""] * rows)] for name in names
        }

    def fingerprint(self, cache: Path) -> str:
        """Of each file's content and its role, and of the columns."""
        digests = {
            key: digest_files([file], file.parent, cache)[file.name] for key, file in self._files.items()
        }
        settings = self._reader.settings() | self._written.settings()
        return fingerprint(self, {"columns": self._columns, **settings}, digests)

    def index(self) -> Index:
        """Classes sorted by name (numbers by value), labels or values; split and groups where given."""
        return _index(self._data, str(self._paths["path"]), self._reader)

    def decode(self, row: int) -> np.ndarray:
        """uint8 (n,), UTF-8; BadInput for an empty text or bytes that are no UTF-8."""
        try:
            return decode_text(self._data.texts[row], self._data.names[row])
        except BadInput as bad:
            if "UTF-8" not in bad.reason:
                raise
            raise BadInput(
                bad.name, f"{bad.reason}; the file's encoding: data.source.encoding=cp1252"
            ) from bad

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}
