"""Encodings that are found or given, and lines."""

import codecs
from pathlib import Path

import pytest

from leyden.data.modalities import MODALITIES
from leyden.data.text_files import composed, decoded, found_encoding, lines, verify_encoding
from leyden.utils.errors import UserError

TEXT = "text,label\r\nbon café,très bien\r\nеще,да\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_is_found(encoding: str) -> None:
    assert decoded(TEXT.encode(encoding), "t.csv") == TEXT
    assert decoded(TEXT.encode(encoding), "t.csv", encoding) == TEXT


def test_the_big_endian_marks_are_found() -> None:
    assert decoded(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "t.csv") == TEXT
    assert decoded(codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"), "t.csv") == TEXT


def test_other_encodings_are_given_and_never_guessed() -> None:
    content = "bon café,très bien".encode("cp1252")
    assert found_encoding(content) == "utf-8"
    assert "\udce9" in decoded(content, "t.csv")  # the bytes survive, and the rows that hold them are bad
    assert decoded(content, "t.csv", "cp1252") == "bon café,très bien"
    for name in ("cp1253x", "base64", "rot13", ""):
        with pytest.raises(UserError, match=r"data\.source\.encoding="):
            verify_encoding(name)
    verify_encoding("cp1252")


def test_a_wrong_encoding_is_named() -> None:
    with pytest.raises(UserError, match=r"t\.csv: is not in encoding utf-16"):
        decoded(b"text,labels", "t.csv", "utf-16")


@pytest.mark.parametrize("content", [b"", b"a", b"\x00", b"\x00" * 40, b"text,label\na\x00b,1\n"])
def test_a_few_zero_bytes_are_no_utf_16(content: bytes) -> None:
    assert found_encoding(content) == "utf-8"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("one", ["one"]),
        ("one\ntwo\n", ["one", "two"]),
        ("one\r\n\r\ntwo", ["one", "", "two"]),
        ("old\rmac\r", ["old", "mac"]),
        (
            "a\u2028b\nc\x85d\ne\x0bf\ng\x0ch\ni\x1cj\nk\rl\n",
            ["a\u2028b", "c\x85d", "e\x0bf", "g\x0ch", "i\x1cj", "k\rl"],
        ),
    ],
)
def test_lines(text: str, expected: list[str]) -> None:
    assert lines(text) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_prediction_reads_lines_without_the_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "new.txt").write_bytes("one\x0cfilm\r\nanother\u2028film\r\n".encode(encoding))
    found = MODALITIES["text"].read(str(tmp_path / "new.txt"), None, None, {})  # type: ignore[arg-type]
    assert [name for name, _ in found] == ["one\x0cfilm", "another\u2028film"]


def test_composed() -> None:
    assert composed("cafe\u0301") == "café" == composed("café")
