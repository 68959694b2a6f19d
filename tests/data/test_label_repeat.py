"""Repeat-factor sampling of label sets: the factors of the paper, what an epoch's rows hold, and what is refused."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.data.sampler import EpochSampler
from leyden.data.sampling_policies import RepeatFactor
from leyden.training import build
from leyden.utils.errors import UserError


def label_sets(n: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, 5)) < [0.002, 0.02, 0.1, 0.3, 0.6]).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 50),
    labels=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    threshold=st.floats(0.01, 0.99),
)
def test_factors_by_the_formula(n: int, labels: int, seed: int, threshold: float) -> None:
    targets = (np.random.default_rng(seed).random((n, labels)) < 0.2).astype(np.uint8)
    expected = []
    for row in targets:
        of_labels = [max(1.0, math.sqrt(threshold / targets[:, c].mean())) for c in range(labels) if row[c]]
        expected.append(max(of_labels, default=1.0))
    groups, policy = RepeatFactor(threshold).by_labels(targets)
    assert np.array(policy.factors)[groups] == pytest.approx(expected)


def test_rows_are_in_an_epoch_as_often_as_their_factor_says() -> None:
    targets = label_sets(2000, 1)
    groups, policy = RepeatFactor(0.1).by_labels(targets)
    factors = np.array(policy.factors)[groups]
    sampler = EpochSampler(groups, int(groups.max()) + 1, policy, seed=1)
    assert len(sampler) == round(factors.sum())
    orders = [sampler.epoch(epoch) for epoch in range(60)]
    assert {len(order) for order in orders} == {len(sampler)}
    times = np.mean([np.bincount(order, minlength=2000) for order in orders], axis=0)
    for group in np.unique(groups):
        assert times[groups == group].mean() == pytest.approx(policy.factors[group], rel=0.02)
    shown = targets[np.concatenate(orders)].mean(axis=0)
    assert shown[0] > 2 * targets.mean(axis=0)[0]  # the rarest label


def test_without_a_rare_label_an_epoch_is_a_permutation() -> None:
    targets = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], dtype=np.uint8)
    groups, policy = RepeatFactor(0.2).by_labels(targets)
    assert sorted(EpochSampler(groups, 1, policy, seed=0).epoch(3).tolist()) == [0, 1, 2, 3]


def experiment(tmp_path: Path, *words: str) -> build.Experiment:
    sizes = ["data.source.samples=300", "model=lstm", f"cache={tmp_path / 'cache'}"]
    return build.experiment(check(compose(["task=multilabel", "data=planted_tags", *sizes, *words])))


def test_the_option_repeats_rows_of_a_run(tmp_path: Path) -> None:
    plain, repeated = (
        len(experiment(tmp_path, f"sampling={option}", *more).data.epoch_sampler(1))
        for option, more in (("instance", []), ("repeat_factor", ["sampling.threshold=0.9"]))
    )
    assert repeated > 1.2 * plain


def test_policies_that_balance_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="labels take sampling=instance or repeat_factor"):
        experiment(tmp_path, "sampling=balanced").data.epoch_sampler(1)
