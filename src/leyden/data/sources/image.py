"""Image sources: Digits, MNIST, FashionMNIST, CIFAR10, CIFAR10Jpeg, ImageFolder, ImageManifest.

Try one: leyden train data=image_folder data.source.root=pictures data.source.size=64
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from leyden.data.decode import (
    IMAGE_ENDINGS,
    JPEG_ENDINGS,
    MAX_PIXELS,
    decode_image,
    has_more_pictures,
    image_size,
    is_image,
)
from leyden.data.fingerprint import digest_files, fingerprint
from leyden.data.index import TEST, TRAIN, Index, NumberedNames, split_code
from leyden.data.sources.download import ensure
from leyden.data.sources.file_lists import Listing, file_at, manifest_digests, read_manifest, scan
from leyden.data.sources.formats import read_cifar_batch, read_idx, read_jpeg_archive
from leyden.data.sources.tables import TableFormat
from leyden.data.targets import ClassReader, TargetReader, make_index
from leyden.utils.errors import UserError
from leyden.utils.parallel import parallel_map
from leyden.utils.text import and_more, plural

Size = Annotated[int, Ge(1)]  # pixels
Channels = Literal[1, 3]


def _split_numbers(train: int, test: int) -> np.ndarray:
    return np.repeat(np.array([TRAIN, TEST], dtype=np.int8), [train, test])


class Digits:
    """scikit-learn's 1,797 handwritten digits, 8x8 grey (Alpaydin, Kaynak 1998); no split given."""

    modality: ClassVar[str] = "image"
    VERSION: ClassVar[int] = 1

    @cached_property
    def _data(self) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.datasets import load_digits

        data = load_digits()
        images = np.rint(data.images * (255 / 16)).astype(
            np.uint8
        )  # counts 0..16 of inked pixels in a 4x4 block
        return images[:, None], data.target.astype(np.int64)

    def fingerprint(self, cache: Path) -> str:
        """Of the version alone: the data comes with scikit-learn and never changes."""
        return fingerprint(self, {"version": self.VERSION}, {})

    def index(self) -> Index:
        """Ten classes, no split."""
        labels = self._data[1]
        return Index(labels, tuple(map(str, range(10))), names=NumberedNames("digit", range(len(labels))))

    def decode(self, row: int) -> np.ndarray:
        """uint8 (1, 8, 8)."""
        return self._data[0][row]

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}


class MNIST:
    """MNIST (LeCun et al. 1998): 70,000 handwritten digits, 28x28 grey; 60,000 train, 10,000 test.

    root: holds MNIST/raw/train-images-idx3-ubyte and so on, as torchvision lays them out; downloaded where
    absent.
    """

    modality: ClassVar[str] = "image"
    NAME: ClassVar[str] = "MNIST"
    CLASSES: ClassVar[tuple[str, ...]] = tuple(map(str, range(10)))
    ADDRESS: ClassVar[str] = "http://yann.lecun.com/exdb/mnist/"

    def __init__(self, root: str, download: bool = True) -> None:
        """Nothing is read yet."""
        self._root, self._download = Path(root).expanduser(), download

    @cached_property
    def _files(self) -> list[Path]:
        """Images and labels of train, then of test."""
        raw = self._root / self.NAME / "raw"
        kinds = ("images-idx3", "labels-idx1")
        files = [raw / f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in kinds]
        ensure(files, self._download, self._fetch, self.ADDRESS, self._root)
        return files

    def _fetch(self) -> None:
        import torchvision.datasets

        getattr(torchvision.datasets, self.NAME)(str(self._root), download=True)

    @cached_property
    def _images(self) -> np.ndarray:
        return np.concatenate([read_idx(self._files[0]), read_idx(self._files[2])])[:, None]

    def fingerprint(self, cache: Path) -> str:
        """Of the four files' content."""
        return fingerprint(self, {}, digest_files(self._files, self._root, cache))

    def index(self) -> Index:
        """Ten classes and the official split."""
        train, test = read_idx(self._files[1]), read_idx(self._files[3])
        labels = np.concatenate([train, test]).astype(np.int64)
        if len(labels) != len(self._images) or labels.max(initial=0) >= len(self.CLASSES):
            raise UserError(f"{self._files[1].parent}: labels and images do not belong together")
        names = NumberedNames(self.NAME, range(len(labels)))
        where = str(self._root / self.NAME)
        return Index(labels, self.CLASSES, _split_numbers(len(train), len(test)), names=names, where=where)

    def decode(self, row: int) -> np.ndarray:
        """uint8 (1, 28, 28)."""
        return self._images[row]

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}


class FashionMNIST(MNIST):
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 70,000 articles of clothing, laid out as MNIST."""

    NAME: ClassVar[str] = "FashionMNIST"
    CLASSES: ClassVar[tuple[str, ...]] = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    ADDRESS: ClassVar[str] = "https://github.com/zalandoresearch/fashion-mnist"


CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


class CIFAR10:
    """CIFAR-10 (Krizhevsky 2009): 60,000 colour photographs, 32x32, ten classes; 50,000 train, 10,000 test.

    root: holds cifar-10-batches-py/data_batch_1 and so on; downloaded through torchvision where absent.
    """

    modality: ClassVar[str] = "image"
    ADDRESS: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/cifar.html"

    def __init__(self, root: str, download: bool = True) -> None:
        """Nothing is read yet."""
        self._root, self._download = Path(root).expanduser(), download

    @cached_property
    def _files(self) -> list[Path]:
        names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
        files = [self._root / "cifar-10-batches-py" / name for name in names]
        ensure(files, self._download, self._fetch, self.ADDRESS, self._root)
        return files

    def _fetch(self) -> None:
        import torchvision.datasets

        torchvision.datasets.CIFAR10(str(self._root), download=True)

    @cached_property
    def _data(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(images uint8 (n, 3, 32, 32), labels int64 (n,)) of each file."""
        return [read_cifar_batch(file) for file in self._files]

    @cached_property
    def _images(self) -> np.ndarray:
        return np.concatenate([images for images, _ in self._data])

    def fingerprint(self, cache: Path) -> str:
        """Of the six files' content."""
        return fingerprint(self, {}, digest_files(self._files, self._root, cache))

    def index(self) -> Index:
        """Ten classes and the official split."""
        sizes = [len(labels) for _, labels in self._data]
        labels = np.concatenate([labels for _, labels in self._data])
        names = NumberedNames("CIFAR-10", range(len(labels)))
        split = _split_numbers(sum(sizes[:-1]), sizes[-1])
        return Index(labels, CIFAR10_CLASSES, split, names=names, where=str(self._files[0].parent))

    def decode(self, row: int) -> np.ndarray:
        """uint8 (3, 32, 32)."""
        return self._images[row]

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}


class CIFAR10Jpeg:
    """CIFAR-10 as JPEG files in one archive, train|test/CLASS/NAME.jpg: a lossy copy, read without unpacking.

    Call results CIFAR-10-JPEG. path: the .tar.gz; its members (about 60 MB) are held in memory while they
    are decoded.
    """

    modality: ClassVar[str] = "image"

    def __init__(self, path: str) -> None:
        """Nothing is read yet."""
        self._path = path

    @cached_property
    def _members(self) -> list[tuple[str, bytes]]:
        """(name, content) of every JPEG, sorted by name."""
        members = read_jpeg_archive(file_at(self._path, "data.source.path"))
        wrong = next((name for name, _ in members if name.count("/") != 2), None)
        if wrong or not members:
            raise UserError(
                f"{self._path}: expected train|test/CLASS/NAME.jpg, found {wrong or 'no JPEG file'}"
            )
        return members

    def fingerprint(self, cache: Path) -> str:
        """Of the archive's content."""
        path = file_at(self._path, "data.source.path")
        digests = digest_files([path], path.parent, cache)
        return fingerprint(self, {}, {"archive": digests[path.name]})

    def index(self) -> Index:
        """Classes and split from the members' folders."""
        parts = [name.split("/") for name, _ in self._members]
        split = np.array(
            [split_code(part[0], f"{self._path}: {'/'.join(part)}") for part in parts], dtype=np.int8
        )
        return make_index(self._path, [part[1] for part in parts], [name for name, _ in self._members], split)

    def decode(self, row: int) -> np.ndarray:
        """uint8 (3, 32, 32)."""
        name, content = self._members[row]
        return decode_image(content, name, channels=3)

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}


class ImageFolder:
    """Pictures in class folders: root/CLASS/... or root/train|val|test/CLASS/....

    size: the shorter side is resized to it and the centre cropped; without it all must agree.
    channels: 1 grey, 3 colour; without it what the files have, and all must agree. value_range: the two
    values of 16-bit, 32-bit and float pictures that become black and white; without it the range of the
    file's format (0 to 65535), 0 to 1 for floats. max_pixels: of a picture; larger ones are bad inputs.
    """

    modality: ClassVar[str] = "image"

    def __init__(
        self,
        root: str,
        size: Size | None = None,
        channels: Channels | None = None,
        value_range: list[float] | None = None,
        max_pixels: Size = MAX_PIXELS,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is read yet."""
        if value_range is not None and not (len(value_range) == 2 and value_range[0] < value_range[1]):
            raise UserError(
                f"data.source.value_range={value_range}: expected two numbers, the lower one first: [0,4095]"
            )
        self._root, self._size, self._channels = root, size, channels
        self._value_range, self._max_pixels = value_range, max_pixels
        self._reader = reader or ClassReader()

    @cached_property
    def _listing(self) -> Listing:
        return scan(self._root, IMAGE_ENDINGS, self._reader, is_image)

    def fingerprint(self, cache: Path) -> str:
        """Of the files' content and places below the root, size and channels."""
        return fingerprint(self, self._arguments(), self._listing.digests(cache))

    def _arguments(self) -> dict[str, Any]:
        """What changes decoded values or which files are bad; the later arguments only where they are given."""
        found: dict[str, Any] = {"size": self._size, "channels": self._channels, **self._reader.settings()}
        if self._value_range is not None:
            found["value_range"] = self._value_range
        return found if self._max_pixels == MAX_PIXELS else {**found, "max_pixels": self._max_pixels}

    def index(self) -> Index:
        """Classes, and the split where the folders give one; a note on files whose first picture alone is used."""
        listing, index = self._listing, self._listing.index()
        rows = [row for row, file in enumerate(listing.files) if not file.lower().endswith(JPEG_ENDINGS)]
        several = parallel_map(has_more_pictures, list(map(listing.path, rows)), "reading headers")
        names = [listing.files[row] for row, found in zip(rows, several, strict=True) if found]
        if not names:
            return index
        of = f"{plural(len(names), 'file')} with several (animations, pages): {and_more(names, 3)}"
        return replace(
            index, notes=(*index.notes, f"{listing.where}: only the first picture is used of {of}")
        )

    def passed_over(self) -> str:
        """Files that are not read, in words."""
        return self._listing.passed_over

    def decode(self, row: int) -> np.ndarray:
        """uint8 (C, H, W); BadInput for a damaged file."""
        limits = (self._size, self._channels, self._value_range, self._max_pixels)
        return decode_image(self._listing.path(row), self._listing.files[row], *limits)

    def sizes(self) -> np.ndarray:
        """int64 (n, 2): width and height of the files, in pixels; damaged ones are left out."""
        listing = self._listing
        paths = [listing.path(row) for row in range(len(listing))]
        found = [size for size in parallel_map(image_size, paths, "reading headers") if size is not None]
        return np.array(found, dtype=np.int64).reshape(-1, 2)

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}


class ImageManifest(ImageFolder):
    """Pictures that a CSV, TSV or JSONL file lists, with labels and, where named, split and groups.

    csv: the file; root: the folder that its paths are relative to (default: the file's own). size,
    channels, value_range and max_pixels as in ImageFolder, delimiter and encoding as in TextTable.
    """

    def __init__(
        self,
        csv: str,
        root: str | None = None,
        path_column: str = "path",
        label_column: str | list[str] = "label",
        split_column: str | None = None,
        group_column: str | None = None,
        size: Size | None = None,
        channels: Channels | None = None,
        value_range: list[float] | None = None,
        max_pixels: Size = MAX_PIXELS,
        delimiter: str | None = None,
        encoding: str | None = None,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is read yet."""
        super().__init__(root or "", size, channels, value_range, max_pixels, reader)
        self._written = TableFormat(delimiter, encoding)
        self._manifest = (csv, root, path_column, label_column, split_column, group_column)

    @cached_property
    def _listing(self) -> Listing:
        return read_manifest(*self._manifest, reader=self._reader, written=self._written)

    def fingerprint(self, cache: Path) -> str:
        """Of the manifest's and the files' content, the columns, size and channels."""
        arguments = self._arguments() | {"columns": self._manifest[2:], **self._written.settings()}
        digests = manifest_digests(self._listing, self._manifest[0], cache)
        return fingerprint(self, arguments, digests)
