"""Images on the device: crop, flip, affine map, erasing; and the frontend that normalises.

Every transform works on the whole batch at once with parameters of its own for each sample, which `SampleRandom`
makes from (seed, epoch, position): a sample is augmented alike whatever stands beside it in the batch.
Crop, flip and affine map keep the dtype (uint8, or float in 0..255).
"""

import math
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor, nn
from torch.nn import functional as F

from leyden.data.batch import Input, SampleRandom
from leyden.utils.errors import UserError

Probability = Annotated[float, Interval(ge=0, le=1)]
Fraction = Annotated[float, Interval(gt=0, le=1)]
Positive = Annotated[float, Gt(0)]


def _ordered(name: str, pair: tuple[float, float]) -> tuple[float, float]:
    """(low, high) of a range; UserError if they are the wrong way round."""
    low, high = pair
    if low > high:
        raise UserError(f"{name} is a range [low, high], but {low} is above {high}: write [{high}, {low}]")
    return float(low), float(high)


class RandomCrop(nn.Module):
    """A window of the image's own size, at a random place of the image padded with zeros on every side.

    The CIFAR recipe of He et al. 2016 (arXiv:1512.03385, section 4.2) with padding 4.
    """

    stage: ClassVar[str] = "inputs"
    modality: ClassVar[str] = "image"

    def __init__(self, padding: Annotated[int, Ge(1)] = 4) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """(B, C, H, W) to the same shape and dtype; whole lines are copied, which is three times as fast as pixels."""
        x, p = given.values, self.padding
        b, c, h, w = x.shape
        offset = draws.integers("random_crop", 2 * p + 1, 2)[:, None, None, :]
        padded = F.pad(x, (p, p, p, p)).flatten()
        image = torch.arange(b * c, device=x.device).view(b, c, 1) * (h + 2 * p)
        line = image + offset[..., 0] + torch.arange(h, device=x.device)  # (B, C, H), of all padded lines
        begins = line * (w + 2 * p) + offset[..., 1]
        windows = padded.as_strided((len(padded) - w + 1, w), (1, 1))
        return given._replace(values=windows.index_select(0, begins.flatten()).view(b, c, h, w))


class HorizontalFlip(nn.Module):
    """Mirrors an image left to right with probability `p`."""

    stage: ClassVar[str] = "inputs"
    modality: ClassVar[str] = "image"

    def __init__(self, p: Probability = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """(B, C, H, W) to the same shape and dtype."""
        x = given.values
        flip = draws.uniform("horizontal_flip")[:, 0] < self.p
        # whole images of two batches: torch.where takes pixel by pixel, and six times as long
        chosen = torch.arange(len(x), device=x.device) + len(x) * flip
        return given._replace(values=torch.cat((x, x.flip(-1))).index_select(0, chosen))


class Affine(nn.Module):
    """Rotates, shears, scales and shifts about the image's centre; bilinear, zeros from outside.

    degrees: the angle is uniform in -degrees .. degrees. translate: the shift is uniform in -translate ..
    translate, as a fraction of the width and of the height. scale: range of the factor. shear: degrees, as
    for the angle.
    """

    stage: ClassVar[str] = "inputs"
    modality: ClassVar[str] = "image"

    def __init__(
        self,
        degrees: Annotated[float, Interval(ge=0, le=180)] = 10.0,
        translate: Probability = 0.1,
        scale: tuple[Positive, Positive] = (0.9, 1.1),
        shear: Annotated[float, Interval(ge=0, lt=90)] = 0.0,
    ) -> None:
        super().__init__()
        self.angle = math.radians(degrees)
        self.shear = math.radians(shear)
        self.translate = translate
        self.scale = _ordered("Affine.scale", scale)

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """(B, C, H, W) to the same shape and dtype; integers are rounded."""
        x = given.values
        grid = self._grid(draws, x.shape[-2], x.shape[-1])
        moved = F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return given._replace(values=(moved if x.is_floating_point() else moved.round_()).to(x.dtype))

    def _grid(self, draws: SampleRandom, height: int, width: int) -> Tensor:
        """Where each output pixel is read from, (B, H, W, 2) as (x, y) in -1 .. 1.

        The map from output to input is the inverse of shift * rotation * shear * scale, in pixels from the
        centre: so a rotation stays one in an image that is not square.
        """
        u = draws.uniform("affine", 5)[:, :, None, None]
        angle, shear = (2 * u[:, 0] - 1) * self.angle, (2 * u[:, 1] - 1) * self.shear
        low, high = self.scale
        factor = low + (high - low) * u[:, 2]
        shift_x = (2 * u[:, 3] - 1) * (self.translate * width)
        shift_y = (2 * u[:, 4] - 1) * (self.translate * height)
        x = torch.arange(width, device=u.device) - (width - 1) / 2 - shift_x  # (B, 1, W)
        y = torch.arange(height, device=u.device)[:, None] - (height - 1) / 2 - shift_y  # (B, H, 1)
        # the inverse: rotation by -angle and scale 1 / factor, then the shear taken off along x
        cos, sin = torch.cos(angle) / factor, torch.sin(angle) / factor
        back_y = cos * y - sin * x
        back_x = cos * x + sin * y - torch.tan(shear) * back_y
        # pixels from the centre -> grid_sample's -1 .. 1
        return torch.stack((back_x * (2 / width), back_y * (2 / height)), dim=-1)


class Erasing(nn.Module):
    """Sets a rectangle to the mean with probability `p` (Zhong et al. 2020, arXiv:1708.04896).

    After the frontend the mean is 0. area: range of the rectangle's share of the image. ratio: range of
    height / width, log-uniform. A rectangle longer than a side is cut to it (the paper draws again). Cutout
    (DeVries and Taylor 2017) of 16 x 16 in 32 x 32 is p=1, area=[.25, .25], ratio=[1, 1], save that this
    one never crosses the border.
    """

    stage: ClassVar[str] = "features"
    modality: ClassVar[str] = "image"

    def __init__(
        self,
        p: Probability = 0.5,
        area: tuple[Fraction, Fraction] = (0.02, 0.33),
        ratio: tuple[Positive, Positive] = (0.3, 3.3),
    ) -> None:
        super().__init__()
        self.p = p
        self.area = _ordered("Erasing.area", area)
        low, high = _ordered("Erasing.ratio", ratio)
        self.log_ratio = (math.log(low), math.log(high))

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """(B, C, H, W) to the same shape and dtype."""
        height, width = given.values.shape[-2:]
        u = draws.uniform("erasing", 5)[:, :, None]
        area = (self.area[0] + (self.area[1] - self.area[0]) * u[:, 0]) * (height * width)
        # sqrt(ratio), so that height = sqrt(area) * stretch and width = sqrt(area) / stretch; (B, 1)
        stretch = torch.exp((self.log_ratio[0] + (self.log_ratio[1] - self.log_ratio[0]) * u[:, 1]) / 2)
        rows = _interval(torch.sqrt(area) * stretch, u[:, 2], height)
        columns = _interval(torch.sqrt(area) / stretch, u[:, 3], width)
        rows = rows & (u[:, 4] < self.p)
        inside = (rows[:, :, None] & columns[:, None, :])[:, None]
        return given._replace(values=given.values.masked_fill(inside, 0))


def _interval(extent: Tensor, place: Tensor, size: int) -> Tensor:
    """Booleans (B, size), true on round(extent) entries, at `place` (0 .. 1) of what is left free."""
    extent = extent.round().clamp(1, size)
    start = torch.floor(place * (size - extent + 1))
    index = torch.arange(size, device=extent.device)
    return (index >= start) & (index < start + extent)


class Normalize(nn.Module):
    """Frontend of images: (x - mean) / std for each channel, of the training set; until fitted, x / 255.

    by: "channel" as above; "range" leaves it at x / 255, as first lessons do.
    The two numbers of each channel are kept as buffers `scale` and `shift` (x * scale + shift), so that the
    checkpoint holds them.
    """

    modality: ClassVar[str] = "image"
    STD_FLOOR = (
        1.0  # one grey level: a channel that is constant in training is not blown up by its noise later
    )

    scale: Tensor
    shift: Tensor

    def __init__(
        self, in_channels: Annotated[int, Ge(1)] = 1, by: Literal["channel", "range"] = "channel"
    ) -> None:
        super().__init__()
        self.by = by
        self.register_buffer("scale", torch.full((in_channels, 1, 1), 1 / 255))
        self.register_buffer("shift", torch.zeros(in_channels, 1, 1))

    def forward(self, given: Input) -> Input:
        """uint8 or float (B, C, H, W) in 0..255 to float32 of the same shape."""
        x = given.values.to(torch.float32, copy=True)  # a copy, so that two in-place kernels may follow
        return given._replace(values=x.mul_(self.scale).add_(self.shift))

    def fit(self, batches: Iterable[Input]) -> None:
        """Mean and standard deviation of every channel over all pixels, summed in float64; by="range" needs none."""
        if self.by == "range":
            return
        channels = self.scale.shape[0]
        total = torch.zeros(2, channels, dtype=torch.float64)
        count = 0
        for given in batches:
            x = given.values.double()
            # (2, C): sum and sum of squares
            total += torch.stack((x.sum((0, 2, 3)), x.square().sum((0, 2, 3)))).cpu()
            count += x.numel() // channels
        if count == 0:
            raise UserError("augment: there is no training image to take mean and deviation from")
        mean, square = total / count
        std = (square - mean.square()).clamp(min=0).sqrt().clamp(min=self.STD_FLOOR)
        # (x - mean) / std = x * scale + shift
        self.scale.copy_((1 / std)[:, None, None])
        self.shift.copy_((-mean / std)[:, None, None])

    def facts(self) -> dict[str, Any]:
        """Nothing beyond what the data say."""
        return {}
