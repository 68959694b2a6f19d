"""Which texts are the same: those that differ in case, spaces and Unicode form alone."""

import unicodedata

import pytest

from leyden.data.text_keys import normal_form


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("वह दिन था", "वह दीन था"),
        ("ซื้อข้าว", "ซื้อข่าว"),
        ("it came 😀", "it came 😡"),
        ("C", "C++"),
        ("profit +5 %", "profit -5 %"),
        ("let's eat, grandma", "let's eat grandma"),
        ("שָׁלוֹם", "שלום"),
        ("?", "!"),
    ],
)
def test_marks_symbols_and_punctuation_make_another_text(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Good Film", "good  film\n"),
        ("STRASSE", "straße"),
        ("ｆｕｌｌ ｗｉｄｔｈ", "full width"),
        ("no\u00a0break", "no break"),
        (unicodedata.normalize("NFC", "café Ấ"), unicodedata.normalize("NFD", "CAFÉ ấ")),
    ],
)
def test_case_spaces_and_unicode_form_do_not(one: str, other: str) -> None:
    assert normal_form(one) == normal_form(other)
    assert normal_form(normal_form(one)) == normal_form(one)
