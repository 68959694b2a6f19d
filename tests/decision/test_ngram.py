"""Witten-Bell's language models by hand, their sums, and ARPA's files: base 10, tabs, round trips, wrong ones."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from leyden.decision.arpa import read_arpa, write_arpa
from leyden.decision.ngram import BEGIN, END, NEVER, UNKNOWN, Ngram, train_ngram
from leyden.utils.errors import UserError

SENTENCES = [text.split() for text in ("one two three", "one two", "two two one", "", "three")]


def random_sentences(seed: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [[f"w{k}" for k in rng.geometric(0.3, rng.integers(0, 7))] for _ in range(60)]


def test_probabilities_by_hand() -> None:
    """Of "a b": after a one kind of word was seen once, so half is left to P(w) = (c(w) + 3 / 4) / (3 + 3)."""
    model = train_ngram([["a", "b"]], 2)
    assert math.exp(model.log_prob("b", ["a"])) == pytest.approx((1 + 1 * (1 + 3 / 4) / 6) / 2)
    assert math.exp(model.log_prob("a", ["a"])) == pytest.approx((1 + 3 / 4) / 6 / 2)
    assert math.exp(model.log_prob("b", [])) == pytest.approx((1 + 3 / 4) / 6)
    assert (
        math.exp(model.log_prob("c", [])) == math.exp(model.log_prob(UNKNOWN, [])) == pytest.approx(3 / 4 / 6)
    )


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one_after_every_history(order: int) -> None:
    """Seen or not, with words that never occurred."""
    model = train_ngram(random_sentences(order), order, ["never"])
    assert "never" in model.words
    histories = [*model.backoffs, (), ("w1", "w1", "w9", "w1"), ("never",), ("unheard",), (BEGIN, "w2")]
    for history in histories:
        assert sum(math.exp(model.log_prob(word, history)) for word in model.words) == pytest.approx(1)


def test_a_sentence_is_more_probable_the_more_it_is_like_those_of_the_training() -> None:
    model = train_ngram(SENTENCES * 10, 3)
    seen, shuffled, strange = (
        model.sentence_log_prob(words) for words in (["one", "two"], ["two", "three"], ["x", "y"])
    )
    assert seen > shuffled > strange
    flat = train_ngram([], 2, ["a", "b"])
    assert math.exp(flat.sentence_log_prob(["a"])) == pytest.approx(1 / 4**2)


def test_the_context_is_all_that_later_words_depend_on() -> None:
    model = train_ngram(random_sentences(7), 3)
    for history in (("w1", "w2", "w1"), ("w1", "unheard"), ("w9", "w8", "w7"), (BEGIN,)):
        short = model.context(history)
        assert len(short) <= 2
        for word in model.words:
            assert model.log_prob(word, short) == pytest.approx(model.log_prob(word, history))


@pytest.mark.parametrize("order", [1, 3])
def test_an_arpa_file_holds_the_same_model(order: int, tmp_path: Path) -> None:
    model = train_ngram(random_sentences(1), order)
    write_arpa(model, tmp_path / "lm.arpa")
    again = read_arpa(tmp_path / "lm.arpa")
    assert again.order == order
    assert dict(again.log_probs) == pytest.approx(dict(model.log_probs))
    assert dict(again.backoffs) == pytest.approx(dict(model.backoffs))


def test_an_arpa_file_has_logarithms_to_base_10_and_tabs(tmp_path: Path) -> None:
    write_arpa(train_ngram(SENTENCES, 2), tmp_path / "lm.arpa")
    text = (tmp_path / "lm.arpa").read_text()
    assert text.startswith("\\data\\\nngram 1=6\nngram 2=11\n\n\\1-grams:\n")
    assert text.endswith("\n\n\\end\\\n")
    lines = [line for line in text.splitlines() if re.match(r"-?\d", line)]
    assert len(lines) == 6 + 11
    assert all(re.fullmatch(r"\S+\t\S+( \S+)?(\t\S+)?", line) for line in lines)
    (begin,) = (line.split("\t") for line in lines if "\t<s>\t" in line)
    assert begin[0] == "-99"
    (two,) = (line.split("\t") for line in lines if line.split("\t")[1] == "one two")
    assert 10 ** float(two[0]) == pytest.approx(math.exp(train_ngram(SENTENCES, 2).log_prob("two", ["one"])))


def test_a_file_of_another_tool_is_read(tmp_path: Path) -> None:
    """Spaces between fields, weights left out, no <unk>."""
    file = tmp_path / "lm.arpa"
    file.write_text(
        "made by hand\n\n\\data\\\nngram 1=3\nngram 2=1\n\n\\1-grams:\n-99 <s> -0.3\n-0.5 a\n-0.25\t</s>\n\n"
        "\\2-grams:\n-0.1 <s> a\n\n\\end\\\nanything\n"
    )
    model = read_arpa(file)
    assert model.log_prob("a", [BEGIN]) == pytest.approx(-0.1 * math.log(10))
    assert model.log_prob(END, [BEGIN]) == pytest.approx(-0.55 * math.log(10))
    assert model.log_prob("b", ["a"]) == NEVER


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no such format", r"expected n-grams by order \(a section"),
        ("\\data\\\nngram 1=2\n\n\\1-grams:\n-1\ta\n\\end\\\n", r"\{1: 2\}, found \{1: 1\}"),
        ("\\data\\\nngram 1=1\n\\1-grams:\nx\ta\n", ":4: expected a logarithm to base 10, got 'x'"),
        ("\\data\\\nngram 1=1\n\\1-grams:\n-1\ta\t-1\tb\n", ":4: expected a probability, 1 words"),
        (b"mmap lm http://kheafield.com/code\xff", "not .*UTF-8|UTF-8 text, this one is not"),
        (None, "cannot be read"),
    ],
)
def test_wrong_files_are_one_message_with_the_line(
    text: str | bytes | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "lm.arpa"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=said):
        read_arpa(file)


def test_a_model_is_plain_numbers() -> None:
    assert isinstance(train_ngram([], 3), Ngram)
    assert train_ngram([], 3).words == (END, UNKNOWN)
