"""Sampling policies: each by its published formula, written out here; lengths; empty classes."""

import numpy as np
import pytest

from leyden.data.sampler import EpochSampler
from leyden.data.sampling_policies import (
    Deferred,
    EffectiveNumber,
    Instance,
    Power,
    Progressive,
    RepeatFactor,
    SamplingPolicy,
    UnderSampling,
)

COUNTS = np.array([500, 120, 30, 4])
N, C = 654, 4
ALL: list[SamplingPolicy] = [
    Instance(),
    Power(0.0),
    Power(0.5),
    Power(0.0, "largest"),
    Progressive(),
    UnderSampling(),
    RepeatFactor(0.05),
    EffectiveNumber(0.99),
    Deferred(),
]


def share(policy: SamplingPolicy, epoch: int = 0, epochs: int = 10) -> list[float]:
    prior = np.asarray(policy.prior(COUNTS, epoch, epochs))
    return (prior / prior.sum()).tolist()


def test_powers_of_the_counts() -> None:
    roots = [n**0.5 for n in (500, 120, 30, 4)]
    assert share(Power(0.5)) == pytest.approx([r / sum(roots) for r in roots], abs=1e-6)
    assert share(Power(0.0)) == [0.25] * 4
    assert share(Power(1.0)) == pytest.approx([n / N for n in COUNTS], abs=1e-6)
    assert Power(0.0).length(COUNTS) == N
    assert Power(0.0, "largest").length(COUNTS) == 4 * 500


def test_progressive_goes_from_the_data_to_balance() -> None:
    """Kang et al. 2020: p(t) = (1 - t/T) p_instance + (t/T) p_balanced."""
    for epoch in (0, 4, 9):
        t = epoch / 9
        expected = [(1 - t) * n / N + t / C for n in COUNTS]
        assert share(Progressive(), epoch) == pytest.approx(expected, abs=1e-6)
    assert share(Progressive(), 0, 1) == pytest.approx([n / N for n in COUNTS])


def test_under_sampling_is_as_long_as_its_smallest_class_allows() -> None:
    assert share(UnderSampling()) == [0.25] * 4
    assert UnderSampling().length(COUNTS) == 16


def test_under_sampling_draws_anew_each_epoch_and_misses_nobody() -> None:
    labels = np.repeat(np.arange(4), COUNTS)
    plan = EpochSampler(labels, 4, UnderSampling(), seed=1, epochs=200)
    first, second = set(plan.epoch(0)), set(plan.epoch(1))
    assert not {i for i in first & second if labels[i] == 0}  # 4 of 500 each: none twice before all were seen
    seen = set().union(*(plan.epoch(e) for e in range(125)))
    assert {i for i in seen if labels[i] == 0} == set(range(500))


def test_class_aware_uses_every_sample_before_one_repeats() -> None:
    labels = np.repeat(np.arange(4), COUNTS)
    order = EpochSampler(labels, 4, Power(0.0, "largest"), seed=1).epoch(0)
    times = np.bincount(order, minlength=N)
    assert (times[:500] == 1).all()  # the largest class exactly once
    for c in range(1, 4):
        own = times[labels == c]
        assert own.sum() == 500
        assert own.max() - own.min() <= 1


def test_repeat_factors_as_in_lvis() -> None:
    """Gupta et al. 2019: r_c = max(1, sqrt(t / f_c)); an epoch holds sum of n_c r_c images."""
    t = 0.05
    r = [max(1.0, (t / (n / N)) ** 0.5) for n in COUNTS]
    expected = [n * x for n, x in zip(COUNTS, r, strict=True)]
    assert share(RepeatFactor(t)) == pytest.approx([e / sum(expected) for e in expected], abs=1e-6)
    assert RepeatFactor(t).length(COUNTS) == round(sum(expected))
    assert RepeatFactor(1e-9).length(COUNTS) == N


def test_effective_numbers() -> None:
    """Cui et al. 2019: E_n = (1 - beta^n) / (1 - beta); every sample of class c weighs 1 / E_{n_c}."""
    beta = 0.99
    weights = [n * (1 - beta) / (1 - beta ** int(n)) for n in COUNTS]
    assert share(EffectiveNumber(beta)) == pytest.approx([w / sum(weights) for w in weights], abs=1e-6)
    assert share(EffectiveNumber(0.0)) == pytest.approx([n / N for n in COUNTS], abs=1e-6)


def test_deferred_changes_at_its_epoch() -> None:
    policy = Deferred(Instance(), Power(0.0), 0.8)
    assert [share(policy, e, 200)[3] == 0.25 for e in (0, 159, 160, 199)] == [False, False, True, True]
    assert policy.length(COUNTS) == N


@pytest.mark.parametrize("policy", ALL, ids=repr)
def test_an_empty_class_is_never_drawn_and_a_class_of_one_is(policy: SamplingPolicy) -> None:
    counts = np.array([40, 0, 1])
    labels = np.repeat(np.arange(3), counts)
    plan = EpochSampler(labels, 3, policy, seed=0, epochs=50)
    for epoch in (0, 49):
        assert plan.prior(epoch)[1] == 0
        assert len(plan.epoch(epoch)) == len(plan) == policy.length(counts)
    assert any(40 in plan.epoch(epoch) for epoch in range(50))


@pytest.mark.parametrize("policy", ALL, ids=repr)
def test_expected_draws_are_the_shares(policy: SamplingPolicy) -> None:
    labels = np.repeat(np.arange(4), COUNTS)
    quotas = [EpochSampler(labels, 4, policy, seed, epochs=1).quotas(0) for seed in range(300)]
    expected = np.array(share(policy, 0, 1)) * policy.length(COUNTS)
    assert all(q.sum() == policy.length(COUNTS) for q in quotas)
    np.testing.assert_allclose(np.mean(quotas, 0), expected, atol=0.15)
