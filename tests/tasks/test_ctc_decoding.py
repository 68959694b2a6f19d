"""The decision of a run of task=ctc as operating_point.json holds it."""

import json

import numpy as np
import pytest

from leyden.decision.ctc_rule import BeamRule
from leyden.tasks.ctc import CTC


def test_a_beam_is_loaded_with_its_language_model() -> None:
    names, targets = ("<blank>", "\u2581a", "\u2581b"), np.array([[1, 2, -1], [1, 2, 1], [1, 1, -1]])
    outputs = np.random.default_rng(0).normal(size=(3, 9, 3))
    made = BeamRule(order=2).of_training(targets).fit(outputs, targets, names, np.zeros(0), np.zeros(0))
    again = CTC("words").load_decision(json.loads(json.dumps(made.to_dict(), allow_nan=False)))
    assert (again.alpha, again.beta, again.chosen_on) == (made.alpha, made.beta, made.chosen_on)
    assert dict(again.language_model.log_probs) == pytest.approx(dict(made.language_model.log_probs))
    assert again.decode(outputs) == made.decode(outputs)
    assert CTC("words").load_decision({"criterion": "greedy"}).is_neutral
