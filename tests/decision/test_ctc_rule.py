"""The rule decision=ctc_beam on lattices of sentences with a grammar: what it chooses, and that it survives JSON."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from leyden.decision.arpa import write_arpa
from leyden.decision.cross_fit import cross_fitted
from leyden.decision.ctc_beam import Hypothesis
from leyden.decision.ctc_rule import BeamDecoding, BeamRule, spelt
from leyden.decision.ctc_weights import choose_weights, pairs
from leyden.decision.ngram import train_ngram
from leyden.decision.unit_models import SPACE
from leyden.metrics.edit_distance import edit_counts
from leyden.utils.errors import UserError

WORDS = ("<blank>", *(f"{SPACE}{word}" for word in "abcdef"))
LETTERS = ("<blank>", SPACE, "n", "o", "w")
NONE = np.zeros(0)


def sentences(n: int, seed: int) -> np.ndarray:
    """(N, 6) of words 1 .. 6, -1 after the last: each mostly followed by the next one."""
    rng = np.random.default_rng(seed)
    found = np.full((n, 6), -1)
    for row in found:
        row[0] = rng.integers(1, 7)
        for k in range(1, rng.integers(3, 7)):
            row[k] = row[k - 1] % 6 + 1 if rng.random() < 0.9 else rng.integers(1, 7)
    return found


def lattices(targets: np.ndarray, seed: int, noise: float = 1.6) -> np.ndarray:
    """Logits (N, 13, 7): a unit in every second frame, and noise; NaN after a row's last frame."""
    rng = np.random.default_rng(seed)
    found = np.full((len(targets), 13, 7), np.nan, dtype=np.float32)
    for row, ids in zip(found, targets, strict=True):
        frames = 2 * int((ids > 0).sum()) + 1
        row[:frames] = noise * rng.normal(size=(frames, 7))
        row[0:frames:2, 0] += 4
        row[np.arange(1, frames, 2), ids[ids > 0]] += 4
    return found


def errors(decoded: list[list[int]], targets: np.ndarray) -> float:
    said, heard = ([spelt(ids, WORDS) for ids in side] for side in (targets.tolist(), decoded))
    return float(edit_counts(said, heard).sum() / sum(map(len, said)))


def fitted(rule: BeamRule, n: int = 60) -> BeamDecoding:
    targets = sentences(n, 1)
    return rule.of_training(sentences(300, 2)).fit(lattices(targets, 3), targets, WORDS, NONE, NONE)


@pytest.mark.parametrize("level", ["words", "units"])
def test_a_language_model_of_the_training_transcripts_removes_errors(level: str) -> None:
    made, targets = fitted(BeamRule(level, order=2)), sentences(100, 4)
    outputs = lattices(targets, 5)
    plain = BeamDecoding(WORDS, None, "none", 0.0, 0.0, 16)
    without, with_model = (errors(each.decode(outputs), targets) for each in (plain, made))
    assert without > 0.1
    assert with_model < 0.5 * without
    assert made.alpha > 0
    assert made.chosen_on["after"] < made.chosen_on["before"]


def test_given_weights_and_no_model_are_taken_as_they_are() -> None:
    rule = BeamRule(alpha=0.3, beta=1.0)
    assert not rule.reads_validation
    made = rule.of_training(sentences(20, 0)).fit(np.zeros((0, 7)), np.zeros(0, int), WORDS, NONE, NONE)
    assert (made.alpha, made.beta) == (0.3, 1.0)
    one = fitted(BeamRule(alpha=0.3), 20)
    assert one.alpha == 0.3
    none = BeamRule("none")
    assert not none.reads_validation
    assert none.fit(NONE, NONE, WORDS, NONE, NONE).language_model is None


def test_a_decision_survives_json() -> None:
    made = fitted(BeamRule(order=2), 20)
    again = BeamDecoding.from_dict(json.loads(json.dumps(made.to_dict(), allow_nan=False)))
    outputs = lattices(sentences(20, 6), 7)
    assert again.decode(outputs) == made.decode(outputs)
    assert again.chosen_on == made.chosen_on


def test_rows_are_decoded_alike_alone_and_together() -> None:
    made, outputs = fitted(BeamRule(order=2), 20), lattices(sentences(70, 8), 9)
    together = made.decode(outputs)
    assert [made.decode(outputs[i : i + 1])[0] for i in range(70)] == together
    for aligned, ids in zip(made.units(outputs), together, strict=True):
        assert [unit.id for unit in aligned] == ids
        assert all(a.end <= b.start for a, b in pairwise(aligned))


def test_a_model_of_a_file_knows_words_that_letters_spell(tmp_path: Path) -> None:
    write_arpa(train_ngram([["now"], ["on", "now"]], 2), tmp_path / "lm.arpa")
    logits = np.full((1, 4, 5), -6.0)
    for frame, (unit, other) in enumerate([(2, 4), (3, 4), (4, 3), (0, 0)]):
        logits[0, frame, [unit, other]] = 1.0, 1.05  # "wwo" for "now", just
    rule = BeamRule(file=str(tmp_path / "lm.arpa"), alpha=1.0, beta=0.0)
    made = rule.fit(logits[:0], np.zeros(0, int), LETTERS, NONE, NONE)
    assert spelt(made.decode(logits)[0], LETTERS) == ["now"]


def test_a_file_that_is_no_language_model_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"decision.file: .*lm.arpa: cannot be read"):
        BeamRule(file=str(tmp_path / "lm.arpa"))


def test_cross_fitting_keeps_the_order_of_transcripts() -> None:
    targets = sentences(40, 10)
    outputs = lattices(targets, 11, noise=0.1)
    rule = BeamRule(order=2).of_training(sentences(50, 12))
    judged = cross_fitted(lambda z, y: rule.fit(z, y, WORDS, NONE, NONE), outputs, targets)
    assert judged is not None
    assert errors(judged.decode(outputs), targets) == 0


def test_weights_have_the_fewest_errors_and_lie_in_the_middle_of_equals() -> None:
    """The right transcript wins from alpha = .5 on: nine of the grid, up to 4."""
    rows = [[Hypothesis((1,), -1.5, -1.0, 1.0), Hypothesis((2,), -1.0, -2.2, 1.0)]]
    weights, wrong = choose_weights(
        lambda a, b: rows, [["x"]], lambda ids: ["?xy"[ids[0]]], pairs(None, 0.0), (0.0, 0.0)
    )
    assert wrong == 0
    assert weights == (2.0, 0.0)
    assert (
        choose_weights(lambda a, b: rows, [["y"]], lambda ids: ["?xy"[ids[0]]], pairs(None, 0.0), (0.0, 0.0))[
            0
        ][0]
        <= 0.35
    )
