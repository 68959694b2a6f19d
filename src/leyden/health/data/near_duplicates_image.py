"""Near duplicates among images: the same picture brighter, recompressed, noisier, or a pixel to the side.

Candidates by the magnitudes of the Fourier transform, which a shift leaves alone; then the pictures laid upon
one another, shifted by up to a pixel (of at most 32x32). A pair counts if what remains between them is noise:

  (a) less than RESIDUAL grey levels where the contrast is not much weaker than the noise, or
  (b) much less (ISOLATED) than between the picture and its other neighbours, and little by itself.

Both were set by looking at pairs of MNIST, scikit-learn's digits and CIFAR-10 (docs/check-data.md).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from leyden.health.data.nearest_neighbors import Pairs, candidates, unit

SIDE = 32  # pixels of a thumbnail, at most
RESIDUAL = 4.0  # grey levels, root mean square
WEAK = 0.1  # 1 - correlation, at most, for (a)
ISOLATED, CLOSE = 0.06, 0.05  # for (b): of the distance to the third neighbour, and 1 - correlation
SHIFT = 1  # pixel
_SMOOTH = 16  # pixels: smaller pictures are not smoothed
_FREQUENCIES = 6  # cycles per picture, each way
_LUMA = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601
_BLOCK = 256


def thumbnails(images: Tensor) -> Tensor:
    """uint8 (n, h, w), grey, of at most 32 x 32, slightly smoothed, of images uint8 (n, C, H, W)."""
    grey = _grey(images.float())
    height, width = grey.shape[2:]
    if max(height, width) > SIDE:
        grey = F.interpolate(grey, (min(height, SIDE), min(width, SIDE)), mode="area")
    if min(grey.shape[2:]) >= _SMOOTH:
        weights = torch.tensor([0.25, 0.5, 0.25])
        grey = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), (weights[:, None] * weights)[None, None])
    return grey[:, 0].round().byte()


def _grey(images: Tensor) -> Tensor:
    """(n, 1, H, W): the brightness of colours, which JPEG keeps best; of other channels the mean."""
    if images.shape[1] != len(_LUMA):
        return images.mean(1, keepdim=True)
    return (images * torch.tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)


def near(thumbs: Tensor, queries: Tensor, keys: Tensor, halves: bool) -> Pairs:
    """Each query's nearest key, where it is a near duplicate.

    Args:
        thumbs: uint8 (N, h, w), see `thumbnails`.
        queries: int64 (n,), places in `thumbs`.
        keys: int64 (m,), too; a query that is a key is not compared with itself.
        halves: shift by half pixels, too: thumbnails of larger pictures, whose pixel is a part of one here.
    """
    if not len(queries) or len(keys) < 2 or min(thumbs.shape[1:]) <= 2 * SHIFT + 1:
        return Pairs.none()
    described = _descriptors(thumbs)
    own = torch.full((len(thumbs),), -1)
    own[keys] = torch.arange(len(keys))
    found = candidates(described[queries], described[keys], apart=own[queries])
    distance, residual = _compared(thumbs, queries, keys[found], halves)
    order = distance.argsort(dim=1)
    best, third = order[:, 0], distance.gather(1, order)[:, min(2, order.shape[1] - 1)]
    apart = distance.gather(1, best[:, None])[:, 0]
    remains = residual.gather(1, best[:, None])[:, 0]
    same = ((remains < RESIDUAL) & (apart < WEAK)) | ((apart < ISOLATED * third) & (apart < CLOSE))
    place = found.gather(1, best[:, None])[:, 0]
    kept = same.nonzero()[:, 0]
    return Pairs(kept.numpy(), place[kept].numpy(), apart[kept].double().numpy())


def _descriptors(thumbs: Tensor) -> Tensor:
    """(n, d) square roots of the low frequencies' magnitudes, of length one."""
    height, width = thumbs.shape[1:]
    rows = [*range(min(_FREQUENCIES, height // 2) + 1), *range(-min(_FREQUENCIES - 1, (height - 1) // 2), 0)]
    window = _taper(height)[:, None] * _taper(width)
    parts = []
    for some in thumbs.split(2048):
        x = some.float()
        spectrum = torch.fft.rfft2((x - x.mean((1, 2), keepdim=True)) * window).abs()
        parts.append(unit(spectrum[:, rows, : _FREQUENCIES + 1].flatten(1).sqrt()))
    return torch.cat(parts)


def _taper(n: int) -> Tensor:
    """Weights (n,) that fall towards the edges, where a shift brings in what was not there."""
    return torch.hann_window(n + 2, periodic=False)[1:-1].sqrt()


def _compared(thumbs: Tensor, queries: Tensor, found: Tensor, halves: bool) -> tuple[Tensor, Tensor]:
    """(n, k) 1 - correlation at the best shift, and the noise between them in grey levels, root mean square."""
    distances, residuals = [], []
    steps = [place / 2 for place in range(0, 4 * SHIFT + 1, 1 if halves else 2)]
    height, width = (n - 2 * SHIFT for n in thumbs.shape[1:])
    for some, near_some in zip(queries.split(_BLOCK), found.split(_BLOCK), strict=True):
        picture = thumbs[some].float()
        moved = torch.stack(
            [_moved(picture, a, b, height, width).flatten(1) for a in steps for b in steps], 1
        )
        others = thumbs[near_some][:, :, SHIFT : SHIFT + height, SHIFT : SHIFT + width].float().flatten(2)
        moved, others = moved - moved.mean(2, keepdim=True), others - others.mean(2, keepdim=True)
        correlation = torch.bmm(unit(others), unit(moved).transpose(1, 2)).amax(2).clamp(-1, 1)
        contrast = torch.minimum(others.std(2, correction=0), moved.std(2, correction=0).amin(1)[:, None])
        distances.append(1 - correlation)
        residuals.append(contrast * (1 - correlation**2).clamp_min(0).sqrt())
    return torch.cat(distances), torch.cat(residuals)


def _moved(pictures: Tensor, down: float, right: float, height: int, width: int) -> Tensor:
    """(n, height, width) of pictures (n, h, w), from (down, right) on; half a pixel is the mean of two."""
    top, left = int(down), int(right)
    rows = pictures[:, top : top + height]
    if down > top:
        rows = (rows + pictures[:, top + 1 : top + 1 + height]) / 2
    cut = rows[:, :, left : left + width]
    return cut if right == left else (cut + rows[:, :, left + 1 : left + 1 + width]) / 2


def images_near(images: np.ndarray, queries: np.ndarray, keys: np.ndarray) -> Pairs:
    """As `near`, of images uint8 (N, C, H, W) in memory."""
    thumbs = torch.cat(
        [thumbnails(torch.from_numpy(images[i : i + 2048])) for i in range(0, len(images), 2048)]
    )
    return near(thumbs, torch.from_numpy(queries), torch.from_numpy(keys), max(images.shape[2:]) > SIDE)
