"""Word and character error rates: hand-computed cases, a plain recursion, jiwer if installed, and their intervals."""

import json
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from leyden.metrics import higher_is_better
from leyden.metrics.edit_distance import align, edit_counts, marked
from leyden.metrics.error_rates import evaluate_transcripts, paired_difference
from leyden.metrics.results import TRANSCRIPT_METRICS, Confusion, Edits, TranscriptMetrics, stored_metrics

texts = st.lists(st.sampled_from("abc"), max_size=8)


def pairs(n: int, seed: int) -> tuple[list[str], list[str]]:
    """Utterances of 1 to 9 of 6 words, and what becomes of them where a third of the words is changed."""
    rng = np.random.default_rng(seed)
    words = np.array(["zero", "one", "two", "three", "oh", "ten"])
    said = [words[rng.integers(0, 6, rng.integers(1, 10))].tolist() for _ in range(n)]
    heard = []
    for sentence in said:
        drawn = [(word, rng.random(), str(words[rng.integers(6)])) for word in sentence]
        changed = [
            (other if u < 0.2 else word) + (f" {other}" if u > 0.9 else "") for word, u, other in drawn
        ]
        heard.append(
            " ".join(word for word, (_, u, _) in zip(changed, drawn, strict=True) if not 0.8 < u < 0.9)
        )
    return [" ".join(s) for s in said], heard


def by_recursion(reference: list[str], hypothesis: list[str]) -> tuple[int, int]:
    """Least edits, and the least substitutions among alignments with so many."""

    @cache
    def cost(i: int, j: int) -> tuple[int, int]:
        if not i or not j:
            return i + j, 0
        edits, replaced = cost(i - 1, j - 1)
        differ = reference[i - 1] != hypothesis[j - 1]
        options = [(edits + differ, replaced + differ)]
        options += [(e + 1, s) for e, s in (cost(i - 1, j), cost(i, j - 1))]
        return min(options)

    return cost(len(reference), len(hypothesis))


@given(texts, texts)
@settings(max_examples=200, deadline=None)
def test_marks_hold_both_texts_and_every_edit(said: list[str], heard: list[str]) -> None:
    text = marked(" ".join(said), " ".join(heard))
    lost, added = (re.findall(pattern, text) for pattern in (r"\[-(.*?)-\]", r"\{\+(.*?)\+\}"))
    without = re.sub(r"\[-.*?-\]", " ", text), re.sub(r"\{\+.*?\+\}", " ", text)
    heard_again = without[0].replace("{+", " ").replace("+}", " ").split()
    said_again = without[1].replace("[-", " ").replace("-]", " ").split()
    assert (said_again, heard_again) == (said, heard)
    substituted, deleted, inserted = edit_counts([said], [heard])[0].tolist()
    assert sum(len(part.split()) for part in lost) == substituted + deleted
    assert sum(len(part.split()) for part in added) == substituted + inserted


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        *(("a b c", "a b c", (0, 0, 0)), ("a b c", "a x c", (1, 0, 0)), ("a b c", "a c", (0, 1, 0))),
        *(("a c", "a b c", (0, 0, 1)), ("", "", (0, 0, 0)), ("", "a b", (0, 0, 2)), ("a b", "", (0, 2, 0))),
        ("a b", "b a", (0, 1, 1)),  # or two substitutions: as many edits, fewer matches
        ("the cat sat on the mat", "a cat sat the mat now", (1, 1, 1)),
    ],
)
def test_edits_by_hand(reference: str, hypothesis: str, expected: tuple[int, int, int]) -> None:
    assert tuple(edit_counts([reference.split()], [hypothesis.split()])[0]) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_edits_of_many_pairs_are_those_of_the_recursion(
    given_pairs: list[tuple[list[str], list[str]]],
) -> None:
    found = edit_counts(*zip(*given_pairs, strict=True))
    for (reference, hypothesis), (replaced, deleted, inserted) in zip(given_pairs, found, strict=True):
        assert (replaced + deleted + inserted, replaced) == by_recursion(reference, hypothesis)
        assert len(reference) - deleted + inserted == len(hypothesis)


@settings(max_examples=200, deadline=None)
@given(texts, texts)
def test_the_alignment_is_the_one_that_is_counted(reference: list[str], hypothesis: list[str]) -> None:
    steps = align(reference, hypothesis)
    assert [i for i, _ in steps if i is not None] == list(range(len(reference)))
    assert [j for _, j in steps if j is not None] == list(range(len(hypothesis)))
    both = [(i, j) for i, j in steps if i is not None and j is not None]
    replaced = sum(reference[i] != hypothesis[j] for i, j in both)
    counted = replaced, len(reference) - len(both), len(hypothesis) - len(both)
    assert counted == tuple(edit_counts([reference], [hypothesis])[0])


def test_the_order_of_pairs_of_many_lengths_is_kept() -> None:
    """More pairs than one block has."""
    said, heard = ([text.split() for text in side] for side in pairs(700, 0))
    found = edit_counts(said, heard)
    for i in range(0, 700, 7):
        assert tuple(found[i]) == tuple(edit_counts([said[i]], [heard[i]])[0])


@pytest.mark.extras
def test_rates_are_jiwers() -> None:
    jiwer = pytest.importorskip("jiwer")
    said, heard = pairs(10_000, 1)
    found = evaluate_transcripts(said, heard, intervals=False)
    assert found.values["wer"].value == pytest.approx(jiwer.wer(said, heard), abs=1e-12)
    assert found.values["cer"].value == pytest.approx(jiwer.cer(said, heard), abs=1e-12)
    for reference, hypothesis in zip(said, heard, strict=True):
        one = evaluate_transcripts([reference], [hypothesis], intervals=False)
        assert one.values["wer"].value == pytest.approx(jiwer.wer(reference, hypothesis), abs=1e-12)


def test_the_rate_is_of_the_corpus_and_not_the_mean_of_the_utterances() -> None:
    """One word of one, and one of nine: 2 / 10 and not (1 + 1 / 9) / 2."""
    found = evaluate_transcripts(["a", "a b c d e f g h i"], ["x", "a b c d e f g h x"])
    assert found.values["wer"].value == pytest.approx(0.2)
    assert found.words == Edits(2, 0, 0, 10)
    assert found.values["string_error"].value == 1.0


def test_insertions_make_a_rate_above_one_of_which_there_is_an_interval() -> None:
    wer = evaluate_transcripts(["a", "b", "c d"], ["x y z", "b", "c d"]).values["wer"]
    assert wer.value == pytest.approx(3 / 4)
    assert evaluate_transcripts(["a"], ["x y z"]).values["wer"].value == 3.0
    assert 0 < wer.low < wer.value < wer.high


def test_empty_references_are_legal() -> None:
    """Their insertions are errors; without any reference word there is no rate, but a string error."""
    found = evaluate_transcripts(["", "a b", ""], ["x y", "a b", ""])
    assert found.words == Edits(0, 0, 2, 2)
    assert found.values["wer"].value == 1.0
    none = evaluate_transcripts(["", " "], ["a", ""])
    assert none.values["wer"].value is None
    assert none.values["cer"].value is None
    assert none.values["string_error"].value == 0.5
    assert none.words == Edits(0, 0, 1, 0)
    with pytest.raises(ValueError, match="no utterances"):
        evaluate_transcripts([], [])


def test_characters_count_one_space_between_words() -> None:
    found = evaluate_transcripts(["ab  cd"], [" abcd"])
    assert found.characters == Edits(0, 1, 0, 5)
    assert found.words == Edits(1, 1, 0, 2)


def test_the_normaliser_is_stored_and_nothing_is_normalised_here() -> None:
    """Case and punctuation alone are a rate of 1."""
    found = evaluate_transcripts(["Thank you."], ["thank you"], normaliser="none")
    assert found.values["wer"].value == 1.0
    assert found.normaliser == "none"


def test_confused_words_are_pairs_with_those_left_out_and_put_in() -> None:
    said = ["one two", "one two", "one", "two", "nine nine"]
    heard = ["one ten", "one ten", "", "two two", "nine nine"]
    found = evaluate_transcripts(said, heard).confused_words
    assert found == [Confusion("two", "ten", 2), Confusion("", "two", 1), Confusion("one", "", 1)]


def test_groups_add_up_to_the_corpus() -> None:
    said, heard = pairs(200, 2)
    found = evaluate_transcripts([*said, ""], [*heard, "oh"], speakers=[f"s{i % 3}" for i in range(201)])
    for groups in (found.by_length, found.by_speaker):
        assert sum(g.n for g in groups) == found.n == 201
        parts = np.array(
            [[g.words.substitutions, g.words.deletions, g.words.insertions, g.words.n] for g in groups]
        )
        assert Edits(*parts.sum(axis=0).tolist()) == found.words
    names = ["0 words", "1 word", "2 to 3 words", "4 to 7 words", "8 to 15 words"]
    assert [g.name for g in found.by_length] == names
    rates = [g.wer for g in found.by_speaker]
    assert rates == sorted(rates, reverse=True)
    assert found.by_length[0].wer is None


def test_metrics_survive_json_and_are_told_from_those_of_other_tasks() -> None:
    found = evaluate_transcripts(*pairs(20, 3), normaliser="letters", speakers=["a", "b"] * 10)
    stored = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert stored_metrics(stored) == found
    assert isinstance(stored_metrics(stored), TranscriptMetrics)
    assert tuple(found.scalars()) == TRANSCRIPT_METRICS
    assert not any(higher_is_better(f"val/{name}") for name in TRANSCRIPT_METRICS)


def test_each_epoch_computes_the_values_alone() -> None:
    said, heard = pairs(50, 4)
    quick, whole = (evaluate_transcripts(said, heard, intervals=on) for on in (False, True))
    assert quick.scalars() == pytest.approx(whole.scalars())
    assert not quick.confused_words
    assert all(e.low is None for e in quick.values.values())


def test_perfect_transcripts_have_an_upper_end() -> None:
    """Wilson's of so many utterances: 0 of 300 leaves 1.3 % possible."""
    said, _ = pairs(300, 5)
    wer = evaluate_transcripts(said, said).values["wer"]
    assert (wer.value, wer.low) == (0.0, 0.0)
    assert wer.high == pytest.approx(stats.binomtest(0, 300).proportion_ci(method="wilson").high)
    shifted = evaluate_transcripts(["a b"] * 9, ["x b"] * 9).values["wer"]  # all alike, but not right
    assert (shifted.value, shifted.low) == (0.5, None)


def speech(speakers: int, seed: int) -> tuple[list[str], list[str], list[str]]:
    """20 utterances of each, whose words are wrong with a probability of the speaker's own: .1 in the mean."""
    rng = np.random.default_rng(seed)
    said, heard, of = [], [], []
    for speaker, error in enumerate(rng.beta(1.5, 13.5, speakers)):
        for _ in range(20):
            wrong = rng.random(rng.integers(1, 8)) < error
            said.append(" ".join("a" for _ in wrong))
            heard.append(" ".join("x" if each else "a" for each in wrong))
            of.append(str(speaker))
    return said, heard, of


def inside(speakers: int, repeats: int) -> tuple[int, int]:
    """Of so many splits the intervals over speakers, and over utterances, that hold .1."""
    found = np.zeros(2, int)
    for seed in range(repeats):
        said, heard, of = speech(speakers, seed)
        for k, who in enumerate((of, None)):
            wer = evaluate_transcripts(said, heard, speakers=who).values["wer"]
            found[k] += (wer.low or 0) <= 0.1 <= (wer.high or 1)
    return int(found[0]), int(found[1])


@pytest.mark.slow
@pytest.mark.parametrize("speakers", [6, 30])
def test_intervals_over_speakers_hold_the_rate_of_new_speakers(speakers: int) -> None:
    """.95 of them, less what 400 splits leave to chance (P = .999); over utterances far fewer."""
    by_speaker, by_utterance = inside(speakers, 400)
    assert by_speaker >= stats.binom.ppf(0.001, 400, 0.93)
    assert by_utterance < 0.8 * 400


def test_one_speaker_says_nothing_of_others() -> None:
    said, heard = pairs(40, 6)
    one, none = (evaluate_transcripts(said, heard, speakers=who).values for who in (["a"] * 40, None))
    assert one == none
    assert "40 utterances" in one["wer"].method
    assert "2 speakers" in evaluate_transcripts(said, heard, speakers=["a", "b"] * 20).values["wer"].method


def test_the_difference_of_two_runs_is_paired_by_utterance() -> None:
    """Both fail on the same utterances, the second on two words more: far less uncertain than either rate."""
    said, heard = pairs(200, 7)
    worse = [*heard[:-20], *(f"{text} x" for text in heard[-20:])]
    found = paired_difference(said, worse, heard)
    rates = [evaluate_transcripts(said, texts).values["wer"] for texts in (worse, heard)]
    assert found.value == pytest.approx(rates[0].value - rates[1].value)
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < 0.5 * (rates[0].high - rates[0].low)
    turned = paired_difference(said, heard, worse)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    assert paired_difference(said, heard, heard).low is None
    assert paired_difference([""], ["a"], [""]).value is None
    with pytest.raises(ValueError, match="no utterances"):
        paired_difference([], [], [])


@pytest.mark.slow
def test_intervals_of_a_difference_hold_none_where_there_is_none() -> None:
    """Two runs with the same error of each speaker: .95 of 400 intervals over speakers hold 0 (P = .999)."""
    rng, inside_ = np.random.default_rng(8), 0
    for seed in range(400):
        said, heard, of = speech(12, seed)
        errors = {
            speaker: np.mean(["x" in t for t, s in zip(heard, of, strict=True) if s == speaker])
            for speaker in set(of)
        }
        other = [
            " ".join("x" if rng.random() < errors[s] / 4 else "a" for _ in t.split())
            for t, s in zip(said, of, strict=True)
        ]
        again = [
            " ".join("x" if rng.random() < errors[s] / 4 else "a" for _ in t.split())
            for t, s in zip(said, of, strict=True)
        ]
        found = paired_difference(said, other, again, of)
        inside_ += found.low is None or found.low <= 0 <= (found.high or 0)
    assert inside_ >= stats.binom.ppf(0.001, 400, 0.95)
