"""Frontends and transforms of batches with several inputs."""

import pytest
import torch
from torch import nn

from leyden.data.batch import Batch, Input, SampleRandom
from leyden.data.transforms.image import HorizontalFlip, Normalize
from leyden.data.transforms.mixup import Mixup
from leyden.data.transforms.named import ModalityDropout, NamedFrontends, prepared_by

ROWS = 4000


def batch(present: dict[str, torch.Tensor] | None = None) -> Batch:
    rows = torch.arange(ROWS)
    inputs = {name: Input(torch.zeros(ROWS, 1)) for name in "abc"}
    return Batch(inputs, rows, rows, rows, present=present or {})


def dropped(given: Batch, p: float = 0.3, seed: int = 0, epoch: int = 0) -> torch.Tensor:
    """bool (B, 3)."""
    found = ModalityDropout(p)(given, SampleRandom(seed, epoch, given.positions))
    return torch.stack([found.present[name] for name in "abc"], dim=1)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.9])
def test_each_input_is_left_out_of_some_samples_and_never_all(p: float) -> None:
    kept = dropped(batch(), p)
    assert kept.any(dim=1).all()
    share = (1 - p) / (1 - p**3)  # of a kept input, given that one of three is kept
    assert (kept.float().mean(dim=0) - share).abs().max() < 4 * (share * (1 - share) / ROWS) ** 0.5
    assert len({tuple(row) for row in kept.tolist()}) == 7


def test_what_a_row_lacks_stays_absent_and_its_only_input_stays() -> None:
    only = torch.arange(ROWS) % 2 == 0
    none = torch.zeros(ROWS, dtype=torch.bool)
    kept = dropped(batch({"a": only, "b": none}), 0.9)
    assert not kept[:, 1].any()
    assert not kept[~only, 0].any()
    assert kept[~only, 2].all()


def test_it_depends_on_seed_epoch_and_position_alone() -> None:
    first = dropped(batch())
    assert torch.equal(dropped(batch()), first)
    assert not torch.equal(dropped(batch(), epoch=1), first)
    assert not torch.equal(dropped(batch(), seed=1), first)
    whole = batch()
    part = whole._replace(
        inputs={n: x.map(lambda t: t[100:200]) for n, x in whole.inputs.items()},
        **{name: getattr(whole, name)[100:200] for name in ("targets", "rows", "positions")},
    )
    assert torch.equal(dropped(part), first[100:200])


def test_each_input_has_its_frontend_and_the_transforms_of_its_modality() -> None:
    frontend = NamedFrontends(
        {"left": Normalize(1), "name": nn.Identity()}, {"left": "image", "name": "text"}
    )
    rows = torch.arange(2)
    given = Batch(
        {"left": Input(torch.full((2, 1, 2, 2), 255).byte()), "name": Input(rows[:, None])}, rows, rows, rows
    )
    made = prepared_by(frontend, given)
    assert made.inputs["left"].values.dtype == torch.float32
    assert torch.equal(made.inputs["name"].values, rows[:, None])
    assert frontend.names_of(HorizontalFlip(), ["left", "name"]) == ["left"]
    assert frontend.names_of(Mixup(), ["left", "name"]) == ["left", "name"]
