"""Classes and probabilities of new inputs by a finished run: image files, lines of text files, recordings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leyden.inference.long_recordings import LONG, outputs_in_stretches
from leyden.inference.named_inputs import SampleReader, batch_of_samples, column_of
from leyden.utils.errors import UserError
from leyden.utils.text import indented_lines, plural

if TYPE_CHECKING:
    from torch import Tensor

    from leyden.data.batch import Batch
    from leyden.inference.load import LoadedRun
    from leyden.tasks.base import Task


_BATCH = 64


@dataclass(frozen=True)
class Prediction:
    """What a run says of one input: its name, and the task's answer as plain values (see `leyden.tasks`)."""

    name: str
    answer: dict[str, Any]


def predict(
    folder: Path,
    files: Sequence[str],
    top: int = 1,
    config_dirs: Sequence[str] = (),
    words: bool = False,
    gallery: Sequence[str] = (),
) -> tuple["Task", list[Prediction]]:
    """The run's task, and its predictions in the order of the files (and of their lines); with the times of words.

    With a gallery, files as well, the prediction of a sample is the `top` samples of it that are nearest.

    Raises:
        UserError: not a finished run, or files that cannot be read, all of them listed.
    """
    from leyden.utils.runtime import load_torch, prepare

    load_torch()
    from leyden.inference.load import load

    run = load(folder, config_dirs)
    prepare(run.config.threads)
    names, inputs = read_files(run, files)
    if gallery:
        found = nearest_inputs(run, inputs, *read_files(run, gallery, skip_empty=True), top)
        return run.task, [Prediction(*named) for named in zip(names, found, strict=True)]
    return run.task, list(predict_inputs(run, names, inputs, top, words))


def predict_inputs(
    run: "LoadedRun", names: Sequence[str], inputs: Sequence[Any], top: int = 1, words: bool = False
) -> Iterator[Prediction]:
    """Predictions of named inputs, decoded: uint8 (C, H, W), token ids (n,), int16 (n,), or several by their names.

    With `words` an answer has the task's words, too, with their times.
    """
    import torch

    for start in range(0, len(inputs), _BATCH):
        part = inputs[start : start + _BATCH]
        with torch.inference_mode():
            outputs = _outputs(run, part)
        answers = list(run.task.answers(outputs, run.spec, run.decision, top))
        if words:
            seconds = [len(x) / (run.spec.sample_rate or 1) for x in part]
            timed = run.task.words(outputs, run.spec, run.decision, seconds)
            answers = [{**a, "words": w} for a, w in zip(answers, timed, strict=True)]
        for name, answer in zip(names[start : start + _BATCH], answers, strict=True):
            yield Prediction(name, answer)


def nearest_inputs(
    run: "LoadedRun", inputs: Sequence[Any], names: Sequence[str], gallery: Sequence[Any], top: int = 1
) -> Iterator[dict[str, Any]]:
    """{"nearest": [{by, rank, found, similarity}]} of each decoded sample, among the named ones of a gallery.

    Raises:
        UserError: the run's task has no embeddings.
    """
    embeddings, others = _all_outputs(run, inputs), _all_outputs(run, gallery)
    for found in run.task.nearest(embeddings, others, run.spec, names, top):
        yield {"nearest": found}


def _all_outputs(run: "LoadedRun", inputs: Sequence[Any]) -> np.ndarray:
    """float64 (N, ...), computed in batches; of a task whose outputs have one shape."""
    import torch

    with torch.inference_mode():
        parts = [_outputs(run, inputs[start : start + _BATCH]) for start in range(0, len(inputs), _BATCH)]
    return np.concatenate(parts)


def _outputs(run: "LoadedRun", inputs: Sequence[Any]) -> np.ndarray:
    """float64 (B, ...) of decoded inputs; long recordings of a run that answers frames are read in stretches."""

    def read(part: Sequence[Any]) -> np.ndarray:
        found: np.ndarray = outputs_of(run, prepared(run, batch_of(run, part))).numpy()
        return found

    rate = run.spec.sample_rate
    if hasattr(run.module, "frames") and max(map(len, inputs)) > LONG * rate:
        return outputs_in_stretches(inputs, rate, lambda wave: read([wave])[0])
    return read(inputs)


def prepared(run: "LoadedRun", batch: "Batch") -> "Batch":
    """The batch as the net gets it; of a module of the user's own that does not prepare, as it is."""
    module: Any = run.module
    made: Batch = module.prepare(batch) if hasattr(module, "prepare") else batch
    return made


def outputs_of(run: "LoadedRun", batch: "Batch") -> "Tensor":
    """float64 (B, num_outputs) of a prepared batch, of transcripts (B, T, num_outputs).

    Of a module of the user's own, whatever its forward(batch) gives.

    Raises:
        UserError: it has no forward, or gives something else.
    """
    module: Any = run.module
    shape = (len(batch.rows), *run.task.any_outputs(1, run.spec, run.decision).shape[1:])
    letters = ("B", "T", shape[-1]) if len(shape) > 2 else ("B", shape[-1])
    wanted = f"{type(module).__name__}.forward(batch) must give ({', '.join(map(str, letters))})"
    try:
        outputs: Tensor = module(batch)
    except NotImplementedError:
        raise UserError(f"{wanted}; it has no forward") from None
    if outputs.ndim != len(shape) or (outputs.shape[0], outputs.shape[-1]) != (shape[0], shape[-1]):
        raise UserError(f"{wanted}; it gives {tuple(outputs.shape)} for B = {len(batch.rows)}")
    evaluated = getattr(module, "evaluated_outputs", lambda given, of: given)
    found: Tensor = evaluated(outputs.float(), batch).double()
    return found


def _verify_there(files: Sequence[str], command: str) -> None:
    """Refuse a name that is no file, with the closest that is."""
    from leyden.data.sources.file_lists import file_at

    for file in files:
        if Path(file).is_dir():
            raise UserError(f"{file} is a folder: give its files, {file.rstrip('/')}/*")
        if file != "-":
            file_at(file, command)


def read_files(
    restored: "LoadedRun", files: Sequence[str], command: str = "predict", skip_empty: bool = False
) -> tuple[list[str], list[Any]]:
    """Name and decoded input of each that the files hold; texts as token ids; of a run with several, samples by name.

    skip_empty: rows of tables that have none of the inputs are left out.

    Raises:
        UserError: files that are not there or cannot be read, all of them listed.
    """
    from leyden.data.decode import BadInput

    several = restored.modality.is_several
    if not several:
        _verify_there(files, command)
    pieces, bad = [], []
    samples = SampleReader(restored, skip_empty).read(files) if several else _pieces(restored, files)
    for name, decode in samples:
        try:
            pieces.append((name, decode()))
        except BadInput as error:
            bad.append(str(error))
    if bad:
        raise UserError(f"{plural(len(bad), 'input')} cannot be decoded:{indented_lines(bad)}")
    return [name for name, _ in pieces], [values for _, values in pieces]


def _pieces(run: "LoadedRun", files: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """(name, function that decodes it) of every input that the files hold."""
    for file in files:
        yield from run.modality.read(file, run.spec, run.tokenizer, run.config.data.source)


def batch_of(run: "LoadedRun", inputs: Sequence[Any]) -> "Batch":
    """Decoded inputs as one batch; their numbers stand for rows and targets."""
    import torch

    from leyden.data.batch import Batch

    if run.modality.is_several:
        return batch_of_samples(run, inputs)
    rows = torch.arange(len(inputs))
    return Batch({run.modality.name: column_of(run.modality, inputs)}, rows, rows, rows)
