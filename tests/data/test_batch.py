"""Draws: random numbers that belong to a sample's position and to nothing else."""

import torch

from leyden.data.batch import Batch, Input, SampleRandom

POSITIONS = torch.arange(20_000)


def test_draws_are_a_pure_function_of_seed_epoch_position_and_stream() -> None:
    whole = SampleRandom(3, 5, POSITIONS).uniform("crop", 4)
    assert torch.equal(whole, SampleRandom(3, 5, POSITIONS).uniform("crop", 4))
    shuffled = torch.randperm(len(POSITIONS))
    assert torch.equal(SampleRandom(3, 5, POSITIONS[shuffled]).uniform("crop", 4), whole[shuffled])
    assert torch.equal(SampleRandom(3, 5, POSITIONS[7:9]).uniform("crop", 4), whole[7:9])


def test_another_seed_epoch_or_stream_gives_unrelated_numbers() -> None:
    base = SampleRandom(3, 5, POSITIONS).uniform("crop")
    for other in (SampleRandom(4, 5, POSITIONS), SampleRandom(3, 6, POSITIONS)):
        assert abs(float(torch.corrcoef(torch.cat([base, other.uniform("crop")], 1).T)[0, 1])) < 0.03
    assert not torch.equal(base, SampleRandom(3, 5, POSITIONS).uniform("flip"))
    # swapped arguments are no collision
    assert not torch.equal(SampleRandom(5, 3, POSITIONS).uniform("crop"), base)


def test_uniform_is_uniform_and_normal_is_normal() -> None:
    u = SampleRandom(0, 0, POSITIONS).uniform("a", 3)
    assert u.min() >= 0
    assert u.max() < 1
    counts = torch.histc(u, bins=20, min=0, max=1)
    expected = u.numel() / 20
    assert float(((counts - expected) ** 2 / expected).sum()) < 50  # chi-square, 19 degrees: p about 1e-4
    n = SampleRandom(0, 0, POSITIONS).normal("a", 2)
    assert abs(float(n.mean())) < 0.03
    assert abs(float(n.std()) - 1) < 0.03
    k = SampleRandom(0, 0, POSITIONS).integers("a", 7)
    assert set(k.unique().tolist()) == set(range(7))


def test_to_moves_every_tensor() -> None:
    x = torch.zeros(2)
    named = {"image": Input(x, x), "second": Input(x)}
    moved = Batch(named, x, x, x).to(torch.device("meta"))
    assert moved.inputs.keys() == named.keys()
    assert moved.inputs["second"].lengths is None
    tensors = [
        moved.inputs["second"].values,
        *moved.inputs["image"],
        moved.targets,
        moved.rows,
        moved.positions,
    ]
    assert all(isinstance(t, torch.Tensor) and t.device.type == "meta" for t in tensors)
