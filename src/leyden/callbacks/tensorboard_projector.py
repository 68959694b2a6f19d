"""TensorBoard's embedding projector: features of validation samples, with pictures, labels and errors.

projector_config.pbtxt     what TensorBoard looks for in a run's folder
projector/features.tsv     one line a sample: its features
projector/samples.tsv      its truth, its answer, its name
projector/pictures.png     the net's input, where it is a picture (a log-mel spectrogram is one)
"""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from leyden.data.datamodule import DataModule
from leyden.modules import features
from leyden.modules.standalone import preserved_state
from leyden.runs.run import PROJECTOR, PROJECTOR_CONFIG
from leyden.utils.arrays import evenly
from leyden.utils.files import atomic_write, write_text
from leyden.utils.text import printable

MOST = 1000  # samples: their pictures fit into one of 1,024 x 1,024 pixels
_FEWEST = 20
_TILE = 32  # pixels
_WIDEST = 64  # features; of more, as many main components: the file is text
_PROBED = 16  # samples by which the cost of all is known


def write_projector(
    folder: Path,
    module: LightningModule,
    data: DataModule,
    rows: NDArray[np.int64],
    columns: Mapping[str, Sequence[str]],
    seconds: float = math.inf,
) -> int:
    """Write the projector's files into a run's folder; returns of how many samples, 0 where too few are affordable.

    Args:
        folder: of the run.
        module: trained, with a net that gives features; its modes and random numbers stay as they are.
        data: the data layer.
        rows: int64 (N,) of the table, the samples.
        columns: what is known of each of them, by name.
        seconds: CPU time that the features may take.
    """
    chosen = evenly(np.arange(len(rows)), MOST)
    with preserved_state(module), torch.no_grad():
        began = time.process_time()
        features.of_batch(module, data.batch_of(rows[chosen[:_PROBED]]))
        each = (time.process_time() - began) / min(len(chosen), _PROBED)
        affordable = int(min(len(chosen), seconds / max(each, 1e-9)))
        if affordable < min(_FEWEST, len(rows)):
            return 0
        chosen = evenly(chosen, affordable)
        values, pictures = _of_rows(module, data, rows[chosen])
    (folder / PROJECTOR).mkdir(exist_ok=True)
    write_text(folder / PROJECTOR / "features.tsv", _numbers(_main_components(values)))
    write_text(folder / PROJECTOR / "samples.tsv", _table(columns, chosen))
    if pictures is not None:
        _write_sprite(folder / PROJECTOR / "pictures.png", pictures)
    write_text(folder / PROJECTOR_CONFIG, _config(pictures is not None))
    return len(chosen)


def _of_rows(
    module: LightningModule, data: DataModule, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.uint8] | None]:
    """Features (N, D) and, where the net's input is a picture, pictures (N, 3, 32, 32)."""
    found = list(features.parts(module, data, rows))
    at = np.argsort(np.concatenate([part.places for part in found]))
    values = torch.cat([part.features for part in found]).double().numpy()[at]
    pictures = [_pictures(part.x) for part in found if part.x.ndim == 4]
    return values, torch.cat(pictures).numpy()[at] if pictures else None


def _pictures(x: Tensor) -> Tensor:
    """Inputs (B, C, H, W) as uint8 (B, 3, 32, 32), each from its lowest to its highest value."""
    small = nn.functional.adaptive_avg_pool2d(x[:, :3] if x.shape[1] >= 3 else x[:, :1], _TILE)
    low, high = small.amin((1, 2, 3), keepdim=True), small.amax((1, 2, 3), keepdim=True)
    return ((small - low) / (high - low).clamp(min=1e-9) * 255).byte().expand(-1, 3, -1, -1)


def _main_components(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, D) as they are up to 64 features; of more the 64 main components (N, 64)."""
    if features.shape[1] <= _WIDEST:
        return features
    centred = features - features.mean(axis=0)
    # a flattened picture has tens of thousands of features: (N, N), not (D, D)
    if len(centred) < centred.shape[1]:
        variances, scores = np.linalg.eigh(centred @ centred.T)
        return scores[:, : -_WIDEST - 1 : -1] * np.sqrt(variances[: -_WIDEST - 1 : -1].clip(0))
    _, vectors = np.linalg.eigh(centred.T @ centred)  # by rising variance
    return centred @ vectors[:, : -_WIDEST - 1 : -1]


def _numbers(features: NDArray[np.float64]) -> str:
    line = "\t".join(["%.4g"] * features.shape[1]) + "\n"
    return (line * len(features)) % tuple(features.ravel().tolist())


def _table(columns: Mapping[str, Sequence[str]], chosen: NDArray[np.int64]) -> str:
    """A header and a line a sample; tabs and line ends in names would shift what follows."""
    lines = [
        columns,
        *zip(*([printable(str(values[i])) for i in chosen] for values in columns.values()), strict=True),
    ]
    return "".join("\t".join(" ".join(cell.split()) for cell in line) + "\n" for line in lines)


def _write_sprite(path: Path, pictures: NDArray[np.uint8]) -> None:
    """All in rows of equally many, as TensorBoard wants them."""
    side = math.ceil(math.sqrt(len(pictures)))
    tiles = np.zeros((side * side, 3, _TILE, _TILE), np.uint8)
    tiles[: len(pictures)] = pictures
    arranged = tiles.reshape(side, side, 3, _TILE, _TILE).transpose(0, 3, 1, 4, 2)
    with atomic_write(path) as file:
        Image.fromarray(np.ascontiguousarray(arranged).reshape(side * _TILE, side * _TILE, 3)).save(
            file, "png", compress_level=1
        )


def _config(has_pictures: bool) -> str:
    """The text of a ProjectorConfig, with paths below the run's folder."""
    sprite = (
        f'  sprite {{ image_path: "{PROJECTOR}/pictures.png" single_image_dim: {_TILE} '
        f"single_image_dim: {_TILE} }}\n"
    )
    return (
        'embeddings {\n  tensor_name: "validation features"\n'
        f'  tensor_path: "{PROJECTOR}/features.tsv"\n  metadata_path: "{PROJECTOR}/samples.tsv"\n'
        f"{sprite if has_pictures else ''}}}\n"
    )
