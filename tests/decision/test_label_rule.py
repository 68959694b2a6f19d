"""Rules of labels: a net trained under one share of each label answers for another."""

from collections.abc import Callable

import numpy as np
import pytest
from rich.console import Console
from scipy.special import expit, logit

from leyden.decision.label_rule import LabelPriorRule, LabelThresholds
from leyden.inference.evaluate import evaluate
from leyden.reporting.terminal.run_result import result_table
from leyden.training.job import train
from leyden.utils.errors import UserError

NONE = np.zeros((0, 3))
EFFECTIVE, TRAINING = np.array([0.5, 0.3, 0.0]), np.array([0.02, 0.6, 0.0])


def test_the_best_constant_answers_become_the_training_shares() -> None:
    made = LabelPriorRule("training").fit(NONE, NONE, "abc", EFFECTIVE, TRAINING)
    answers = np.array([[logit(0.5), logit(0.3), -20.0]])  # what a constant net learns under EFFECTIVE
    np.testing.assert_allclose(expit(made.shifted(answers))[0, :2], [0.02, 0.6])
    assert made.shifted(answers)[0, 2] == -20.0  # no row has it: nothing to go back to
    assert made.decide(answers).tolist() == [[False, True, False]]
    assert not made.is_neutral
    assert LabelThresholds.from_dict(made.to_dict()) == made
    uniform = LabelPriorRule("uniform").fit(NONE, NONE, "abc", EFFECTIVE, TRAINING)
    np.testing.assert_allclose(expit(uniform.shifted(answers))[0, :2], 0.5)


def test_a_run_that_stores_no_prior_is_told() -> None:
    with pytest.raises(UserError, match="stores no prior of its labels"):
        LabelPriorRule("training").fit(NONE, NONE, "abc", np.zeros(0), np.zeros(0))


def test_a_run_goes_back_to_its_training_shares(tiny: Callable[..., list[str]]) -> None:
    words = ["task=multilabel", "data=planted_tags", "data.source.samples=200", "model=majority"]
    keep = [word for word in tiny(*words) if not word.startswith("data.source.size")]
    plain = train([*keep, "loss=bce_logit_adjusted"])
    shifted = evaluate(plain.folder, decision="label_training_prior")
    chosen = train([*keep, "loss=bce_logit_adjusted", "decision=label_training_prior"])
    assert shifted["test"]["values"] == chosen.result["metrics"]["test"]["values"]
    prior = plain.result["prior"]
    np.testing.assert_allclose(prior["phases"][0]["effective"], 0.5, atol=1e-6)
    # the constant net answers by the training shares p: shifted by logit(p), its odds are squared
    odds = (np.array(prior["training"]) / (1 - np.array(prior["training"]))) ** 2
    with np.load(chosen.folder / "predictions" / "test.npz") as stored:
        np.testing.assert_allclose(stored["probabilities"][0], odds / (1 + odds), rtol=1e-4)
    console = Console(width=200, record=True)
    console.print(result_table(dict(chosen.result)))
    assert "label shares: as in training" in console.export_text()
