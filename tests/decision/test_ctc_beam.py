"""Prefix beam search against all labellings of random lattices, with and without language models."""

import math
from functools import cache
from itertools import product

import numpy as np
import pytest

from leyden.decision.ctc_beam import NoModel, beam_search
from leyden.decision.ngram import Ngram, train_ngram
from leyden.decision.unit_models import SPACE, UnitNgram, WordNgram

EVERY = 2000  # wider than there are prefixes
LETTERS = ("<blank>", "a", "b")
SPELT = ("<blank>", "a", "b", SPACE)


def lattice(frames: int, units: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, units))


@cache
def paths(frames: int, units: int) -> tuple[np.ndarray, list[tuple[int, ...]], np.ndarray]:
    """Every path (P, T), every transcript, and which one each path writes (P,)."""
    every = list(product(range(units), repeat=frames))
    written = [tuple(u for u, before in zip(p, (0, *p), strict=False) if u and u != before) for p in every]
    transcripts = sorted(set(written))
    place = {transcript: i for i, transcript in enumerate(transcripts)}
    return np.array(every), transcripts, np.array([place[w] for w in written])


def labellings(logits: np.ndarray) -> dict[tuple[int, ...], float]:
    """Probability of every transcript: that of each path goes to what is left of it."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    every, transcripts, written = paths(*logits.shape)
    sums = np.bincount(written, p[np.arange(len(p)), every].prod(1))
    return dict(zip(transcripts, sums.tolist(), strict=True))


def units_model() -> Ngram:
    return train_ngram(["ab", "abab", "b", "aab"], 3, "ab")


def test_the_best_is_the_most_probable_transcript_of_1000_lattices() -> None:
    logits = np.stack([lattice(6, 3, seed) for seed in range(1000)])
    greedy = 0
    for row, hypotheses in zip(logits, beam_search(logits, NoModel(3), width=EVERY), strict=True):
        every = labellings(row)
        best = max(every, key=every.__getitem__)
        assert hypotheses[0].units == best
        assert {h.units: math.exp(h.ctc) for h in hypotheses} == pytest.approx(every)
        path = row.argmax(1)
        greedy += tuple(int(u) for u, b in zip(path, (0, *path), strict=False) if u and u != b) == best
    assert greedy < 600  # the best path alone is often of another transcript


def test_with_a_model_of_units_the_best_has_the_best_score_of_all() -> None:
    model, (alpha, beta) = units_model(), (0.8, 1.1)
    logits = np.stack([lattice(6, 3, seed) for seed in range(100)])
    found = beam_search(logits, UnitNgram(model, LETTERS), alpha, beta, EVERY)
    for row, hypotheses in zip(logits, found, strict=True):
        scores = {
            units: math.log(p)
            + alpha * model.sentence_log_prob([LETTERS[u] for u in units])
            + beta * len(units)
            for units, p in labellings(row).items()
        }
        assert {h.units: h.score(alpha, beta) for h in hypotheses} == pytest.approx(scores)
        assert hypotheses[0].units == max(scores, key=scores.__getitem__)


def test_with_a_model_of_words_a_word_counts_when_it_is_complete() -> None:
    model, (alpha, beta) = train_ngram([["a", "ab"], ["ab", "a", "a"]], 2), (1.5, 0.7)
    logits = np.stack([lattice(5, 4, seed) for seed in range(50)])
    found = beam_search(logits, WordNgram(model, SPELT), alpha, beta, EVERY)
    for row, hypotheses in zip(logits, found, strict=True):
        scores = {}
        for units, p in labellings(row).items():
            words = "".join(SPELT[u] for u in units).replace(SPACE, " ").split()
            scores[units] = math.log(p) + alpha * model.sentence_log_prob(words) + beta * len(words)
        assert {h.units: h.score(alpha, beta) for h in hypotheses} == pytest.approx(scores)


def test_a_narrow_beam_keeps_each_prefix_once_and_loses_probability_only() -> None:
    logits = np.stack([lattice(8, 4, seed) for seed in range(20)])
    for row, hypotheses in zip(logits, beam_search(logits, NoModel(4), width=5), strict=True):
        every = {h.units: h.ctc for h in beam_search(row[None], NoModel(4), width=10_000)[0]}
        assert len({h.units for h in hypotheses}) == len(hypotheses) == 5
        assert all(h.ctc <= every[h.units] + 1e-9 for h in hypotheses)
        assert math.exp(every[hypotheses[0].units]) > 0.5 * math.exp(max(every.values()))


def test_rows_of_several_lengths_are_as_if_alone() -> None:
    """Frames after the last are NaN; of an empty row the transcript is empty."""
    rows = [lattice(frames, 3, frames) for frames in (7, 3, 0, 5)]
    padded = np.full((4, 7, 3), np.nan, dtype=np.float32)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    model = UnitNgram(units_model(), LETTERS)
    found = beam_search(padded, model, 0.5, 0.2, width=6)
    for hypotheses, row in zip(found, rows, strict=True):
        alone = beam_search(
            row[None].astype(np.float32), UnitNgram(units_model(), LETTERS), 0.5, 0.2, width=6
        )[0]
        assert [h.units for h in hypotheses] == [h.units for h in alone]
        assert [h.ctc for h in hypotheses] == pytest.approx([h.ctc for h in alone])
    assert found[2][0].units == ()


def test_a_unit_comes_again_only_after_a_blank() -> None:
    sure = np.log(np.array([[0.01, 0.98, 0.01]] * 2 + [[0.98, 0.01, 0.01]] + [[0.01, 0.98, 0.01]]))
    assert beam_search(sure[None, :2], NoModel(3))[0][0].units == (1,)
    assert beam_search(sure[None], NoModel(3))[0][0].units == (1, 1)


@pytest.mark.extras
def test_scores_are_those_of_torchaudios_decoder() -> None:
    """With log_add, without which it takes the best path; no lexicon, no pruning, the same width."""
    decoder = pytest.importorskip("torchaudio.models.decoder")
    pytest.importorskip("flashlight.lib.text")
    import torch

    oracle = decoder.ctc_decoder(
        lexicon=None,
        tokens=["-", "a", "b", "|"],
        blank_token="-",
        sil_token="|",
        beam_size=EVERY,
        beam_threshold=1e9,
        nbest=1,
        log_add=True,
    )
    for seed in range(300):
        logits = lattice(6, 4, seed)
        p = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
        theirs = oracle(torch.tensor(p, dtype=torch.float32)[None])[0][0]
        ours = beam_search(logits[None], NoModel(4), width=EVERY)[0][0]
        assert theirs.score == pytest.approx(ours.ctc, abs=1e-4)


def test_a_word_adds_by_every_unit_what_its_beginning_says_and_in_all_its_probability() -> None:
    """After "n" only "no" and "now" are left of three words; the sum over units, and the end, is log P."""
    model = train_ngram([["no"], ["now", "on"], ["on"]], 2)
    units = ("<blank>", SPACE, "n", "o", "w")
    automaton, state, total, words = WordNgram(model, units), 0, 0.0, 0.0
    for unit in (2, 3, 4, 1, 3, 2, 1):  # "now on "
        log_p, begun = automaton.row(state)
        total, words, state = total + log_p[unit], words + begun[unit], automaton.step(state, unit)
        if (unit, words) == (2, 1):
            likely = sum(math.exp(model.log_prob(word, ["<s>"])) for word in ("no", "now", "<unk>"))
            assert total == pytest.approx(math.log(likely))
    assert total + automaton.end(state)[0] == pytest.approx(model.sentence_log_prob(["now", "on"]))
    assert words == 2
