"""Tables whose rows are predicted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leyden.data.modalities import MODALITIES
from leyden.data.spec import DataSpec
from leyden.utils.errors import UserError

SPEC = DataSpec("image", ("a", "b"), in_channels=1, image_size=(4, 4))


class Letters:
    """A tokenizer whose ids are the letters."""

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        return [np.array(list(map(ord, text))) for text in texts]


def texts(file: Path, **source: Any) -> list[tuple[str, str]]:
    """(name, text) of what a file holds for a run on texts."""
    found = MODALITIES["text"].read(str(file), SPEC, Letters(), source)
    return [(name, "".join(map(chr, decode()))) for name, decode in found]


@pytest.mark.parametrize(
    ("name", "content", "source", "second"),
    [
        ("a.csv", b'text,label\n"One,\nand",x\ntwo,y\n', {}, 4),
        ("a.tsv", b"label\treview\nx\tOne,\n\nb\ttwo\n", {"text_column": "review"}, 4),
        ("a.csv", "who;text\nà;One,\nà;two\n".encode("cp1252"), {"encoding": "cp1252"}, 3),
        ("a.csv", b"who|text\nx|One,\ny|two\n", {"delimiter": "|"}, 3),
        ("a.jsonl", b'{"text": "One,"}\n{"label": 1, "text": "two"}\n', {}, 2),
    ],
)
def test_a_table_is_read_by_the_column_and_format_of_the_run(
    tmp_path: Path, name: str, content: bytes, source: dict[str, Any], second: int
) -> None:
    (tmp_path / name).write_bytes(content)
    (place, text), last = texts(tmp_path / name, **source)
    assert (place, text.splitlines()[0]) == (f"{name}:{1 if name == 'a.jsonl' else 2}", "One,")
    assert last == (f"{name}:{second}", "two")


def test_a_delimiter_of_the_run_holds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text|who,\nOne|x,\n")
    with pytest.raises(UserError, match="has no column 'text'"):
        texts(tmp_path / "a.csv", delimiter=",")


def test_lines_of_other_files_are_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text,label\nwell,good\n")
    assert texts(tmp_path / "a.txt") == [("text,label", "text,label"), ("well,good", "well,good")]


def test_a_table_without_the_column_is_refused_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("txt,label\nwell,good\n")
    with pytest.raises(UserError) as refused:
        texts(tmp_path / "a.csv", text_column="text")
    message = str(refused.value)
    assert f"{tmp_path / 'a.csv'}: has no column 'text', which this run reads: did you mean 'txt'?" in message
    assert message.endswith(". Name it so in the header, or give the texts alone, one a line, in a .txt file")


def test_a_table_lists_files(tmp_path: Path) -> None:
    for name, grey in (("a", 10), ("b", 200)):
        Image.fromarray(np.full((4, 4), grey, np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "t.csv").write_text("label,file\nx,b.png\ny,a.png\n")
    source = {"path_column": "file"}
    found = list(MODALITIES["image"].read(str(tmp_path / "t.csv"), SPEC, None, source))
    assert [(Path(name).name, decode()[0, 0, 0]) for name, decode in found] == [("b.png", 200), ("a.png", 10)]
    (tmp_path / "t.csv").write_text("file\nc.png\n")
    with pytest.raises(UserError, match=r"t\.csv: 1 file not in .*\n  t\.csv:2: c\.png"):
        list(MODALITIES["image"].read(str(tmp_path / "t.csv"), SPEC, None, source))
    with pytest.raises(UserError, match=r"has no column 'path'.*or name the files themselves"):
        list(MODALITIES["audio"].read(str(tmp_path / "t.csv"), SPEC, None, {}))
