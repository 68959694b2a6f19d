"""`leyden predict RUN FILE...`: the class of images, of the lines of text files, or of recordings.

leyden predict RUN a.png b.png
leyden predict RUN messages.txt --format csv     # each line is a text; - reads standard input
leyden predict RUN *.wav --top 3 --format json
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leyden.arguments import Arguments
from leyden.console import console
from leyden.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from leyden.batch import Batch
    from leyden.restore import Restored

_BATCH = 64


@dataclass(frozen=True)
class Prediction:
    """What a run says of one input: its answer at its operating point, then the most probable other classes."""

    name: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def main(arguments: Sequence[str]) -> int:
    """Print predictions as a table, CSV or JSON."""
    parser = Arguments(prog="leyden predict", description="Classes of files, by a finished run.")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument(
        "files", nargs="+", help="images, text files (a text a line; - is standard input) or recordings"
    )
    parser.add_argument(
        "--top", type=int, default=1, metavar="K", help="how many classes to show (default: 1)"
    )
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    given = parser.parse_args(arguments)
    if given.top < 1:
        raise UserError(f"--top {given.top}: must be at least 1")
    predictions = list(predict(given.run, given.files, given.top))
    _PRINT[given.format](predictions)
    return 0


def predict(folder: Path, files: Sequence[str], top: int = 1) -> Iterator[Prediction]:
    """Predictions in the order of the files (and of their lines).

    Raises:
        UserError: not a finished run, or files that cannot be read, all of them listed.
    """
    from leyden.runtime import load_torch, prepare

    load_torch()
    import torch

    from leyden.restore import restore

    restored = restore(folder)
    prepare(restored.config.threads)
    _verify_there(files)
    names, inputs = _read(restored, files)
    for start in range(0, len(inputs), _BATCH):
        batch = _batch(restored, inputs[start : start + _BATCH])
        with torch.inference_mode():
            logits = _logits(restored, batch)
        log_p = restored.point.log_probabilities(logits.numpy())
        answers = restored.point.decide(log_p)
        for name, row, answer in zip(names[start:], np.exp(log_p), answers, strict=False):
            ranked = np.argsort(-row, kind="stable")
            places = [answer, *ranked[ranked != answer]][:top]
            yield Prediction(
                name, tuple(restored.spec.class_names[i] for i in places), tuple(row[places].tolist())
            )


def _logits(restored: "Restored", batch: "Batch") -> "Tensor":
    """float64 (B, C); of a module of the user's own, whatever its forward(batch) gives."""
    module: Any = restored.module
    batch = module.prepare(batch) if hasattr(module, "prepare") else batch
    wanted = (
        f"{type(module).__name__}.forward(batch) must give logits (B, {restored.spec.num_classes}) to predict"
    )
    try:
        logits: Tensor = module(batch)
    except NotImplementedError:
        raise UserError(f"{wanted}; it has no forward") from None
    if tuple(logits.shape) != (len(batch.labels), restored.spec.num_classes):
        raise UserError(f"{wanted}; it gives {tuple(logits.shape)} for B = {len(batch.labels)}")
    return logits.double()


def _verify_there(files: Sequence[str]) -> None:
    """Refuse a name that is no file, with the closest that is."""
    from leyden.data.sources.files import file_at

    for file in files:
        if Path(file).is_dir():
            raise UserError(f"{file} is a folder: give its files, {file.rstrip('/')}/*")
        if file != "-":
            file_at(file, "predict")


def _read(restored: "Restored", files: Sequence[str]) -> tuple[list[str], list[np.ndarray]]:
    """Name and decoded input of each; texts as token ids."""
    from leyden.data.decode import BadInput

    pieces, bad = [], []
    for name, decode in _pieces(restored, files):
        try:
            pieces.append((name, decode()))
        except BadInput as error:
            bad.append(str(error))
    if bad:
        more = f"\n  and {len(bad) - 20} more" if len(bad) > 20 else ""
        raise UserError(f"{len(bad)} input(s) cannot be decoded:\n  " + "\n  ".join(bad[:20]) + more)
    return [name for name, _ in pieces], [values for _, values in pieces]


def _pieces(restored: "Restored", files: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """(name, function that decodes it) of every input that the files hold."""
    spec = restored.spec
    for file in files:
        if spec.modality == "text":
            for number, line in enumerate(_lines(file), 1):
                yield line, partial(_ids, restored, line, f"{file}:{number}")
        else:
            yield file, partial(_image if spec.modality == "image" else _clip, restored, file)


def _lines(file: str) -> list[str]:
    try:
        text = (
            sys.stdin.read()
            if file == "-"
            else Path(file).read_text(encoding="utf-8", errors="surrogateescape")
        )
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    return text.splitlines()


def _ids(restored: "Restored", line: str, place: str) -> np.ndarray:
    from leyden.data.decode import decode_text

    assert restored.tokenizer is not None
    return restored.tokenizer.encode([bytes(decode_text(line, place)).decode()])[0]


def _clip(restored: "Restored", file: str) -> np.ndarray:
    from leyden.data.decode import decode_audio

    longest = restored.config.data.source.get("max_seconds")
    return decode_audio(file, sample_rate=restored.spec.sample_rate, max_seconds=longest)


def _image(restored: "Restored", file: str) -> np.ndarray:
    """In the size and the channels that the run was trained on; what is not square is not resized."""
    from leyden.data.decode import BadInput, decode_image

    height, width = restored.spec.image_size
    channels: Any = restored.spec.in_channels
    image = decode_image(file, size=height if height == width else None, channels=channels)
    if image.shape[1:] != (height, width):
        raise BadInput(file, f"is {image.shape[2]}x{image.shape[1]} pixels, the run needs {width}x{height}")
    return image


def _batch(restored: "Restored", inputs: list[np.ndarray]) -> "Batch":
    import torch

    from leyden.batch import Batch
    from leyden.data.columns import padded

    rows = torch.arange(len(inputs))
    if restored.spec.modality == "image":
        return Batch(torch.from_numpy(np.stack(inputs)), None, rows, rows, rows)
    values, lengths = padded(inputs, inputs[0].dtype)
    return Batch(values, lengths, rows, rows, rows)


def _table(predictions: Sequence[Prediction]) -> None:
    from leyden.reporting.tables import predictions_table

    rows = [{"name": p.name, "predicted": _answer(p), "probability": p.probabilities[0]} for p in predictions]
    console.print(predictions_table(rows, shown=len(rows)))


def _answer(prediction: Prediction) -> str:
    """The class, and after it the runners-up that were asked for."""
    pairs = zip(prediction.classes[1:], prediction.probabilities[1:], strict=True)
    return ", ".join([prediction.classes[0], *(f"{name} ({share:.3f})" for name, share in pairs)])


def _csv(predictions: Sequence[Prediction]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    top = len(predictions[0].classes) if predictions else 1
    writer.writerow(["input", *(f"{word}_{k + 1}" for k in range(top) for word in ("class", "probability"))])
    for p in predictions:
        pairs = zip(p.classes, p.probabilities, strict=True)
        writer.writerow([p.name, *(value for name, share in pairs for value in (name, f"{share:.6f}"))])


def _json(predictions: Sequence[Prediction]) -> None:
    print(json.dumps([vars(p) for p in predictions], indent=1, ensure_ascii=False))


_PRINT = {"table": _table, "csv": _csv, "json": _json}
