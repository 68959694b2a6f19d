"""Tokenizers: ids that every text can have, the same on every machine, and back from their JSON."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from leyden.data.tokenizers import BPE, CHUNK, Char, Tokenizer, Word, load
from leyden.utils.errors import UserError

CONF = Path(__file__).parents[2] / "conf" / "data" / "tokenizer"
TEXTS = [
    "FREE entry!! Call 08712345678 now, win £1000",
    "are you free? don't be late",
    "I'm late, call you at 5",
    "Free free FREE <pad> text 87121",
]
Make = type[Word] | type[Char] | type[BPE]
KINDS: list[Make] = [Word, Char, BPE]


def fitted(kind: Callable[..., Word | Char | BPE], **options: object) -> Word | Char | BPE:
    tokenizer = kind(**options)
    tokenizer.fit(TEXTS)
    return tokenizer


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    return tokenizer.tokens(tokenizer.encode([text])[0])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(
    texts=st.lists(
        st.one_of(st.text(max_size=30), st.sampled_from([*TEXTS, "<pad>", "<unk> <pad>"])), max_size=6
    )
)
def test_every_text_has_ids_and_none_is_padding(kind: Make, texts: list[str]) -> None:
    tokenizer = fitted(kind)
    values, offsets = tokenizer.encode(texts)
    assert values.dtype == np.int32
    assert offsets.dtype == np.int64
    assert offsets[0] == 0
    assert offsets[-1] == len(values)
    assert len(offsets) == len(texts) + 1
    assert (np.diff(offsets) >= 1).all()
    assert ((values >= 1) & (values < tokenizer.vocab_size)).all()
    for text, start, stop in zip(texts, offsets, offsets[1:], strict=False):  # a text's ids are its own
        np.testing.assert_array_equal(tokenizer.encode([text])[0], values[start:stop])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_encodes_alike(kind: Make) -> None:
    tokenizer = fitted(kind, max_length=5)
    again = load(tokenizer.to_json())
    texts = [*TEXTS, "", "<pad>"]
    for other in (again, pickle.loads(pickle.dumps(tokenizer))):
        for a, b in zip(tokenizer.encode(texts), other.encode(texts), strict=True):
            np.testing.assert_array_equal(a, b)
    assert again.vocab_size == tokenizer.vocab_size
    assert again.to_json() == tokenizer.to_json()
    assert again.digest() == tokenizer.digest()
    assert np.diff(again.encode(TEXTS)[1]).max() == 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_digest_is_that_of_what_it_learned(kind: Make) -> None:
    assert fitted(kind).digest() == fitted(kind).digest()
    other = kind()
    other.fit(TEXTS[:2])
    digests = {
        other.digest(),
        *(fitted(kind, **o).digest() for o in ({}, {"shapes": True}, {"max_length": 4})),
    }
    assert len(digests) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_fitting_again_forgets_the_first_texts(kind: Make) -> None:
    tokenizer = kind()
    tokenizer.fit(["some other words, 42 of them"] * 3)
    tokenizer.fit(TEXTS)
    assert tokenizer.digest() == fitted(kind).digest()


def test_the_vocabulary_is_the_same_in_another_process() -> None:
    code = (
        "from leyden.data.tokenizers import *\n"
        f"for k in (Word, Char, BPE):\n t = k(); t.fit({TEXTS!r}); print(t.digest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [fitted(k).digest() for k in KINDS]


def test_words_keep_punctuation_and_inner_apostrophes() -> None:
    assert tokens(fitted(Word), "Don't call £5!!") == ["don't", "call", "£", "5", "!", "!"]
    assert tokens(fitted(Word, lowercase=False), "FREE Free free") == ["FREE", "Free", "free"]
    assert tokens(fitted(Word), "zebra ＦＲＥＥ") == ["<unk>", "free"]  # NFKC folds the wide letters


def test_shapes_know_a_number_by_its_length() -> None:
    tokenizer = fitted(Word, shapes=True)
    assert tokens(tokenizer, "call 07999999999 or 80086 at 9") == [
        "call",
        "00000000000",
        "<unk>",
        "00000",
        "at",
        "0",
    ]


def test_the_most_frequent_words_are_kept() -> None:
    tokenizer = fitted(Word, vocab_size=4)
    assert tokenizer.vocab_size == 4
    assert tokenizer.tokens([0, 1, 2]) == ["<pad>", "<unk>", "free"]
    assert "late" in fitted(Word, min_frequency=2).tokens(range(30))
    assert "entry" not in fitted(Word, min_frequency=2).tokens(range(30))


def test_characters_are_kept_one_by_one() -> None:
    tokenizer = Char()
    tokenizer.fit(["ab c\n"])
    assert tokens(tokenizer, "a b\nz") == ["a", " ", "b", "\n", "<unk>"]
    assert "".join(tokens(fitted(Char), TEXTS[0])) == TEXTS[0]


def test_byte_pairs_spell_what_they_never_saw() -> None:
    tokenizer = fitted(BPE, vocab_size=60)
    assert tokenizer.vocab_size <= 60
    pieces = tokens(tokenizer, "freely  call\n5!")
    assert pieces[0] == "▁free"
    assert "".join(pieces).replace("▁", " ") == " freely call 5!"
    assert "<unk>" in tokens(tokenizer, "Ж")


def test_a_text_of_nothing_is_one_unknown_token() -> None:
    for kind in (Word, Char):
        values, offsets = fitted(kind).encode(["", " " if kind is Word else ""])
        np.testing.assert_array_equal(values, [1, 1])
        np.testing.assert_array_equal(offsets, [0, 1, 2])
    values, offsets = fitted(Word).encode([])
    assert len(values) == 0
    np.testing.assert_array_equal(offsets, [0])


def test_long_lists_are_encoded_in_chunks_without_seams() -> None:
    tokenizer = fitted(Word)
    texts = [TEXTS[i % 4] for i in range(CHUNK + 3)]
    values, offsets = tokenizer.encode(texts)
    single = tokenizer.encode(TEXTS)
    for i in (0, CHUNK - 1, CHUNK, CHUNK + 2):
        expected = single[0][single[1][i % 4] : single[1][i % 4 + 1]]
        np.testing.assert_array_equal(values[offsets[i] : offsets[i + 1]], expected)


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="min_frequency=9"):
        fitted(Word, min_frequency=9)
    with pytest.raises(UserError, match="training texts"):
        BPE().fit([])
    with pytest.raises(UserError, match="stored tokenizer"):
        load("{}")


@pytest.mark.parametrize(("given", "expected"), [(None, "false"), ("true", "true")])
def test_threads_are_off_unless_asked_for(given: str | None, expected: str) -> None:
    """The library's threads do not survive a fork, and its older versions warn of it unless this is set."""
    code = "import os, leyden.data.tokenizers; print(os.environ['TOKENIZERS_PARALLELISM'])"
    environ = {k: v for k, v in os.environ.items() if k != "TOKENIZERS_PARALLELISM"}
    environ |= {"TOKENIZERS_PARALLELISM": given} if given else {}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True
    )
    assert (run.stdout.strip(), run.stderr) == (expected, "")


@pytest.mark.parametrize("option", sorted(p.stem for p in CONF.glob("*.yaml")))
def test_every_option_says_what_it_is_and_encodes(option: str) -> None:
    text = (CONF / f"{option}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert "@package" not in text
    tokenizer = instantiate(OmegaConf.create(text))
    tokenizer.fit(TEXTS)
    assert tokenizer.encode(TEXTS)[1][-1] > 20
