"""Text sources: SMS Spam, AG's News, tables of one's own."""

import hashlib
import io
import os
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leyden.data.cache import load
from leyden.data.sources.text import AGNews, SMSSpam, TextTable
from leyden.data.table import Table
from leyden.data.targets import LabelReader, TargetReader, ValueReader
from leyden.tasks.classification import Classification
from leyden.utils.errors import UserError

DATA = Path(os.environ.get("LEYDEN_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def texts(table: Table) -> list[str]:
    return [bytes(table.inputs.row(row)).decode() for row in range(len(table))]


def test_sms_spam(tmp_path: Path) -> None:
    (tmp_path / "SMSSpamCollection").write_bytes("ham\tsee you\nspam\tWIN £5\tnow\r\nham\tok\n".encode())
    table = load(SMSSpam(str(tmp_path)), tmp_path / "cache")
    assert texts(table) == ["see you", "WIN £5\tnow", "ok"]
    assert table.index.target_names == ("ham", "spam")
    assert table.index.targets.tolist() == [0, 1, 0]
    assert list(table.index.names) == [f"SMSSpamCollection:{line}" for line in (1, 2, 3)]


@pytest.mark.parametrize("line", ["eggs\thello", "ham hello"])
def test_sms_spam_names_the_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "SMSSpamCollection").write_text(f"ham\ta\n{line}\n")
    with pytest.raises(UserError, match="SMSSpamCollection:2: expected ham or spam"):
        SMSSpam(str(tmp_path)).index()


def test_sms_spam_is_fetched_and_written_through_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, archive = b"ham\tsee you\nspam\twin\n", io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("SMSSpamCollection", content)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(archive.getvalue()))
    monkeypatch.setattr(SMSSpam, "SHA256", hashlib.sha256(content).hexdigest())
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "data").mkdir()
    for name in (".download.lock", "SMSSpamCollection.part", "SMSSpamCollection"):
        (tmp_path / "data" / name).symlink_to(
            tmp_path / ("precious" if name != "SMSSpamCollection" else "gone")
        )
    assert SMSSpam(str(tmp_path / "data")).index().target_names == ("ham", "spam")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "gone").exists()


def test_ag_news(tmp_path: Path) -> None:
    rows = [f'"{c}","Title {c}","Text,\\with ""quotes"""' for c in (3, 4, 1, 2)]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    (tmp_path / "test.csv").write_text(rows[0])
    table = load(AGNews(str(tmp_path)), tmp_path / "cache")
    assert texts(table)[0] == 'Title 3 Text, with "quotes"'
    assert [table.index.target_names[c] for c in table.index.targets] == [
        *("Business", "Sci/Tech", "World", "Sports"),
        "Business",
    ]
    assert table.index.split.tolist() == [0, 0, 0, 0, 2]
    (tmp_path / "test.csv").write_text('"5","a","b"')
    with pytest.raises(UserError, match=r"test\.csv:1: expected a class 1 to 4"):
        AGNews(str(tmp_path)).index()


def test_table_with_numbers_as_labels(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "t{n}", "label": {n}}}\n' for n in (10, 9, 1)))
    table = load(TextTable(str(tmp_path / "a.jsonl")), tmp_path / "cache")
    assert table.index.target_names == ("1", "9", "10")
    assert texts(table) == ["t10", "t9", "t1"]


def test_table_split_and_groups(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(
        "body\tmood\twho\tpart\nx\tup\tann\ttrain\ny\tdown\tbob\ttrain\nz\tup\tann\ttest\n"
    )
    source = TextTable(str(tmp_path / "a.tsv"), "body", "mood", "part", "who")
    index = source.index()
    assert index.split.tolist() == [0, 0, 2]
    assert index.group.tolist() == [0, 1, 0]
    assert index.group_names == ("ann", "bob")


def test_table_of_three_files(tmp_path: Path) -> None:
    for name, rows in (("train", "a,0\nb,1\n"), ("val", "c,0\n"), ("test", "d,1\ne,0\n")):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + rows)
    paths = {name: str(tmp_path / f"{name}.csv") for name in ("train", "val", "test")}
    source = TextTable(paths["train"], val_path=paths["val"], test_path=paths["test"])
    table = load(source, tmp_path / "cache")
    assert table.index.split.tolist() == [0, 0, 1, 2, 2]
    assert texts(table) == ["a", "b", "c", "d", "e"]
    assert table.index.names[3] == "test.csv:2"
    swapped = TextTable(paths["train"], val_path=paths["test"], test_path=paths["val"])
    assert swapped.fingerprint(tmp_path / "cache") != source.fingerprint(tmp_path / "cache")
    with pytest.raises(UserError, match="not both"):
        TextTable(paths["train"], split_column="s", test_path=paths["test"])


def test_bad_texts_are_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'text,label\nfine,0\ncaf\xe9,0\n"two\nlines",1\n  ,1\n')
    source = TextTable(str(tmp_path / "a.csv"))
    with pytest.raises(UserError, match=r"2 inputs[^\0]*a\.csv:3: is not UTF-8[^\0]*a\.csv:6: has no text"):
        load(source, tmp_path / "cache")
    table = load(source, tmp_path / "cache", on_bad="skip")
    assert texts(table) == ["fine", "two\nlines"]
    assert len(table.skipped) == 2


def test_rows_without_a_label_are_all_listed_or_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,0\nb,\nc,1\nd, \n")
    source = TextTable(str(tmp_path / "a.csv"))
    with pytest.raises(
        UserError, match=r"2 inputs[^\0]*a\.csv:3: column 'label' is empty[^\0]*a\.csv:5: [^\0]*on_bad"
    ):
        load(source, tmp_path / "cache")
    for _ in range(2):
        table = load(source, tmp_path / "cache", on_bad="skip")
        assert (texts(table), table.index.targets.tolist()) == (["a", "c"], [0, 1])
        assert [line.split(":")[1] for line in table.skipped.lines()] == ["3", "5"]


@pytest.mark.parametrize(
    ("reader", "column", "cells", "good"),
    [
        (ValueReader(), "label", ["1.5", "n/a", "", "2", "inf"], [[1.5], [2.0]]),
        (LabelReader(), ["x", "y"], ["1,0", "maybe,1", "0,1"], [[1, 0], [0, 1]]),
    ],
)
def test_other_targets_that_cannot_be_read(
    tmp_path: Path, reader: TargetReader, column: Any, cells: list[str], good: list[list[float]]
) -> None:
    header = column if isinstance(column, str) else ",".join(column)
    rows = "".join(f"word{i},{cell}\n" for i, cell in enumerate(cells))
    (tmp_path / "a.csv").write_text(f"text,{header}\n{rows}")
    source = TextTable(str(tmp_path / "a.csv"), label_column=column, reader=reader)
    with pytest.raises(UserError, match=r"a\.csv:3: column .* holds '.*'; expected"):
        load(source, tmp_path / "cache")
    table = load(source, tmp_path / "cache", on_bad="skip")
    assert table.index.targets.tolist() == good


def test_a_decimal_comma_is_named_with_the_number_to_write(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text;label\na;1,5\nb;0,5\n")
    source = TextTable(str(tmp_path / "a.csv"), reader=ValueReader())
    with pytest.raises(UserError, match=r"none of the 2 rows has a target.*csv:2: .*'1,5'.* such as 1\.5"):
        load(source, tmp_path / "cache")
    (tmp_path / "a.csv").write_text("text;label\na;1.5\nb;0,5\nc;2\n")
    with pytest.raises(UserError, match=r"a\.csv:3: .*'0,5'; expected a .* decimal point, such as 0\.5"):
        load(TextTable(str(tmp_path / "a.csv"), reader=ValueReader()), tmp_path / "cache")


@pytest.mark.parametrize(
    ("cell", "advice"),
    [("1,234", "1234 or 1.234, whichever is meant"), ("-1,234,567.5", "-1234567.5"), ("0,125", "0.125")],
)
def test_commas_between_thousands_are_not_taken_for_decimal_ones(
    tmp_path: Path, cell: str, advice: str
) -> None:
    (tmp_path / "a.csv").write_text(f'text,label\na,"{cell}"\nb,2\nc,3\n')
    with pytest.raises(UserError, match=f"such as {advice}\n"):
        load(TextTable(str(tmp_path / "a.csv"), reader=ValueReader()), tmp_path / "cache", on_bad="stop")


def test_names_in_two_unicode_forms_are_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "text,label,who\na,café,zoé\nb,thé,zoe\u0301\nc,cafe\u0301,zoé\n", "utf-8"
    )
    table = load(TextTable(str(tmp_path / "a.csv"), group_column="who"), tmp_path / "cache")
    assert table.index.target_names == ("café", "thé")
    assert table.index.targets.tolist() == [0, 1, 0]
    assert table.index.group_names == ("zoé",)
    assert "café" in table.index.notes[0]
    assert "Unicode" in table.index.notes[0]


def test_rows_with_a_word_for_a_missing_value_are_left_out_on_request(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,NaN\nb,x\nc,n/a\nd,nano\ne,\n")
    reader = Classification(na_is_empty=True).reader()
    with pytest.raises(UserError, match=r"3 inputs cannot be used:\n  a\.csv:2: column 'label' is empty"):
        load(TextTable(str(tmp_path / "a.csv"), reader=reader), tmp_path / "cache")
    table = load(TextTable(str(tmp_path / "a.csv"), reader=reader), tmp_path / "cache", on_bad="skip")
    assert table.index.target_names == ("nano", "x")
    as_class = load(TextTable(str(tmp_path / "a.csv")), tmp_path / "cache", on_bad="skip")
    assert as_class.index.target_names == ("NaN", "n/a", "nano", "x")


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("{}.5", "task=regression$"),
        ("{},5", "task=regression, once their decimals are written with a point"),
        ("review {}", "label_column="),
        ("{},5,5", "label_column="),
    ],
)
def test_a_class_for_each_row_is_no_class(tmp_path: Path, cell: str, advice: str) -> None:
    rows = "".join(f"word{i};{cell.format(i)}\n" for i in range(40))
    (tmp_path / "a.csv").write_text("text;label\n" + rows)
    with pytest.raises(UserError, match=f"40 classes in 40 rows.*{advice}"):
        load(TextTable(str(tmp_path / "a.csv")), tmp_path / "cache")


def test_only_one_class(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,0\nb,0\n")
    with pytest.raises(UserError, match="only one class found"):
        load(TextTable(str(tmp_path / "a.csv")), tmp_path / "cache")


def test_second_start_reads_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,0\nb,1\n")
    load(TextTable(str(tmp_path / "a.csv")), tmp_path / "cache")
    again = TextTable(str(tmp_path / "a.csv"))
    load(again, tmp_path / "cache")
    assert "_data" not in vars(again)


@pytest.mark.data
def test_real_sms_spam(tmp_path: Path) -> None:
    import hashlib

    file = DATA / "sms-spam" / "SMSSpamCollection"
    if not file.is_file():
        pytest.skip("no SMS Spam")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == SMSSpam.SHA256
    table = load(SMSSpam(str(file.parent)), tmp_path)
    assert np.bincount(table.index.targets).tolist() == [4827, 747]
