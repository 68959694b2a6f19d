"""Folders, manifests, tables, downloads, data options: what is found, and what mistakes are answered."""

import csv
import gzip
import hashlib
import inspect
import io
import json
import os
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import leyden.data.sources.audio as audio_sources
import leyden.data.sources.image as image_sources
import leyden.data.sources.text as text_sources
from leyden.data.cache import load
from leyden.data.modalities import modality_of
from leyden.data.sources import download
from leyden.data.sources.file_lists import file_at, folder_at, read_manifest, scan
from leyden.data.sources.tables import TableFormat, read_table
from leyden.data.targets import verify
from leyden.utils.errors import UserError

ROOT = Path(__file__).parents[2]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


# --- folders


def test_class_folders(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "dog/b.jpg",
        "dog/deep/a.JPG",
        "cat/x.png",
        "cat/notes.txt",
        "cat/._x.png",
        ".git/x.png",
        "top.png",
    )
    listing = scan(str(tmp_path), (".jpg", ".png"))
    assert list(listing.files) == ["cat/x.png", "dog/b.jpg", "dog/deep/a.JPG"]
    assert list(listing.labels) == ["cat", "dog", "dog"]
    assert listing.split is None
    assert Path(listing.path(2)).is_file()
    assert listing.index().target_names == ("cat", "dog")


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "cat/x.png",
        "dog/y.png",
        "dog/a.heic",
        "dog/b.HEIC",
        "dog/notes",
        "cat/.hidden.png",
        "top.png",
    )
    touch(tmp_path, ".git/x.png", "cat/.thumbs/x.png")
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    said = scan(str(tmp_path), (".png",)).passed_over
    for part in (
        "3 of another kind (.heic 2, without ending 1)",
        "3 hidden",
        "1 outside of class",
        "2 links to nothing",
    ):
        assert part in said
    touch(tmp_path / "clean", "cat/x.png", "dog/y.png")
    assert scan(str(tmp_path / "clean"), (".png",)).passed_over == ""
    with pytest.raises(UserError, match=r"clean holds no files.*passed over: 2 of another kind \(\.png 2\)"):
        scan(str(tmp_path / "clean"), (".jpg",))


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "1.png", "deep/2.png")
    touch(tmp_path / "root", "cat/0.png", "dog/0.png", "dog/deep/3.png")
    for place, target in {
        "cat/more": "elsewhere",
        "cat/more_again": "elsewhere",
        "cat/up": "root",
        "cat/everything": "/",
        "dog/self": "root/dog",
        "dog/cats": "root/cat",
        "cow": "elsewhere",
    }.items():
        (tmp_path / "root" / place).symlink_to(tmp_path / target, target_is_directory=True)
    listing = scan(str(tmp_path / "root"), (".png",))
    assert sorted(listing.files) == [
        *("cat/0.png", "cat/more/1.png", "cat/more/deep/2.png", "cow/1.png", "cow/deep/2.png"),
        *("dog/0.png", "dog/cats/0.png", "dog/cats/more/1.png", "dog/cats/more/deep/2.png"),
        "dog/deep/3.png",
    ]
    assert "links to folders that are read already" in listing.passed_over


def test_files_are_read_whatever_their_ending(tmp_path: Path) -> None:
    for name in ("cat/a.dat", "cat/b", "dog/c.PSX", "dog/d.jfif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (3, 3), len(name)).save(tmp_path / name, "PNG")
        soundfile.write(tmp_path / f"{name}.sound", np.zeros(50, np.int16), 8000, format="FLAC")
    (tmp_path / "dog/noise.bin").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "dog/notes.txt").write_text("nothing to see")
    images = image_sources.ImageFolder(str(tmp_path))
    assert list(images.index().names) == ["cat/a.dat", "cat/b", "dog/c.PSX", "dog/d.jfif"]
    assert ".sound 4" in images.passed_over()
    sounds = audio_sources.AudioFolder(str(tmp_path))
    assert len(sounds.index()) == 4
    assert ".bin 1" in sounds.passed_over()
    assert len(load(images, tmp_path / "cache")) == 4


def test_what_cannot_be_trained_on_can_be_listed(tmp_path: Path) -> None:
    touch(tmp_path / "tested", "test/a/1.png", "test/b/2.png", "val/a/3.png")
    listing = scan(str(tmp_path / "tested"), (".png",))
    assert dict(zip(listing.files, listing.split.tolist(), strict=True)) == {
        "test/a/1.png": 2,
        "test/b/2.png": 2,
        "val/a/3.png": 1,
    }
    assert "no folder train" in listing.obstacle


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_split_folders(tmp_path: Path, val: str) -> None:
    touch(tmp_path, "train/a/1.png", "train/b/2.png", f"{val}/a/3.png", "test/b/4.png")
    listing = scan(str(tmp_path), (".png",))
    by_file = dict(zip(listing.files, listing.index().split, strict=True))
    assert by_file == {"train/a/1.png": 0, "train/b/2.png": 0, f"{val}/a/3.png": 1, "test/b/4.png": 2}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png", "bus/2.png")
    assert scan(str(tmp_path), (".png",)).index().target_names == ("bus", "train")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no files in class folders"),
        (["top.png"], "holds no files in class folders"),
        (["a/1.png"], "only one class found"),
        (["a/1.png", "b/notes.txt"], "b: a class folder without a file"),
        (
            ["train/a/1.png", "train/b/1.png", "tset/a/1.png"],
            "tset beside train is no split: did you mean 'test'",
        ),
        (["val/a/1.png", "test/b/1.png"], "no folder train"),
        (
            ["train/a/1.png", "train/b/1.png", "test/c/1.png"],
            "test split has labels that no training sample has: 'c'",
        ),
    ],
)
def test_mistakes_in_folders(tmp_path: Path, names: list[str], message: str) -> None:
    touch(tmp_path / "d", *names)
    (tmp_path / "d").mkdir(exist_ok=True)
    with pytest.raises(UserError, match=message):
        verify(scan(str(tmp_path / "d"), (".png",)).index(), "d")


def test_the_closest_sibling_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "pictures/a/1.png", "notes.csv")
    with pytest.raises(UserError, match="did you mean 'pictures'"):
        folder_at(tmp_path / "picturs")
    with pytest.raises(UserError, match=r"did you mean 'notes\.csv'"):
        file_at(tmp_path / "note.csv", "data.source.csv")
    with pytest.raises(UserError, match="nor "):
        folder_at(tmp_path / "no" / "where")


# --- tables


def test_formats_agree(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes('\ufefftext,label\n"two\nlines, ""quoted""",1\n\nlast,x\n'.encode())
    (tmp_path / "a.tsv").write_text('text\tlabel\n"two\nlines, ""quoted"""\t1\n\nlast\tx\n')
    (tmp_path / "a.jsonl").write_text(
        '{"text": "two\\nlines, \\"quoted\\"", "label": 1}\n\n{"label": "x", "text": "last", "more": null}\n'
    )
    for name, lines in (("a.csv", [2, 5]), ("a.tsv", [2, 5]), ("a.jsonl", [1, 3])):
        table = read_table(tmp_path / name)
        assert table.column("text", "f") == ['two\nlines, "quoted"', "last"]
        assert table.column("label", "f") == ["1", "x"]
        assert table.places() == [f"{name}:{line}" for line in lines]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), max_size=12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(cells, cells), max_size=6))
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("t") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    assert read_table(path).rows == [list(row) for row in rows]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"text,label\na,b,c\n", r"a\.csv:2: has 3 cells, the header has 2 \(text, label\)"),
        ("a.csv", b"txt,label\na,b\n", "no column 'text': did you mean 'txt'"),
        ("a.csv", b"text,label\na,b\nc,\n", r"a\.csv:3: column 'label' is empty"),
        ("a.csv", b"text,label\na,b\nc,\xe9\n", r"a\.csv:3: column 'label' is not UTF-8"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', r"a\.jsonl:2: is no JSON"),
        ("a.jsonl", b'[\n{"text": "a", "label": "b"}\n]\n', r"a\.jsonl:1: is no JSON: .*expected one object a line"),
        (
            "a.jsonl",
            b'{"text": "a", "label": "b", "meta": [1]}\n{"text": "a", "label": ["b"]}\n',
            r"a\.jsonl:2: column 'label' holds a list or an object, expected a text or a number",
        ),
        ("a.csv", gzip.compress(b"text,label\na,b\n", mtime=0), r"a\.csv: is packed \(gzip.*unpack it first"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n[1]\n', r"a\.jsonl:2: expected a JSON object, found list"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": "a", "lable": 1}\n', "2: column 'label' is empty"),
        ("a.jsonl", b'{"text": "a", "label": "b", "label": 1}\n', r"a\.jsonl:1: has a key twice"),
        ("a.csv", b"text,label,label\na,b,c\n", r"has 2 columns 'label' \(2, 3\): rename one"),
        ("a.csv", b"text!label\na!b\n", r"no column 'text'.*data\.source\.delimiter"),
        ("a.jsonl", b"\n", "is empty"),
        ("a.xls", b"x", "are the formats read"),
    ],
)  # fmt: skip
def test_mistakes_in_tables(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)

    def read() -> None:
        table = read_table(tmp_path / name)
        table.column("text", "data.source.text_column", empty=True)
        table.column("label", "data.source.label_column")

    with pytest.raises(UserError, match=message):
        read()


ROWS = [["text", "label"], ["one, two; three|four", "1,5"], ["five", "2"], ["six", "3"]]


def delimited(delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(ROWS)
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_text(delimited(delimiter))
    table = read_table(path)
    assert [table.header, *table.rows] == ROWS
    usual = {".csv": ",", ".tsv": "\t"}[ending]
    assert bool(table.notes) == (delimiter != usual)


def test_the_delimiter_is_given_or_announced(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(delimited("!"))
    assert read_table(path, TableFormat(delimiter="!")).rows == ROWS[1:]
    path.write_text("sep=;\n" + delimited(";"))
    table = read_table(path)
    assert (table.rows, table.lines) == (ROWS[1:], [3, 4, 5])
    path.write_text(delimited("\t"))
    assert read_table(path, TableFormat(delimiter="tab")).rows == ROWS[1:]
    with pytest.raises(UserError, match=r"data\.source\.delimiter='::'"):
        TableFormat(delimiter="::")
    assert TableFormat().settings() == {}  # what is found changes no fingerprint


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_the_encoding_is_found_or_given(tmp_path: Path, encoding: str, name: str) -> None:
    text = (
        "text,label\r\ncafé,très bien\r\n"
        if name == "a.csv"
        else '{"text": "café", "label": "très bien"}\r\n'
    )
    (tmp_path / name).write_bytes(text.encode(encoding))
    table = read_table(tmp_path / name, TableFormat(encoding="cp1252" if encoding == "cp1252" else None))
    assert (table.header, table.rows) == (["text", "label"], [["café", "très bien"]])
    assert bool(table.notes) == (encoding in ("utf-16", "utf-16-le", "cp1252"))


def test_json_lines_may_lack_keys(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "a"}\n{"label": "b", "text": "c"}\n{"text": "d", "label": NaN}\n'
    )
    table = read_table(tmp_path / "a.jsonl")
    assert table.labels("label") == {"label": ["", "b", ""]}


def test_windows_paths(tmp_path: Path) -> None:
    touch(tmp_path, "pics/a/1.png", "pics/b/2.png", "odd\\name.png")
    (tmp_path / "a.csv").write_text("path,label\npics\\a\\1.png,a\n.\\pics\\b\\2.png,b\nodd\\name.png,b\n")
    listing = read_manifest(str(tmp_path / "a.csv"), None, "path", "label", None, None)
    assert list(listing.files) == ["pics/a/1.png", "./pics/b/2.png", "odd\\name.png"]


def test_split_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("s\ntrain\nVal\nvalid\nvalidation\ndev\ntest\n")
    table = read_table(tmp_path / "a.csv")
    assert table.split("s").tolist() == [0, 1, 1, 1, 1, 2]
    assert table.split(None) is None
    (tmp_path / "a.csv").write_text("s\ntrain\ntets\n")
    with pytest.raises(UserError, match=r"a\.csv:3: split 'tets' is unknown: did you mean 'test'"):
        read_table(tmp_path / "a.csv").split("s")


# --- manifests


def test_manifest(tmp_path: Path) -> None:
    touch(tmp_path / "data", "1.png", "in/2.png", "3.png")
    (tmp_path / "m.csv").write_text(
        "file,kind,who,part\n1.png,b,ann,train\nin/2.png,a,bob,train\n3.png,a,ann,test\n"
    )
    listing = read_manifest(str(tmp_path / "m.csv"), str(tmp_path / "data"), "file", "kind", "part", "who")
    index = listing.index()
    assert index.target_names == ("a", "b")
    assert index.targets.tolist() == [1, 0, 0]
    assert index.split.tolist() == [0, 0, 2]
    assert (index.group.tolist(), index.group_names) == ([0, 1, 0], ("ann", "bob"))
    assert index.names[1] == "in/2.png"
    assert (index.targets.dtype, index.split.dtype, index.group.dtype) == (np.int64, np.int8, np.int32)


def test_missing_files_of_a_manifest_are_listed(tmp_path: Path) -> None:
    rows = "".join(f"gone{i}.png,a\n" for i in range(23))
    (tmp_path / "m.csv").write_text(f"path,label\n{rows}here.png,b\n")
    touch(tmp_path, "here.png")
    with pytest.raises(UserError) as caught:
        read_manifest(str(tmp_path / "m.csv"), None, "path", "label", None, None)
    message = str(caught.value)
    assert "23 files not in" in message
    assert "m.csv:2: gone0.png" in message
    assert "and 3 more" in message


# --- downloads


def test_nothing_is_written_where_the_files_are(tmp_path: Path) -> None:
    touch(tmp_path, "a")
    tmp_path.chmod(0o555)
    download.ensure([tmp_path / "a"], True, lambda: pytest.fail("fetched"), "http://x", tmp_path)
    tmp_path.chmod(0o755)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_fetched_once_and_checked(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "d" / "a.bin"
    source.write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()

    def fetch() -> None:
        download.fetch_file(source.as_uri(), target, digest)

    for _ in range(2):
        download.ensure([target], True, fetch, "http://x", tmp_path / "d")
        source.unlink(missing_ok=True)
    assert target.read_bytes() == b"content"


def test_a_failed_download_names_folder_files_and_address(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"something else")
    target = tmp_path / "d" / "sub" / "a.bin"

    def fetch() -> None:
        download.fetch_file((tmp_path / "source").as_uri(), target, "00" * 32)

    with pytest.raises(UserError) as caught:
        download.ensure([target], True, fetch, "http://official", tmp_path / "d")
    for part in (str(tmp_path / "d"), "sub/a.bin", "http://official", "damaged or was replaced"):
        assert part in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["source"], "no folder is left behind"
    with pytest.raises(UserError, match="download is false"):
        download.ensure([target], False, fetch, "http://official", tmp_path / "d")


def refuse(*_: Any, **__: Any) -> None:
    raise OSError("no network")


SETS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "mnist": (lambda root: image_sources.MNIST(str(root)), "MNIST/raw/train-images-idx3-ubyte"),
    "fashion": (
        lambda root: image_sources.FashionMNIST(str(root)),
        "FashionMNIST/raw/t10k-labels-idx1-ubyte",
    ),
    "cifar10": (lambda root: image_sources.CIFAR10(str(root)), "cifar-10-batches-py/data_batch_1"),
    "sms": (lambda root: text_sources.SMSSpam(str(root)), "SMSSpamCollection"),
    "ag_news": (lambda root: text_sources.AGNews(str(root)), "train.csv"),
    "speech": (lambda root: audio_sources.SpeechCommands(str(root)), "validation_list.txt"),
}


@pytest.mark.parametrize("name", SETS)
def test_without_network_each_set_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", refuse)
    make, file = SETS[name]
    with pytest.raises(UserError) as caught:
        make(tmp_path / "data").fingerprint(tmp_path / "cache")
    for part in (str(tmp_path / "data"), file, "http", "the download failed"):
        assert part in str(caught.value)


def test_fsdd_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recordings is no folder.*https://github"):
        audio_sources.FSDD(str(tmp_path)).fingerprint(tmp_path)


# --- the options and the script


def options() -> list[Path]:
    return sorted((ROOT / "conf" / "data").glob("*.yaml"))


def test_there_are_options() -> None:
    assert len(options()) >= 17


@pytest.mark.parametrize("path", options(), ids=lambda path: path.stem)
def test_an_option_names_a_source_and_its_arguments(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    option = yaml.safe_load(text)
    assert option["name"] == path.stem
    module, _, name = option["source"].pop("_target_").rpartition(".")
    target = getattr(__import__(module, fromlist=[name]), name)
    parameters = inspect.signature(target).parameters
    assert option["source"].keys() <= parameters.keys()
    needed = {n for n, p in parameters.items() if p.default is p.empty}
    assert needed <= option["source"].keys()
    assert all(parameters[name].default != value for name, value in option["source"].items())
    if not modality_of(target).is_several:
        assert ("tokenizer" in text) == (target.modality == "text") == option.get("deduplicate", False)


def test_own_data_loads_as_folders_and_as_manifests(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "make_own_data.py"))
    script["main"]([str(tmp_path / "own"), "--count", "10"])
    own, columns = tmp_path / "own", {"split_column": "split", "group_column": "author"}
    folders = [
        image_sources.ImageFolder(str(own / "images")),
        audio_sources.AudioFolder(str(own / "audio")),
        text_sources.TextTable(str(own / "texts/train.csv"), test_path=str(own / "texts/test.csv")),
    ]
    manifests = [
        image_sources.ImageManifest(str(own / "images.csv"), **columns),
        audio_sources.AudioManifest(str(own / "audio.csv"), **columns),
        text_sources.TextTable(str(own / "texts.csv"), **columns),
    ]
    for folder, manifest, classes in zip(folders, manifests, (3, 2, 2), strict=True):
        one, other = load(folder, tmp_path / "cache"), load(manifest, tmp_path / "cache")
        assert len(one) == len(other) == 10 * classes
        assert one.index.target_names == other.index.target_names
        assert one.index.group is None
        assert other.index.group_names == ("ada", "ben", "cyd", "dov")
        assert np.bincount(other.index.split).tolist() == [8 * classes, 0, 2 * classes]
    assert load(folders[0], tmp_path / "cache").inputs.shape == (3, 24, 24)


@pytest.mark.parametrize(
    "rows",
    [
        '"one,x\ntwo,y\n"three",x\n',  # closed by the next mark, in the midst of a text
        'one,x\n"two,y\nthree,x\n',  # never closed
    ],
)
def test_a_quotation_mark_that_swallows_rows_is_refused(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"text,label\n{rows}")
    opens = 2 if rows.startswith('"') else 3
    with pytest.raises(UserError, match=rf"a\.csv:{opens}: a quotation mark .* not closed .*for \d lines"):
        read_table(path)


def test_rows_of_several_lines_are_read_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"one\n""two""",x\n"three"four,y\n\nfive",z\n')
    table = read_table(path)
    assert table.rows == [['one\n"two"', "x"], ["threefour", "y"], ['five"', "z"]]
    assert table.lines == [2, 4, 6]
    assert table.notes == ("a.csv: 1 row over several lines, in quotation marks (first: line 2)",)


def test_a_list_in_json_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    rows = [{"text": "It's\nfine", "label": 1}, {"text": "ü", "label": 2}]
    path = tmp_path / "my table.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(UserError, match="are the formats read; to convert it: python -c ") as refused:
        read_table(path)
    words = shlex.split(str(refused.value).partition("convert it: ")[2])
    subprocess.run([sys.executable, *words[1:]], check=True)
    assert read_table(tmp_path / "my table.jsonl").column("text", "f") == ["It's\nfine", "ü"]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.xlsx", "save it as CSV"),
        ("a.parquet", r"needs pandas.*read_parquet.*a\.jsonl"),
        ("a.pdf", "read$"),
    ],
)
def test_other_formats_say_how_to_convert_them(tmp_path: Path, name: str, how: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=how):
        read_table(tmp_path / name)
