"""A batch as the net sees it, in TensorBoard: pictures, sounds with their log-mel, texts with their tokens."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leyden.callbacks.captures import Seen
from leyden.callbacks.tensorboard_figures import SECONDS, sounds_figure, write_figure
from leyden.callbacks.tensorboard_tags import part_of_tag
from leyden.data import preview
from leyden.data.datamodule import DataModule
from leyden.data.tokenizers import UNKNOWN_ID
from leyden.data.transforms.audio import as_float
from leyden.reporting import markdown
from leyden.reporting.plots.samples import samples_figure
from leyden.tasks.epoch_views import truths

PICTURES, SOUNDS, TEXTS = 9, 6, 8  # samples that are shown
_TOKENS = 80  # of a text
_VIRIDIS = mpl.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]


def shown_of(data: DataModule) -> int:
    """How many samples of a batch are shown."""
    return TEXTS if data.modality.is_text else SOUNDS if data.modality.is_sound else PICTURES


def shown_input(name: str, seen: Seen, data: DataModule) -> tuple[Seen, DataModule]:
    """What was seen of an input, and the data module of its own rows; of data with one input ("") both as they are."""
    if not name:
        return seen, data
    ((_, part, rows, _),) = [v for v in preview.views(data, seen.batch.rows.numpy()) if v[0] == name]
    return seen._replace(batch=seen.batch._replace(rows=torch.from_numpy(rows))), part


def write_inputs(writer: Any, tag: str, seen: Seen, data: DataModule, title: str, step: int) -> None:
    """Write the samples under `tag`: as pictures, with sounds under tags below it, or as a table of texts.

    Args:
        writer: a torch SummaryWriter.
        tag: of the batch.
        seen: its first samples.
        data: the data layer, for names and texts.
        title: of the pictures.
        step: that it is filed under.
    """
    words = labels(seen, data)
    if data.modality.is_text:
        writer.add_text(tag, _texts(seen, words, data), step)
        return
    if data.modality.is_written:
        said = [preview.text(data, int(row)) for row in seen.batch.rows]
        writer.add_text(
            tag, markdown.table_of_texts(("label", data.modality.name), zip(words, said, strict=True)), step
        )
        return
    if data.modality.is_sound:
        _write_sounds(writer, tag, seen, words, data, title, step)
        return
    drawn, scale = pictures(seen.inputs.float().numpy())
    write_figure(writer, tag, samples_figure(drawn, words, f"{title}; {scale}"), step)


def _write_sounds(
    writer: Any, tag: str, seen: Seen, words: Sequence[str], data: DataModule, title: str, step: int
) -> None:
    """Each recording with its number and label in the tag, and the picture of all with the same numbers."""
    rate = data.spec.sample_rate
    given = as_float(seen.batch.input.values if seen.given is None else seen.given)
    lengths = seen.batch.input.lengths if seen.given is None else seen.lengths
    ends = [given.shape[1]] * len(given) if lengths is None else lengths.tolist()
    waves = [wave[: min(end, SECONDS * rate)].numpy() for wave, end in zip(given, ends, strict=True)]
    captions = [f"{place}: {word}" for place, word in enumerate(words, 1)]
    for caption, wave in zip(captions, waves, strict=True):
        writer.add_audio(f"{tag}/{part_of_tag(caption)}", np.clip(wave, -1, 1)[None], step, sample_rate=rate)
    if seen.inputs.ndim == 4:
        drawn, scale = pictures(seen.inputs.float().numpy(), is_spectrogram=True)
        figure = samples_figure(drawn, captions, f"{title}; {scale}")
    else:
        figure = sounds_figure(waves, captions, title, rate)
    write_figure(writer, tag, figure, step)


def labels(seen: Seen, data: DataModule) -> list[str]:
    """What each sample is, in words; of a mixed one both targets with their weights."""

    def words(targets: Tensor) -> list[str]:
        return truths(targets.numpy(), data.kind, data.spec.target_names)

    first, mix = words(seen.batch.targets), seen.batch.mix
    if mix is None:
        return first
    parts = zip(mix.weight.flatten().tolist(), first, words(mix.partner), strict=True)
    return [f"{w:.2f} {one} + {1 - w:.2f} {other}" for w, one, other in parts]


def pictures(inputs: NDArray[Any], is_spectrogram: bool = False) -> tuple[list[NDArray[np.uint8]], str]:
    """Inputs (n, C, H, W), (n, C, T) or (n, F) as pictures uint8 (n, C, H, W), and their scale in words.

    One linear scale for the batch, from its lowest value to its highest; low frequencies of a spectrogram are below.
    """
    shaped = inputs.reshape(len(inputs), -1, *inputs.shape[-2:]) if inputs.ndim > 3 else inputs
    if inputs.ndim < 4:
        shaped = inputs.reshape(len(inputs), 1, -1, inputs.shape[-1])
    low, high = float(shaped.min()), float(shaped.max())
    bytes_ = np.rint((shaped - low) / ((high - low) or 1.0) * 255).astype(np.uint8)
    if not is_spectrogram:
        return list(bytes_), f"black = {low:.3g}, white = {high:.3g}"
    coloured = np.moveaxis(_VIRIDIS[bytes_[:, 0, ::-1]], -1, 1)
    return list(coloured), f"dark = {low:.3g}, yellow = {high:.3g}"


def _texts(seen: Seen, words: Sequence[str], data: DataModule) -> str:
    """A table: label, text, and the tokens of which the net gets the ids, with what it does not know marked."""
    assert data.tokenizer is not None
    rows = seen.batch.rows.numpy()
    before, lengths = data.inputs.gather(rows)
    assert lengths is not None
    ids = before if seen.given is None else seen.given
    lines = [
        (word, preview.text(data, int(row)), tokens_shown(was[:n], now[:n], data.tokenizer))
        for word, row, was, now, n in zip(words, rows, before, ids, lengths.tolist(), strict=True)
    ]
    return markdown.table_of_texts(("label", "text", "tokens as the net gets them"), lines)


def tokens_shown(before: Tensor, after: Tensor, tokenizer: Any) -> markdown.Markup:
    """Tokens (n,) in a row; **unknown** ones have no id of their own, *dropped* ones were made unknown in training."""
    parts = []
    tokens = tokenizer.tokens(before[:_TOKENS].tolist())
    for token, was, now in zip(tokens, before.tolist(), after.tolist(), strict=False):
        if was == UNKNOWN_ID:
            parts.append("**[unknown]**")
        else:
            parts.append(f"*[dropped: {markdown.escape(token)}]*" if now != was else markdown.escape(token))
    return markdown.Markup(" ".join([*parts, *(["..."] if len(before) > _TOKENS else [])]))
