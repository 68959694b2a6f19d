"""Mixup: a convex combination within the batch, with Beta-distributed weights."""

import pytest
import torch
from scipy import stats

from leyden.data.batch import Batch, Input, SampleRandom
from leyden.data.transforms.mixup import KNOTS, Mixup, Remix, beta_quantiles
from leyden.utils.errors import UserError


def floats(n: int, *shape: int) -> Batch:
    rows = torch.arange(n)
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))
    return Batch({"image": Input(x)}, rows, rows, rows)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 2.0, 8.0])
def test_quantiles_are_scipys(alpha: float) -> None:
    expected = stats.beta.ppf(torch.linspace(0, 0.5, KNOTS, dtype=torch.float64).numpy(), alpha, alpha)
    assert abs(beta_quantiles(alpha).numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_follow_beta(alpha: float) -> None:
    batch = floats(4000, 1)
    mixed = Mixup(alpha)(batch, SampleRandom(3, 0, batch.positions))
    assert mixed.mix is not None
    assert stats.kstest(mixed.mix.weight.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_inputs_and_labels_are_mixed_alike_and_nobody_with_itself() -> None:
    batch = floats(33, 3, 4, 4)  # labels are row numbers, so a label names the partner
    mixed = Mixup()(batch, SampleRandom(0, 2, batch.positions))
    assert mixed.mix is not None
    partner, weight = mixed.mix
    share = weight.view(-1, 1, 1, 1)
    expected = share * batch.input.values + (1 - share) * batch.input.values[partner]
    assert torch.allclose(mixed.input.values, expected, atol=1e-6)
    assert torch.equal(mixed.targets, batch.targets)
    assert torch.equal(partner.sort().values, batch.rows)  # a permutation
    assert not bool((partner == batch.rows).any())


def test_the_partners_change_with_the_epoch() -> None:
    batch = floats(33, 1)
    first, second = (Mixup()(batch, SampleRandom(0, e, batch.positions)).mix for e in (0, 1))
    assert first is not None
    assert second is not None
    assert not torch.equal(first.partner, second.partner)
    assert not torch.equal(first.weight, second.weight)


def test_the_longer_of_two_lengths_holds() -> None:
    lengths = torch.tensor([3, 9, 5, 1])
    batch = floats(4, 1, 2, 9).map_inputs(lambda x: x._replace(lengths=lengths))
    mixed = Mixup()(batch, SampleRandom(0, 0, batch.positions))
    assert mixed.mix is not None
    assert mixed.input.lengths is not None
    assert torch.equal(mixed.input.lengths, torch.maximum(lengths, lengths[mixed.mix.partner]))


def test_a_batch_of_one_stays() -> None:
    batch = floats(1, 3)
    mixed = Mixup()(batch, SampleRandom(0, 0, batch.positions))
    assert torch.allclose(mixed.input.values, batch.input.values)


def test_tokens_and_mixed_batches_are_refused() -> None:
    batch = floats(4, 3)
    draws = SampleRandom(0, 0, batch.positions)
    with pytest.raises(UserError, match="token"):
        Mixup()(batch.map_inputs(lambda x: x.map(torch.Tensor.long)), draws)
    with pytest.raises(UserError, match="once"):
        Mixup()(Mixup()(batch, draws), draws)


def test_remix_gives_the_label_to_the_rarer_class() -> None:
    """The published rule, sample by sample; the inputs are those of mixup."""
    counts, kappa, tau = (300, 100, 20), 3.0, 0.5
    batch = floats(2000, 2)._replace(targets=torch.arange(2000) % 3)
    draws = SampleRandom(0, 0, batch.positions)
    plain, mixed = Mixup()(batch, draws), Remix(counts, kappa=kappa, tau=tau)(batch, draws)
    assert plain.mix is not None
    assert mixed.mix is not None
    assert torch.equal(mixed.input.values, plain.input.values)
    kinds = set()
    for label, partner, before, after in zip(
        batch.targets.tolist(),
        plain.mix.partner.tolist(),
        plain.mix.weight.tolist(),
        mixed.mix.weight.tolist(),
        strict=True,
    ):
        ratio = counts[label] / counts[partner]
        expected = before
        if ratio >= kappa and before < tau:
            expected = 0.0
        elif ratio <= 1 / kappa and 1 - before < tau:
            expected = 1.0
        kinds.add(expected if expected in (0.0, 1.0) else "kept")
        assert after == expected
    assert kinds == {0.0, 1.0, "kept"}
