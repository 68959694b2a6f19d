"""Near duplicates among images: the same image brighter, recompressed, with noise, or shifted by a pixel.

Candidates are found by the magnitudes of the Fourier transform, which are invariant to shifts, and verified by
comparing the images at shifts of up to a pixel (of at most 32x32). A pair is a near duplicate if their residual is

  (a) below RESIDUAL grey levels, and the contrast is not much below the noise, or
  (b) much smaller (ISOLATED) than that to the image's other neighbours, and small itself.

The thresholds were chosen on pairs of MNIST, scikit-learn's digits and CIFAR-10 (docs/check-data.md).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from leyden.health.data.nearest_neighbors import Pairs, candidates, unit

SIDE = 32  # pixels of a thumbnail, at most
RESIDUAL = 4.0  # grey levels, root mean square
WEAK = 0.1  # 1 - correlation, at most, for (a)
ISOLATED, CLOSE = 0.06, 0.05  # for (b): of the distance to the third neighbour, and 1 - correlation
SHIFT = 1  # pixel
_SMOOTH = 16  # pixels: smaller images are not smoothed
_FREQUENCIES = 6  # cycles per image, in each direction
_LUMA = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601
_BLOCK = 256


def thumbnails(images: Tensor) -> Tensor:
    """Images uint8 (n, C, H, W) -> greyscale thumbnails uint8 (n, h, w) of at most 32 x 32, slightly smoothed."""
    grey = _grey(images.float())
    height, width = grey.shape[2:]
    if max(height, width) > SIDE:
        grey = F.interpolate(grey, (min(height, SIDE), min(width, SIDE)), mode="area")
    if min(grey.shape[2:]) >= _SMOOTH:
        weights = torch.tensor([0.25, 0.5, 0.25])
        grey = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), (weights[:, None] * weights)[None, None])
    return grey[:, 0].round().byte()


def _grey(images: Tensor) -> Tensor:
    """Greyscale (n, 1, H, W): luma of RGB, which JPEG preserves best; else the mean of the channels."""
    if images.shape[1] != len(_LUMA):
        return images.mean(1, keepdim=True)
    return (images * torch.tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)


def near(thumbs: Tensor, queries: Tensor, keys: Tensor, halves: bool) -> Pairs:
    """The most similar key of each query, where it is a near duplicate.

    Args:
        thumbs: uint8 (N, h, w), see `thumbnails`.
        queries: int64 (n,), indices in `thumbs`.
        keys: int64 (m,), likewise; a query that is also a key is not compared with itself.
        halves: also shift by half pixels: for thumbnails that were reduced from larger images.
    """
    if not len(queries) or len(keys) < 2 or min(thumbs.shape[1:]) <= 2 * SHIFT + 1:
        return Pairs.none()
    described = _descriptors(thumbs)
    own = torch.full((len(thumbs),), -1)
    own[keys] = torch.arange(len(keys))
    found = candidates(described[queries], described[keys], apart=own[queries])
    distance, residual = _compare(thumbs, queries, keys[found], halves)
    order = distance.argsort(dim=1)
    best, third = order[:, 0], distance.gather(1, order)[:, min(2, order.shape[1] - 1)]
    best_distance = distance.gather(1, best[:, None])[:, 0]
    best_residual = residual.gather(1, best[:, None])[:, 0]
    is_duplicate = ((best_residual < RESIDUAL) & (best_distance < WEAK)) | (
        (best_distance < ISOLATED * third) & (best_distance < CLOSE)
    )
    place = found.gather(1, best[:, None])[:, 0]
    duplicates = is_duplicate.nonzero()[:, 0]
    return Pairs(duplicates.numpy(), place[duplicates].numpy(), best_distance[duplicates].double().numpy())


def _descriptors(thumbs: Tensor) -> Tensor:
    """Descriptors (n, d): square roots of the magnitudes of low frequencies, of length one."""
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
    """Window (n,) that falls towards the edges, where a shift brings in new content."""
    return torch.hann_window(n + 2, periodic=False)[1:-1].sqrt()


def _compare(thumbs: Tensor, queries: Tensor, found: Tensor, halves: bool) -> tuple[Tensor, Tensor]:
    """(n, k) 1 - correlation at the best shift, and (n, k) the residual in grey levels (root mean square)."""
    distances, residuals = [], []
    steps = [place / 2 for place in range(0, 4 * SHIFT + 1, 1 if halves else 2)]
    height, width = (n - 2 * SHIFT for n in thumbs.shape[1:])
    for some, near_some in zip(queries.split(_BLOCK), found.split(_BLOCK), strict=True):
        query_images = thumbs[some].float()
        shifted = torch.stack(
            [_shifted(query_images, a, b, height, width).flatten(1) for a in steps for b in steps], 1
        )
        others = thumbs[near_some][:, :, SHIFT : SHIFT + height, SHIFT : SHIFT + width].float().flatten(2)
        shifted, others = shifted - shifted.mean(2, keepdim=True), others - others.mean(2, keepdim=True)
        correlation = torch.bmm(unit(others), unit(shifted).transpose(1, 2)).amax(2).clamp(-1, 1)
        contrast = torch.minimum(others.std(2, correction=0), shifted.std(2, correction=0).amin(1)[:, None])
        distances.append(1 - correlation)
        residuals.append(contrast * (1 - correlation**2).clamp_min(0).sqrt())
    return torch.cat(distances), torch.cat(residuals)


def _shifted(images: Tensor, down: float, right: float, height: int, width: int) -> Tensor:
    """Crop (n, height, width) of images (n, h, w) at offset (down, right); half pixels are means of two pixels."""
    top, left = int(down), int(right)
    rows = images[:, top : top + height]
    if down > top:
        rows = (rows + images[:, top + 1 : top + 1 + height]) / 2
    cut = rows[:, :, left : left + width]
    return cut if right == left else (cut + rows[:, :, left + 1 : left + 1 + width]) / 2
