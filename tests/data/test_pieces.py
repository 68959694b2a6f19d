"""Transcripts in pieces of words: learned on training rows, as the library cuts, and the same on other data."""

from collections import Counter

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from leyden.data.index import Index
from leyden.data.pieces import cut_word, in_pieces, learn_pieces
from leyden.data.transcripts import BLANK, TranscriptReader, spell
from leyden.utils.errors import UserError

TRAIN = ["the lower the better", "slower and slower", "", "the lowest of the low"]
OTHER = ["lowest zebra", "a zebra"]


def index_of(texts: list[str]) -> Index:
    targets, names = TranscriptReader().read({"text": texts})
    return Index(targets, names)


def test_pieces_are_those_of_the_training_rows_and_spell_the_same_texts() -> None:
    index = index_of([*TRAIN, *OTHER])
    pieces = learn_pieces(index, np.arange(len(TRAIN)), 30)
    assert len(pieces) == 31
    assert pieces[:2] == (BLANK, "▁")
    assert "▁the" in pieces
    assert not [
        piece for piece in pieces if len(piece) > 1 and "z" in piece
    ]  # of rows that are not in training
    assert {*"zebra"} < {*pieces}  # its letters can be written nevertheless
    found = in_pieces(index, pieces)
    assert found.target_names == pieces
    assert [spell(row, pieces) for row in found.targets.tolist()] == [*TRAIN, *OTHER]
    assert (found.targets[2] == -1).all()
    assert found.targets.shape[1] < index.targets.shape[1]


def test_words_are_cut_as_the_library_cuts_them() -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcd"), rng.integers(1, 9))) for _ in range(400)]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.train_from_iterator(words, trainers.BpeTrainer(vocab_size=60, show_progress=False))
    rank = core.get_vocab()
    assert Counter(map(len, rank))[3] > 5
    for word in words:
        assert cut_word(word, rank) == core.encode(word).tokens


def test_other_data_are_cut_by_the_pieces_of_the_run() -> None:
    index = index_of(TRAIN)
    pieces = learn_pieces(index, np.arange(len(TRAIN)), 30)
    found = in_pieces(index_of(OTHER), pieces)
    assert found.target_names[: len(pieces)] == pieces
    assert set(found.target_names[len(pieces) :]) == {"z"}
    assert [spell(row, found.target_names) for row in found.targets.tolist()] == OTHER
    own = in_pieces(index, pieces).targets[3].tolist()
    assert own[0] == pieces.index("▁the")


def test_fewer_pieces_than_characters_are_refused() -> None:
    with pytest.raises(UserError, match=r"task\.target\.pieces=5: fewer than the \d+ characters.*or more"):
        learn_pieces(index_of(TRAIN), np.arange(4), 5)
