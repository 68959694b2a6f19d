"""Transcripts: units, normalisers, needed frames, what is refused."""

import numpy as np
import pytest
import torch

from leyden.data.index import Index
from leyden.data.spoken_numbers import spoken_numbers
from leyden.data.targets import describe_target, kind_of, make_index, strata, target_facts, verify
from leyden.data.transcripts import BLANK, TranscriptReader, needed_frames, normalise, padded, spell
from leyden.losses.ctc import CTC
from leyden.utils.errors import UserError

TEXTS = ["No on", "", "on  NO no"]


@pytest.mark.parametrize("units", ["characters", "words"])
def test_texts_come_back_normalised(units: str) -> None:
    targets, names = TranscriptReader(units).read({"text": TEXTS})
    assert kind_of(targets) == "sequences"
    assert targets.dtype == np.int32
    assert names[0] == BLANK
    assert [spell(row, names) for row in targets] == ["no on", "", "on no no"]
    assert (targets[1] == -1).all()
    assert describe_target(targets[2], names) == "on no no"
    assert (targets != 0).all()


def test_normalisers() -> None:
    assert normalise("Thank  you.", "none") == "Thank you."
    assert normalise("Thank you.", "lower") == "thank you."
    assert normalise("Thank you.", "letters") == normalise("THANK, you", "letters") == "thank you"
    assert normalise("Dial 8500.", "numbers") == "dial eight thousand five hundred"
    assert normalise("it\u2019s 'quoted'", "letters") == "it's quoted"
    assert normalise("e\u0301", "none") == "\u00e9"
    assert normalise("Straße", "lower") == "strasse"


def test_needed_frames_are_units_and_repeats_as_the_loss_has_it() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(1, 3, rng.integers(0, 6)).tolist() for _ in range(40)]
    targets = padded(rows)
    for row, frames in zip(targets, needed_frames(targets).tolist(), strict=True):
        given, logits = torch.from_numpy(row[None].astype(np.int64)), torch.zeros(1, frames + 1, 3)
        assert CTC()(logits, given, torch.tensor([max(1, frames)])).isfinite()
        if frames:
            assert CTC()(logits, given, torch.tensor([frames - 1])) == float("inf")


def test_a_given_vocabulary_refuses_what_it_lacks_by_row() -> None:
    reader = TranscriptReader("characters", "lower", ("a", "b", " "))
    index = make_index("t", ["ab a", "aß", ""], ["r0", "r1", "r2"], reader=reader)
    assert list(index.unusable) == [1]
    assert "'s'" in index.unusable[1]
    assert "task.target.vocabulary" in index.unusable[1]
    assert index.target_names == (BLANK, "a", "b", "▁")
    assert spell(index.targets[0], index.target_names) == "ab a"
    words = TranscriptReader("words", "lower", ("one", "two"))
    assert words.problems({"text": ["one two", "three"]}).keys() == {1}


def test_several_columns_are_refused() -> None:
    with pytest.raises(UserError, match="reads one column"):
        TranscriptReader().read({"a": ["x"], "b": ["y"]})


@pytest.mark.parametrize(
    ("row", "words"),
    [([1, 0, 2], "CTC's blank"), ([1, -2, 2], "ids below"), ([1, -1, 2], "before its last unit")],
)
def test_what_ctc_would_train_on_without_a_word_is_refused(row: list[int], words: str) -> None:
    index = Index(np.array([[1, 2, 1], row], np.int32), (BLANK, "a", "b"), names=("one", "two"))
    with pytest.raises(UserError, match=rf"two: .*{words}"):
        verify(index, "here")


def test_all_empty_transcripts_are_refused() -> None:
    index = make_index("t", ["", ""], ["a", "b"], reader=TranscriptReader())
    with pytest.raises(UserError, match="every transcript is empty"):
        verify(index, "here")


def test_splits_are_stratified_by_length_and_units_are_counted() -> None:
    targets = padded([[1] * (1 + i % 4) for i in range(40)])
    found = strata(targets)
    lengths = (targets >= 0).sum(1)
    assert all(len(set(found[lengths == n])) == 1 for n in range(1, 5))
    assert len(set(found)) == 4
    assert target_facts(targets, (BLANK, "a"))["class_counts"] == (0, 100)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        *(("0", "zero"), ("13", "thirteen"), ("20", "twenty"), ("21", "twenty one"), ("100", "one hundred")),
        *(("115", "one hundred fifteen"), ("1000", "one thousand"), ("007", "zero zero seven")),
        ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
        *(("3.05", "three point zero five"), ("0.5", "zero point five"), ("2 000", "two zero zero zero")),
        *(("9" * 12, None), ("1" * 13, " ".join(["one"] * 13)), ("1,2", "one,two"), ("x", "x")),
    ],
)
def test_numbers_are_read_out(written: str, read: str | None) -> None:
    found = spoken_numbers(written)
    assert found == read or (
        read is None and found.startswith("nine hundred ninety nine billion nine hundred")
    )
