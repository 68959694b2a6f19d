"""task=ctc: outputs of frames to error rates, predictions and answers."""

import numpy as np
import pytest

from leyden.data.spec import DataSpec
from leyden.data.transcripts import BLANK, padded
from leyden.tasks.ctc import CTC

SPEC = DataSpec("audio", (BLANK, "▁no", "▁on"), sizes=(2, 2, 2))
TARGETS = padded([[1, 2], [], [2, 2, 1]])
PATHS = [[1, 0, 2, 2], [0], [2, 0, 2, 2, 0]]  # "no on", "", "on on": the last lacks a word


def outputs() -> np.ndarray:
    found = np.full((3, 5, 3), np.nan)
    for row, path in zip(found, PATHS, strict=True):
        row[: len(path)] = 0
        row[np.arange(len(path)), path] = 3
    return found


def test_rates_are_over_the_corpus_and_name_the_normaliser() -> None:
    task = CTC("words", "letters")
    found = task.evaluate(outputs(), TARGETS, SPEC, task.neutral(SPEC), intervals=True)
    assert found.values["wer"].value == pytest.approx(1 / 5)
    assert found.values["string_error"].value == pytest.approx(1 / 3)
    assert (found.words.deletions, found.words.n) == (1, 5)
    assert found.normaliser == found.to_dict()["normaliser"] == "letters"


def test_groups_give_intervals_over_speakers() -> None:
    task = CTC("words")
    found = task.evaluate_groups(outputs(), TARGETS, SPEC, task.neutral(SPEC), ["a", "b", "a"])
    assert "2 speakers" in found.values["wer"].method
    assert {group.name for group in found.by_speaker} == {"a", "b"}


def test_stored_answers_and_errors() -> None:
    task = CTC("words")
    decision = task.load_decision(task.neutral(SPEC).to_dict())
    stored = {"rows": np.arange(3), **task.predictions(outputs(), TARGETS, decision)}
    assert task.wrong(stored).tolist() == [False, False, True]
    assert task.sample_columns(stored, SPEC)["answered"] == ["no on", "", "on on"]
    assert [answer["text"] for answer in task.answers(outputs(), SPEC, decision, 1)] == ["no on", "", "on on"]
    (group,) = task.errors(stored, SPEC, 5)
    assert (group.name, group.total, group.places.tolist()) == ("3 words", 1, [2])
    (mistake,) = group.mistakes
    assert (mistake.true, mistake.answer) == ("on on no", "on on")
    assert mistake.said == "on on [-no-]"
    assert mistake.loss == pytest.approx(1 / 3)


def test_the_worst_errors_of_a_length_are_those_of_the_highest_rate() -> None:
    targets = padded([[1, 2], [1, 2], [], [2, 2]])
    predicted = padded([[1, 1], [2, 1, 1, 1], [1], [2, 2]])
    groups = CTC("words").errors({"targets": targets, "predicted": predicted}, SPEC, 5)
    assert [(g.name, g.total, g.places.tolist()) for g in groups] == [
        ("2 words", 2, [1, 0]),
        ("0 words", 1, [2]),
    ]
    assert [m.loss for m in groups[0].mistakes] == [1.5, 0.5]
    assert [m.said for m in groups[1].mistakes] == ["{+no+}"]


def test_scores_are_probabilities_of_each_frame() -> None:
    task = CTC()
    p = task.scores(outputs(), task.neutral(SPEC))
    inside = np.isfinite(outputs()[:, :, 0])
    assert np.allclose(p[inside].sum(1), 1)
    assert np.isnan(p[~inside]).all()


def test_the_best_constant_answer_is_an_empty_transcript() -> None:
    task = CTC("words")
    constant = np.tile(task.trivial_outputs(SPEC), (3, 1))
    found = task.evaluate(constant, TARGETS, SPEC, task.neutral(SPEC), intervals=False)
    assert found.values["wer"].value == 1
    assert found.words.deletions == 5
