"""The decision of a run of task=ctc as operating_point.json holds it."""

import json
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from leyden.data.spec import DataSpec
from leyden.decision.ctc_rule import BeamRule
from leyden.tasks.ctc import CTC
from leyden.tasks.regression import Regression
from leyden.utils.errors import UserError


def test_a_beam_is_loaded_with_its_language_model() -> None:
    names, targets = ("<blank>", "\u2581a", "\u2581b"), np.array([[1, 2, -1], [1, 2, 1], [1, 1, -1]])
    outputs = np.random.default_rng(0).normal(size=(3, 9, 3))
    made = BeamRule(order=2).of_training(targets).fit(outputs, targets, names, np.zeros(0), np.zeros(0))
    again = CTC("words").load_decision(json.loads(json.dumps(made.to_dict(), allow_nan=False)))
    assert (again.alpha, again.beta, again.chosen_on) == (made.alpha, made.beta, made.chosen_on)
    assert dict(again.language_model.log_probs) == pytest.approx(dict(made.language_model.log_probs))
    assert again.decode(outputs) == made.decode(outputs)
    assert CTC("words").load_decision({"criterion": "greedy"}).is_neutral


def test_words_have_times_in_seconds() -> None:
    """Ten frames of 2 seconds: "a" in the third, "b" in the seventh and eighth."""
    logits = np.full((1, 10, 3), -9.0)
    for frame, unit in enumerate([0, 0, 1, 0, 0, 0, 2, 2, 0, 0]):
        logits[0, frame, unit] = 0.0
    task, spec = CTC("words"), cast(DataSpec, SimpleNamespace(target_names=("<blank>", "\u2581a", "\u2581b")))
    (words,) = task.words(logits, spec, task.neutral(spec), [2.0])
    assert [(w["word"], w["onset"], w["centre"]) for w in words] == [("a", 0.4, 0.5), ("b", 1.2, 1.4)]
    assert all(0.99 < w["confidence"] < 1 for w in words)
    with pytest.raises(UserError, match="--words: an answer of task=regression has no words"):
        list(Regression().words(logits, spec, task.neutral(spec), [2.0]))
