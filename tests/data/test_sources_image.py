"""Image sources: idx, CIFAR-10's pickles, the JPEG archive, folders and manifests."""

import io
import os
import pickle
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leyden.data.cache import load
from leyden.data.decode import has_more_pictures
from leyden.data.index import Source
from leyden.data.sources.formats import read_cifar_batch, read_idx, read_jpeg_archive
from leyden.data.sources.image import (
    CIFAR10,
    MNIST,
    CIFAR10Jpeg,
    Digits,
    FashionMNIST,
    ImageFolder,
    ImageManifest,
)
from leyden.utils.errors import UserError

DATA = Path(os.environ.get("LEYDEN_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def picture(path: Path, size: tuple[int, int] = (6, 6), mode: str = "RGB", value: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(path)


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def tiny_mnist(root: Path, name: str = "MNIST") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 28, 28)), np.arange(30) % 10
    raw = root / name / "raw"
    for part, rows in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        write_idx(raw / f"{part}-images-idx3-ubyte", images[rows])
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels[rows])
    return images, labels


def test_digits_are_scikit_learns(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    table = load(Digits(), tmp_path)
    data = load_digits()
    values = table.inputs.gather(np.arange(len(table))).values
    assert values.shape == (1797, 1, 8, 8)
    assert int(values.max()) == 255
    np.testing.assert_allclose(values[:, 0].numpy(), data.images * 255 / 16, atol=0.5)
    np.testing.assert_array_equal(table.index.targets, data.target)
    assert table.index.split is None
    assert len(table.index.target_names) == 10


@pytest.mark.parametrize(("source", "name"), [(MNIST, "MNIST"), (FashionMNIST, "FashionMNIST")])
def test_mnist_layout(tmp_path: Path, source: type[MNIST], name: str) -> None:
    images, labels = tiny_mnist(tmp_path / "d", name)
    for folder in ((tmp_path / "d").rglob("*"), [tmp_path / "d"]):
        for path in folder:
            path.chmod(0o555 if path.is_dir() else 0o444)  # data may be read-only
    assert isinstance(source(str(tmp_path / "d")), Source)
    table = load(source(str(tmp_path / "d")), tmp_path / "cache")
    np.testing.assert_array_equal(table.inputs.gather(np.arange(30)).values[:, 0].numpy(), images)
    np.testing.assert_array_equal(table.index.targets, labels)
    assert table.index.split.tolist() == [0] * 20 + [2] * 10
    assert len(table.index.target_names) == 10
    for path in [tmp_path / "d", *(tmp_path / "d").rglob("*")]:
        path.chmod(0o755)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: os.truncate(p, p.stat().st_size - 1), "bytes of values, expected"),
        (lambda p: p.write_bytes(b"\x1f\x8b\x08compressed"), "is no idx file"),
        (lambda p: p.write_bytes(b""), "is no idx file"),
        (lambda p: write_idx(p, np.zeros((19, 28, 28))), "do not belong together"),
    ],
)
def test_damaged_idx(tmp_path: Path, damage: object, message: str) -> None:
    tiny_mnist(tmp_path)
    damage(tmp_path / "MNIST/raw/train-images-idx3-ubyte")
    with pytest.raises(UserError, match=message):
        MNIST(str(tmp_path)).index()


def tiny_cifar(root: Path, labels: str = "labels") -> np.ndarray:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (60, 3072)).astype(np.uint8)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for k, name in enumerate(names):
        batch = {b"data": values[10 * k : 10 * k + 10], labels.encode(): list(range(10))}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return values


def test_cifar10(tmp_path: Path) -> None:
    values = tiny_cifar(tmp_path)
    table = load(CIFAR10(str(tmp_path)), tmp_path / "cache")
    np.testing.assert_array_equal(table.inputs.gather(np.arange(60)).values.numpy().reshape(60, -1), values)
    assert table.index.split.tolist() == [0] * 50 + [2] * 10
    assert table.index.target_names[3] == "cat"


def test_a_pickled_array_in_another_order_of_its_bytes(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (4, 3072)).astype(np.uint8)
    batch = {b"data": np.asfortranarray(values), b"labels": [0, 1, 2, 3]}
    (tmp_path / "batch").write_bytes(pickle.dumps(batch, protocol=2))
    np.testing.assert_array_equal(read_cifar_batch(tmp_path / "batch")[0].reshape(4, -1), values)


class Objects:
    """Pickled, an array of objects that says of itself that it is bytes: they would be taken for addresses."""

    class Kind:
        def __reduce__(self) -> tuple[object, ...]:
            return np.dtype, ("O8", False, True), (3, "|", None, None, None, 8, 8, 0)

    def __reduce__(self) -> tuple[object, ...]:
        made = np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b")
        return *made, (1, (3072,), Objects.Kind(), False, b"A" * 8 * 3072)


def test_bytes_of_a_pickle_are_never_addresses(tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(pickle.dumps({b"data": Objects(), b"labels": [1]}, protocol=2))
    with pytest.raises(UserError, match="is no batch of CIFAR-10"):
        read_cifar_batch(tmp_path / "batch")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil",)


def test_a_pickle_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_cifar(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(UserError, match="is no batch of CIFAR-10"):
        CIFAR10(str(tmp_path)).index()
    assert not Path("evil").exists()


def test_cifar100_is_not_taken_for_cifar10(tmp_path: Path) -> None:
    tiny_cifar(tmp_path, labels="fine_labels")
    with pytest.raises(UserError, match="is no batch of CIFAR-10"):
        CIFAR10(str(tmp_path)).index()


def archive(path: Path, names: list[str]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for value, name in enumerate(names):
            buffer = io.BytesIO()
            Image.new("RGB", (32, 32), (20 * value,) * 3).save(buffer, "JPEG")
            info = tarfile.TarInfo(name)
            info.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(info, buffer)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(mode: str, tmp_path: Path) -> None:
    path, size = tmp_path / "a.tar", 1 << 20
    with tarfile.open(path, mode) as archive:
        for number in range(70):
            entry = tarfile.TarInfo(f"../train/x/{number}.jpg")
            entry.size = size
            archive.addfile(entry, io.BytesIO(bytes(size)))
    if mode == "w":  # as large as its content
        assert len(read_jpeg_archive(path)) == 70
    else:
        with pytest.raises(
            UserError, match=r"a.tar: cannot be read .* unpacks to more than 67,108,864 bytes"
        ):
            read_jpeg_archive(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("sizes", [[1 << 16] * 4, [1 << 31, 1 << 31, 4], [0], [3, 3]])
def test_sizes_of_an_idx_file_are_those_of_its_content(sizes: list[int], tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(
        bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + bytes(9 * (sizes == [3, 3]))
    )
    if max(sizes) > 3:
        with pytest.raises(UserError, match=r"has 0 bytes of values, expected [0-9,]{9}"):
            read_idx(path)
    else:
        assert list(read_idx(path).shape) == sizes


def test_jpeg_archive(tmp_path: Path) -> None:
    names = ["./train/cat/1.jpg", "./test/cat/1.jpg", "./train/dog/0.jpg"]
    archive(tmp_path / "a.tar.gz", names)
    table = load(CIFAR10Jpeg(str(tmp_path / "a.tar.gz")), tmp_path / "cache")
    assert list(table.index.names) == ["test/cat/1.jpg", "train/cat/1.jpg", "train/dog/0.jpg"]
    assert table.index.split.tolist() == [2, 0, 0]
    assert table.index.targets.tolist() == [0, 0, 1]
    assert table.inputs.gather(np.arange(3)).values[:, 0, 0, 0].tolist() == [20, 0, 40]
    again = CIFAR10Jpeg(str(tmp_path / "a.tar.gz"))
    load(again, tmp_path / "cache")
    assert "_members" not in vars(again)  # the second start does not open the archive


def test_mistakes_with_the_archive(tmp_path: Path) -> None:
    archive(tmp_path / "flat.tar.gz", ["cat/1.jpg"])
    (tmp_path / "text.tar.gz").write_text("no archive")
    archive(tmp_path / "whole.tar.gz", ["train/a/1.jpg", "train/b/1.jpg"] * 20)
    (tmp_path / "half.tar.gz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:400])
    for name, message in (
        ("flat", r"expected train\|test/CLASS/NAME.jpg, found cat/1.jpg"),
        ("text", "cannot be read as a tar archive"),
        ("half", "cannot be read as a tar archive"),
        ("flatt", "did you mean 'flat.tar.gz'"),
    ):
        with pytest.raises(UserError, match=message):
            CIFAR10Jpeg(str(tmp_path / f"{name}.tar.gz")).index()


def test_image_folder(tmp_path: Path) -> None:
    root = tmp_path / "d"
    picture(root / "a" / "1.png", value=10)
    picture(root / "b" / "2.png", value=20)
    table = load(ImageFolder(str(root)), tmp_path / "cache")
    assert table.inputs.shape == (3, 6, 6)
    assert table.inputs.gather(np.arange(2)).values[:, 0, 0, 0].tolist() == [10, 20]


@pytest.mark.parametrize("ending", ["gif", "tiff", "png", "webp"])
def test_a_file_of_several_pictures_is_said_to_be_used_by_its_first(tmp_path: Path, ending: str) -> None:
    root = tmp_path / "d"
    first, *others = (Image.new("L", (6, 6), grey) for grey in (10, 90, 200))
    for folder in ("a", "b"):
        (root / folder).mkdir(parents=True)
        first.save(root / folder / f"one.{ending}")
    assert load(ImageFolder(str(root), channels=1), tmp_path / "cache").index.notes == ()
    first.save(root / "b" / f"three.{ending}", save_all=True, append_images=others, lossless=True)
    for _ in range(2):  # decoded, and from the cache
        table = load(ImageFolder(str(root), channels=1), tmp_path / "cache")
        (note,) = table.index.notes
        assert "only the first picture is used of 1 file with several" in note
        assert note.endswith(f": b/three.{ending}")
        assert (table.inputs.gather(np.arange(3)).values == 10).all()


def test_damaged_further_pictures_and_previews_are_not_counted(tmp_path: Path) -> None:
    first, other = (Image.new("L", (6, 6), grey) for grey in (10, 90))
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[other])
    assert not has_more_pictures(tmp_path / "a.mpo")
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    assert not has_more_pictures(tmp_path / "a.gif")


def test_mixed_sizes_and_colours(tmp_path: Path) -> None:
    root = tmp_path / "d"
    picture(root / "a" / "1.png", (6, 6))
    picture(root / "a" / "2.png", (6, 6))
    picture(root / "b" / "3.png", (9, 7), "L")
    with pytest.raises(UserError, match=r"data\.source\.size=6 .*data\.source\.channels=3"):
        load(ImageFolder(str(root)), tmp_path / "cache")
    assert load(ImageFolder(str(root), size=5, channels=1), tmp_path / "cache").inputs.shape == (1, 5, 5)


def test_bad_pictures_are_listed_by_name(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for name in ("a/1.png", "a/2.png", "b/3.png", "b/4.png"):
        picture(root / name)
    (root / "a/2.png").write_bytes((root / "a/2.png").read_bytes()[:40])
    (root / "b/4.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"2 inputs[^\0]*a/2.png: [^\0]*b/4.png: is empty"):
        load(ImageFolder(str(root)), tmp_path / "cache")
    table = load(ImageFolder(str(root)), tmp_path / "cache", on_bad="skip")
    assert list(table.index.names) == ["a/1.png", "b/3.png"]
    assert table.skipped.names == ("a/2.png", "b/4.png")


def test_fingerprint_is_of_content_not_of_place(tmp_path: Path) -> None:
    picture(tmp_path / "d" / "a" / "1.png", value=10)
    picture(tmp_path / "d" / "b" / "2.png", value=20)
    shutil.copytree(tmp_path / "d", tmp_path / "else" / "where")

    def of(root: str, **arguments: int) -> str:
        return ImageFolder(str(tmp_path / root), **arguments).fingerprint(tmp_path / "cache")

    first = of("d")
    assert of("else/where") == first
    different = {of("d", size=5), of("d", channels=1)}
    picture(tmp_path / "d" / "b" / "2.png", value=21)
    different.add(of("d"))
    picture(tmp_path / "d" / "b" / "3.png")
    different.add(of("d"))
    (tmp_path / "d" / "b" / "3.png").rename(tmp_path / "d" / "a" / "3.png")
    different.add(of("d"))
    assert len(different | {first}) == 6


def test_manifest_fingerprint_follows_labels_and_columns(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    picture(tmp_path / "2.png")
    found = set()
    for csv, columns in (
        ("path,label,other\n1.png,a,b\n2.png,b,a\n", {}),
        ("path,label,other\n1.png,b,b\n2.png,a,a\n", {}),
        ("path,label,other\n1.png,b,b\n2.png,a,a\n", {"label_column": "other"}),
    ):
        (tmp_path / "m.csv").write_text(csv)
        found.add(ImageManifest(str(tmp_path / "m.csv"), **columns).fingerprint(tmp_path / "cache"))
    assert len(found) == 3


def test_manifest_with_a_wrong_column(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    (tmp_path / "m.csv").write_text("file,label\n1.png,a\n")
    with pytest.raises(
        UserError, match=r"data\.source\.path_column: .* no column 'path': there are: file, label"
    ):
        ImageManifest(str(tmp_path / "m.csv")).index()


@pytest.mark.data
def test_real_mnist(tmp_path: Path) -> None:
    if not (DATA / "MNIST").is_dir():
        pytest.skip("no MNIST")
    table = load(MNIST(str(DATA)), tmp_path)
    assert np.bincount(table.index.split).tolist() == [60000, 0, 10000]
    assert table.inputs.shape == (1, 28, 28)
    mean = table.inputs.values[:60000].mean() / 255
    assert abs(mean - 0.1307) < 1e-4  # the published mean of the training set


@pytest.mark.data
@pytest.mark.slow
def test_real_cifar10_jpeg(tmp_path: Path) -> None:
    if not (DATA / "cifar10-jpg.tar.gz").is_file():
        pytest.skip("no CIFAR-10-JPEG")
    table = load(CIFAR10Jpeg(str(DATA / "cifar10-jpg.tar.gz")), tmp_path)
    assert np.bincount(table.index.split).tolist() == [50000, 0, 10000]
    means = table.inputs.values[table.index.split == 0].mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=0.003)
