"""Exact Shapley values over inputs: they add up, symmetric inputs share, an ignored input has nothing."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch

from leyden.inference.load import LoadedRun
from leyden.inference.predictor import batch_of, outputs_of, prepared
from leyden.interpretation.explained import net_inputs
from leyden.interpretation.input_shares import MOST, input_shares, shapley_values
from leyden.utils.errors import UserError
from small_runs import Opened

Open = Callable[[str], Opened]


def test_they_are_the_mean_gain_over_all_orders() -> None:
    worth = np.random.default_rng(0).normal(size=(2**4, 3))
    gains = np.zeros((4, 3))
    for order in permutations(range(4)):
        there = 0
        for player in order:
            gains[player] += worth[there | 1 << player] - worth[there]
            there |= 1 << player
    found = shapley_values(worth)
    assert np.allclose(found, gains / 24, atol=1e-12)
    assert np.allclose(found.sum(0), worth[-1] - worth[0], atol=1e-12)


def test_symmetric_players_share_and_one_that_changes_nothing_has_nothing() -> None:
    rng = np.random.default_rng(1)
    by_size = rng.normal(size=3)  # players 0 and 1 count alike, 2 never
    worth = np.array([[by_size[(s & 3).bit_count()]] for s in range(8)])
    first, second, none = shapley_values(worth).ravel()
    assert first == pytest.approx(second, abs=1e-12)
    assert first == pytest.approx((by_size[2] - by_size[0]) / 2, abs=1e-12)
    assert none == 0


def test_the_shares_of_a_run_add_up_to_its_log_probability(opened: Open) -> None:
    run, data = opened("several")
    samples = [net_inputs(data, row) for row in range(24)]
    assert {len(sample) for sample in samples} > {3}
    batch = batch_of(run, samples)
    with torch.no_grad():
        outputs = outputs_of(run, prepared(run, batch)).numpy()
    decision = run.decision
    expected = decision.log_probabilities(outputs)  # type: ignore[attr-defined]
    answers = expected.argmax(1).tolist()
    counts = np.array(run.spec.class_counts) + 0.5
    for place, (found, sample) in enumerate(zip(input_shares(run, batch, answers), samples, strict=True)):
        assert found.score == pytest.approx(expected[place, answers[place]], abs=1e-5)
        assert found.nothing_score == pytest.approx(np.log(counts / counts.sum())[answers[place]])
        assert {name for name, share in found.shares.items() if share is not None} == set(sample)
        total = sum(share for share in found.shares.values() if share is not None)
        assert total == pytest.approx(found.score - found.nothing_score, abs=1e-5)


def test_what_an_absent_input_holds_changes_nothing(opened: Open) -> None:
    run, data = opened("several")
    batch = batch_of(run, [net_inputs(data, row) for row in range(24)])
    image, there = batch.inputs["image"], batch.present["image"]
    assert not there.all()
    values = torch.where(there[:, None, None, None], image.values, 255 - image.values)
    garbage = batch._replace(inputs={**batch.inputs, "image": image._replace(values=values)})
    assert input_shares(run, garbage, [3] * 24) == input_shares(run, batch, [3] * 24)


def test_an_input_that_the_net_ignores_has_nothing(opened: Open) -> None:
    run, data = opened("several")
    head = run.module.net.encoders["image"].head  # type: ignore[union-attr, index]
    kept = {name: value.clone() for name, value in head.state_dict().items()}
    batch = batch_of(run, [net_inputs(data, row) for row in range(24)])
    try:
        with torch.no_grad():
            head.weight.zero_()
            head.bias.copy_(run.module.net.log_prior)  # type: ignore[union-attr]
        found = [one.shares for one in input_shares(run, batch, [0] * 24)]
    finally:
        head.load_state_dict(kept)
    for shares in found:
        # alone it gives the prior as the net knows it
        assert shares["image"] is None or shares["image"] == pytest.approx(0, abs=1e-5)
    assert max(abs(shares["text"] or 0) for shares in found) > 1e-3


def test_too_many_inputs_are_refused_before_any_pass(opened: Open) -> None:
    run, _ = opened("several")

    class Many:
        parts = dict.fromkeys(map(str, range(MOST + 1)))

    many = LoadedRun(**{**vars(run), "modality": Many()})
    with pytest.raises(UserError, match="11 inputs have 2\\^11 subsets"):
        input_shares(many, None, [])  # type: ignore[arg-type]
