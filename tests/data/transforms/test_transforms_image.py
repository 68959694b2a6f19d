"""Image transforms: what each does to a batch, and the frontend's numbers against NumPy."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from leyden.data.batch import Input, SampleRandom
from leyden.data.transforms.image import Affine, Erasing, HorizontalFlip, Normalize, RandomCrop
from leyden.utils.errors import UserError


def images(shape: tuple[int, int, int, int], dtype: torch.dtype = torch.uint8) -> Input:
    """A batch of random images whose every pixel is at least 1, so that zeros come from a transform."""
    x = torch.randint(1, 256, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return Input(x)


def draw(batch: Input, seed: int = 0) -> SampleRandom:
    return SampleRandom(seed, 1, torch.arange(len(batch.values)) + 7)


@settings(max_examples=20, deadline=None)
@given(
    padding=st.integers(1, 5), height=st.integers(3, 12), width=st.integers(3, 12), channels=st.integers(1, 3)
)
def test_crop_is_a_window_of_the_padded_image(padding: int, height: int, width: int, channels: int) -> None:
    batch = images((6, channels, height, width))
    draws = draw(batch)
    out = RandomCrop(padding)(batch, draws).values
    padded = np.pad(batch.values.numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    offsets = draws.integers("random_crop", 2 * padding + 1, 2).tolist()
    for i, (top, left) in enumerate(offsets):
        np.testing.assert_array_equal(out[i].numpy(), padded[i, :, top : top + height, left : left + width])


def test_crop_reaches_every_offset_equally() -> None:
    x = torch.full((4000, 1, 3, 3), 7, dtype=torch.uint8)
    x[:, :, 1, 1] = 1  # the marked pixel shows where the window lies
    batch = Input(x)
    out = RandomCrop(1)(batch, draw(batch)).values
    share = (out == 1).float().mean(dim=(0, 1))
    assert torch.allclose(share, torch.full((3, 3), 1 / 9), atol=0.02)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_flip_mirrors_about_p_of_the_images_and_leaves_the_rest(dtype: torch.dtype) -> None:
    batch = images((400, 2, 4, 5), dtype)
    out = HorizontalFlip(0.3)(batch, draw(batch)).values
    mirrored = (out == batch.values.flip(-1)).flatten(1).all(dim=1)
    same = (out == batch.values).flatten(1).all(dim=1)
    assert out.dtype == dtype
    assert bool((mirrored | same).all())
    assert mirrored.float().mean().item() == pytest.approx(0.3, abs=0.07)


def test_a_recipe_gives_the_pictures_of_torchvision_as_often() -> None:
    """Crop, flip and normalise against its pipeline for single samples: the same 18 pictures, equally often."""
    one, n, mean, std = images((1, 3, 6, 6)), 3000, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    ours = Normalize(3)
    ours.scale.copy_(1 / (255 * torch.tensor(std)).view(3, 1, 1))
    ours.shift.copy_(-(torch.tensor(mean) / torch.tensor(std)).view(3, 1, 1))
    batch = Input(one.values.expand(n, 3, 6, 6))
    draws = draw(batch)
    found = ours(HorizontalFlip()(RandomCrop(1)(batch, draws), draws)).values
    theirs = transforms.Compose(
        [
            transforms.RandomCrop(6, padding=1),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    picture = Image.fromarray(one.values[0].permute(1, 2, 0).numpy())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = torch.stack([theirs(picture) for _ in range(n)])

    def counted(pictures: torch.Tensor) -> Counter[bytes]:
        return Counter(picture.tobytes() for picture in (1000 * pictures).round().to(torch.int32).numpy())

    mine, other = counted(found), counted(expected)
    assert mine.keys() == other.keys()
    assert len(mine) == 18
    statistic = sum((mine[key] - other[key]) ** 2 / (mine[key] + other[key]) for key in mine)
    assert statistic < 40.8  # chi-squared of 17 degrees of freedom: exceeded once in a thousand


def test_affine_of_nothing_is_the_identity() -> None:
    batch = images((4, 3, 7, 9))
    assert torch.equal(Affine(0, 0, (1, 1), 0)(batch, draw(batch)).values, batch.values)


def test_affine_rotates_by_no_more_than_the_angle_about_the_centre() -> None:
    """A spot off centre stays at its distance from the centre, also where the image is not square."""
    x = torch.zeros(64, 1, 41, 61)
    x[:, :, 19:22, 44:47] = 255  # 15 pixels right of the centre (20, 30)
    batch = Input(x)
    out = Affine(degrees=30, translate=0, scale=(1, 1))(batch, draw(batch)).values[:, 0]
    mass = out.sum(dim=(1, 2))
    down = (out.sum(2) * torch.arange(41)).sum(1) / mass - 20
    right = (out.sum(1) * torch.arange(61)).sum(1) / mass - 30
    angle = torch.atan2(down, right)
    assert torch.allclose(torch.hypot(down, right), torch.tensor(15.0), atol=0.1)
    assert math.radians(20) < angle.abs().max().item() <= math.radians(30.5)
    assert angle.min().item() < -0.2 < 0.2 < angle.max().item()


def test_affine_shifts_scales_and_shears_within_its_ranges() -> None:
    x = torch.zeros(64, 1, 40, 40)
    x[:, :, 15:25, 15:25] = 100
    batch = Input(x)
    moved = Affine(0, 0.2, (1, 1))(batch, draw(batch)).values[:, 0]
    right = (moved.sum(1) * torch.arange(40)).sum(1) / moved.sum((1, 2)) - 19.5
    assert 6 < right.abs().max().item() <= 8.01
    scaled = Affine(0, 0, (0.5, 2))(batch, draw(batch)).values
    area = scaled.sum((1, 2, 3)) / x.sum((1, 2, 3))
    assert 0.2 < area.min().item() < 0.5
    assert 2.5 < area.max().item() < 4.2
    sheared = Affine(0, 0, (1, 1), shear=40)(batch, draw(batch)).values[:, 0, 16:24]
    centroid = (sheared * torch.arange(40)).sum(-1) / sheared.sum(-1)
    slope = (centroid[:, -1] - centroid[:, 0]) / 7
    assert torch.allclose(centroid.diff(dim=1), slope[:, None].expand(-1, 7), atol=1e-3)
    assert 0.7 < slope.abs().max().item() <= math.tan(math.radians(40)) + 1e-3


def test_affine_keeps_integers_and_floats() -> None:
    for dtype in (torch.uint8, torch.float32):
        batch = images((3, 1, 8, 8), dtype)
        assert Affine()(batch, draw(batch)).values.dtype == dtype


@settings(max_examples=20, deadline=None)
@given(height=st.integers(8, 30), width=st.integers(8, 30), low=st.floats(0.02, 0.3))
def test_erasing_cuts_one_rectangle_of_the_asked_area(height: int, width: int, low: float) -> None:
    batch = images((40, 2, height, width), torch.float32)
    out = Erasing(p=1, area=(low, 0.4), ratio=(0.5, 2))(batch, draw(batch)).values
    gone = out[:, 0] == 0
    assert torch.equal(gone, out[:, 1] == 0)
    rows, columns = gone.any(2).sum(1), gone.any(1).sum(1)
    assert torch.equal(gone.sum((1, 2)), rows * columns)  # a full rectangle
    slack = 0.5 * (rows + columns) + 0.25  # half a pixel of rounding on each side
    cut = (rows == height) | (columns == width)
    assert bool((cut | (rows * columns >= low * height * width - slack)).all())
    assert bool((rows * columns <= 0.4 * height * width + slack).all())
    assert torch.equal(out[~gone[:, None].expand_as(out)], batch.values[~gone[:, None].expand_as(out)])


def test_erasing_takes_p_of_the_images() -> None:
    batch = images((500, 1, 8, 8), torch.float32)
    out = Erasing(p=0.25)(batch, draw(batch)).values
    assert (out == 0).flatten(1).any(1).float().mean().item() == pytest.approx(0.25, abs=0.07)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalize_has_the_mean_and_deviation_of_the_training_set(dtype: torch.dtype) -> None:
    batch = images((50, 3, 6, 5), dtype)
    before = batch.values.clone()
    frontend = Normalize(in_channels=3)
    frontend.fit([batch._replace(values=batch.values[:20]), batch._replace(values=batch.values[20:])])
    out = frontend(batch).values
    x = batch.values.numpy().astype(np.float64)
    mean, std = x.mean((0, 2, 3), keepdims=True), x.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(out.numpy(), (x - mean) / std, atol=1e-5)
    assert out.dtype == torch.float32
    assert torch.equal(batch.values, before)  # the batch is not changed in place
    assert frontend.facts() == {}


def test_normalize_goes_through_the_checkpoint_and_stands_a_constant_channel() -> None:
    batch = images((8, 2, 4, 4))
    batch.values[:, 1] = 9
    frontend = Normalize(2)
    frontend.fit([batch])
    other = Normalize(2)
    other.load_state_dict(frontend.state_dict())
    out = other(batch).values
    assert torch.equal(out, frontend(batch).values)
    assert torch.allclose(out[:, 1], torch.zeros(()), atol=1e-5)


def test_normalize_before_fitting_gives_the_unit_range() -> None:
    batch = images((2, 1, 4, 4))
    assert torch.allclose(Normalize()(batch).values, batch.values / 255)


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match=r"Affine\.scale.*\[0\.9, 1\.2\]"):
        Affine(scale=(1.2, 0.9))
    with pytest.raises(UserError, match=r"Erasing\.area"):
        Erasing(area=(0.5, 0.1))
    with pytest.raises(UserError, match="no training image"):
        Normalize().fit([])
