"""What differs by kind of input: one object for each modality, which shared code asks.

A source names its modality by the name of one that stands here ("image", "text", "audio"), or gives an object of a
class of the user's own that derives from `Modality`; transforms, frontends and modules name it by its `name`.
"""

import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from leyden.data import text_files
from leyden.data.decode import BadInput, decode_audio, decode_image, decode_text
from leyden.data.predicted_tables import table_paths, table_texts
from leyden.data.sources.tables import is_table
from leyden.data.spec import DataSpec
from leyden.data.text_keys import normal_form
from leyden.utils.errors import UserError
from leyden.utils.text import indented_lines, plural

Values = NDArray[Any]  # one decoded input
_SKETCHED = 64  # numbers in the sketch of a text or a recording
Shapes = Counter[tuple[int, ...]]


class Modality:
    """A kind of input; the defaults are those of dense arrays of one shape, such as (channels, steps).

    Attributes:
        name: by which transforms, frontends, modules and batches call it.
        dtype: of decoded values.
        is_ragged: whether inputs differ in length: stored as values and offsets, and padded in a batch.
        is_discrete: whether values are ids, which cannot be averaged (mixup).
        needs_tokenizer: whether a tokenizer makes the net's inputs of the decoded ones.
        may_stay_files: whether inputs too large for memory may be decoded when a batch asks for them.
        attribute_to: what explanations are spread over: the net's "inputs", its "embedding", frontend "features", or
            "cells" of a table, which can be emptied.
        is_text, is_sound: how samples are shown: as text, or drawn and played.
        is_written: whether samples are shown as words, which `written` gives.
        may_repeat: whether equal inputs of different samples are usual, and no sign of copies.
        is_several: whether a row has several inputs, each of a modality of its own.
    """

    name: ClassVar[str] = "array"
    dtype: ClassVar[Any] = np.float32
    is_ragged: ClassVar[bool] = False
    is_discrete: ClassVar[bool] = False
    needs_tokenizer: ClassVar[bool] = False
    may_stay_files: ClassVar[bool] = True
    attribute_to: ClassVar[Literal["inputs", "embedding", "features", "cells"]] = "inputs"
    is_text: ClassVar[bool] = False
    is_sound: ClassVar[bool] = False
    is_written: ClassVar[bool] = False
    may_repeat: ClassVar[bool] = False
    is_several: ClassVar[bool] = False

    def key(self, values: Values) -> bytes:
        """Equal for two inputs that are the same."""
        return bytes(values.tobytes())

    def facts(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Fields of a DataSpec that follow from the shape of one input; () where they differ."""
        return {"in_channels": shape[0]} if shape else {}

    def measures(self, values: Values, sample_rate: int) -> dict[str, float]:
        """What one decoded input is like, in a few numbers by name, by which slices of errors are told.

        sample_rate: Hz; 0 where there is none.
        """
        numbers = values.astype(np.float64)
        found = {"mean": float(numbers.mean()), "deviation": float(numbers.std())} if values.size else {}
        return {**found, "length": float(len(values))} if self.is_ragged else found

    def sketch(self, values: Values) -> NDArray[np.float64]:
        """A coarse description (D,) of one decoded input, made without any net: inputs that are alike lie close."""
        numbers = values.astype(np.float64)
        return np.concatenate([np.ravel(numbers.mean(axis=-1)), np.ravel(numbers.std(axis=-1))])

    def describe(self, spec: DataSpec, length: int | None = None) -> str:
        """One input in words. length: of a ragged one, in stored values."""
        return f"{self.name} of {plural(spec.in_channels, 'channel')}"

    def describe_lengths(self, spec: DataSpec, lengths: NDArray[np.int64]) -> str:
        """The lengths of ragged inputs (N,) in words."""
        return f"{self.name} of {_spread(lengths)} values"

    def shape_advice(self, shapes: Shapes, examples: Mapping[tuple[int, ...], str]) -> str:
        """What to say of inputs that should have one shape and have several. examples: the name of one of each."""
        lines = [
            f"{shape}: {plural(n, 'input')}, e.g. {examples[shape]}" for shape, n in shapes.most_common()
        ]
        return f"the inputs differ in shape, one is expected. Found:{indented_lines(lines)}"

    def drawing(self, values: Values) -> Values:
        """What a sample is drawn from: a picture uint8 (C, H, W), or a curve (n,). Of (channels, steps): a picture."""
        if values.ndim != 2:
            return values
        low, high = float(values.min(initial=0)), float(values.max(initial=0))
        scaled = (values - low) / ((high - low) or 1.0) * 255
        return scaled[None].astype(np.uint8)

    def written(self, values: Values, spec: DataSpec) -> str:
        """A sample in words, where `is_written`."""
        raise NotImplementedError

    def cells(self, values: Values, spec: DataSpec) -> tuple[str, ...]:
        """What each value is of, in words; of most inputs a value has no name, and there are none."""
        return ()

    def side_by_side(self, one: Values, other: Values) -> Values:
        """Two drawings in one."""
        return np.concatenate([one, other], axis=-1)

    def from_array(self, values: Values, spec: DataSpec) -> list[Values]:
        """Inputs as they are stored, of an array with one or several of them, for prediction.

        Raises:
            UserError: its shape is not the one that the run was trained on.
        """
        return [values.astype(self.dtype)]

    def encode(self, text: str, tokenizer: Any) -> Values:
        """A text as the net's input; only of a modality that is text."""
        raise UserError(f"predict: {self.name} takes arrays or files, not texts")

    def read(
        self, file: str, spec: DataSpec, tokenizer: Any, source: Mapping[str, Any]
    ) -> Iterator[tuple[str, Callable[[], Values]]]:
        """(name, function that decodes it) of every input that a file holds, for prediction.

        Args:
            file: as typed.
            spec: facts of the data that the run was trained on.
            tokenizer: of the run, fitted; None: it has none.
            source: configuration of the run's source.

        Raises:
            UserError: the modality reads no files.
        """
        raise UserError(
            f"{file}: modality {self.name} reads no files for prediction; use leyden.load(RUN) in Python"
        )


def _spread(values: NDArray[Any]) -> str:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return f"{low:.3g} to {high:.3g} (median {middle:.3g})"


class Image(Modality):
    """Pictures uint8 (C, H, W) of one size."""

    name: ClassVar[str] = "image"
    dtype: ClassVar[Any] = np.uint8

    def facts(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Channels, height and width."""
        return {"in_channels": shape[0], "image_size": (shape[1], shape[2])}

    def measures(self, values: Values, sample_rate: int) -> dict[str, float]:
        """Mean and standard deviation of all values, as shares of the full range."""
        return {"brightness": float(values.mean()) / 255, "contrast": float(values.std()) / 255}

    def sketch(self, values: Values) -> NDArray[np.float64]:
        """The picture at 8 x 8 pixels or fewer."""
        found = values / 255
        for axis in (1, 2):
            starts = np.unique(np.linspace(0, values.shape[axis], 9)[:-1].astype(np.int64))
            found = np.add.reduceat(found, starts, axis) / (values.shape[axis] / len(starts))
        return found.ravel()

    def describe(self, spec: DataSpec, length: int | None = None) -> str:
        """Channels x height x width."""
        return f"{spec.in_channels} x {spec.image_size[0]} x {spec.image_size[1]}"

    def shape_advice(self, shapes: Shapes, examples: Mapping[tuple[int, ...], str]) -> str:
        """Sizes, then channels, with what to type."""
        lines = [
            f"{w}x{h} pixels, {plural(c, 'channel')}: {plural(n, 'image')}, e.g. {examples[c, h, w]}"
            for (c, h, w), n in shapes.most_common()
        ]
        sizes = {shape[1:] for shape in shapes}
        advice = []
        if len(sizes) > 1:
            shorter = int(np.median([min(shape[1:]) for shape in shapes.elements()]))
            advice.append(f"data.source.size={shorter} (shorter side resized, centre cropped)")
        if len({shape[0] for shape in shapes}) > 1:
            advice.append("data.source.channels=3 (or 1 for grey)")
        return f"the images differ in shape: give {' and '.join(advice)}. Found:{indented_lines(lines)}"

    def from_array(self, values: Values, spec: DataSpec) -> list[Values]:
        """uint8 (C, H, W) or (N, C, H, W) of the run's channels and size; of one channel also (H, W) or (N, H, W)."""
        wanted = (spec.in_channels, *spec.image_size)
        if spec.in_channels == 1 and values.shape[-3:] != wanted:
            values = np.expand_dims(values, -3)  # the channel
        if values.ndim not in (3, 4) or values.shape[-3:] != wanted or values.dtype != np.uint8:
            several = ", ".join(map(str, wanted))
            raise UserError(
                f"predict: an array is {values.dtype} {values.shape}; expected uint8 ({several}) or (N, {several})"
            )
        return list(values.reshape(-1, *wanted))

    def side_by_side(self, one: Values, other: Values) -> Values:
        """With a white gap between them."""
        gap = np.full((*one.shape[:2], max(1, one.shape[2] // 8)), 255, np.uint8)
        return np.concatenate([one, gap, other], axis=2)

    def read(
        self, file: str, spec: DataSpec, tokenizer: Any, source: Mapping[str, Any]
    ) -> Iterator[tuple[str, Callable[[], Values]]]:
        """One picture a file or a row of a table, as large as the run's; what is not square is not resized."""
        for path in table_paths(file, source):
            yield path, partial(_read_image, path, spec, source)


def _read_image(file: str, spec: DataSpec, source: Mapping[str, Any]) -> Values:
    height, width = spec.image_size
    channels: Any = spec.in_channels
    size = height if height == width else None
    limits = {name: source[name] for name in ("value_range", "max_pixels") if name in source}
    image = decode_image(file, "", size, channels, **limits)
    if image.shape[1:] != (height, width):
        raise BadInput(file, f"is {image.shape[2]}x{image.shape[1]} pixels, the run needs {width}x{height}")
    return image


class Text(Modality):
    """Texts as UTF-8 bytes uint8 (n,); the net reads token ids."""

    name: ClassVar[str] = "text"
    dtype: ClassVar[Any] = np.uint8
    is_ragged: ClassVar[bool] = True
    is_discrete: ClassVar[bool] = True
    needs_tokenizer: ClassVar[bool] = True
    may_stay_files: ClassVar[bool] = False
    attribute_to: ClassVar[Literal["inputs", "embedding", "features"]] = "embedding"
    is_text: ClassVar[bool] = True
    is_written: ClassVar[bool] = True

    def key(self, values: Values) -> bytes:
        """The same text, whatever case, spaces and Unicode form."""
        return normal_form(bytes(values).decode()).encode()

    def facts(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """None."""
        return {}

    def measures(self, values: Values, sample_rate: int) -> dict[str, float]:
        """Words between spaces, and characters."""
        text = bytes(values).decode()
        return {"words": float(len(text.split())), "characters": float(len(text))}

    def sketch(self, values: Values) -> NDArray[np.float64]:
        """How often words of 64 kinds occur, as a direction: the kind is a hash."""
        words = normal_form(bytes(values).decode()).encode().split()
        counts = np.bincount([zlib.crc32(word) % _SKETCHED for word in words], minlength=_SKETCHED)
        return counts / max(1.0, float(np.linalg.norm(counts)))

    def written(self, values: Values, spec: DataSpec) -> str:
        """The text."""
        return bytes(values).decode("utf-8", "replace")

    def describe(self, spec: DataSpec, length: int | None = None) -> str:
        """In tokens."""
        return f"{length} tokens (median)"

    def describe_lengths(self, spec: DataSpec, lengths: NDArray[np.int64]) -> str:
        """In tokens."""
        return f"text of {_spread(lengths)} tokens"

    def encode(self, text: str, tokenizer: Any) -> Values:
        """Token ids (n,)."""
        return _read_text(text, "the text", tokenizer)

    def read(
        self, file: str, spec: DataSpec, tokenizer: Any, source: Mapping[str, Any]
    ) -> Iterator[tuple[str, Callable[[], Values]]]:
        """A text a line, or a row of a table; - is standard input."""
        if is_table(Path(file)):
            for place, text in table_texts(file, source):
                yield place, partial(_read_text, text, place, tokenizer)
            return
        for number, line in enumerate(_lines(file), 1):
            yield line, partial(_read_text, line, f"{file}:{number}", tokenizer)


def _lines(file: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    return text_files.lines(text_files.decoded(content, file))


def _read_text(line: str, place: str, tokenizer: Any) -> Values:
    ids: Values = tokenizer.encode([bytes(decode_text(line, place)).decode()])[0]
    return ids


class Audio(Modality):
    """Recordings int16 (n,)."""

    name: ClassVar[str] = "audio"
    dtype: ClassVar[Any] = np.int16
    is_ragged: ClassVar[bool] = True
    attribute_to: ClassVar[Literal["inputs", "embedding", "features"]] = "features"
    is_sound: ClassVar[bool] = True

    def facts(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """None."""
        return {}

    def measures(self, values: Values, sample_rate: int) -> dict[str, float]:
        """Seconds, and the root mean square in decibels below a full-scale square wave; -120 is silence."""
        power = float(np.mean(np.square(values / 32768))) if len(values) else 0.0
        return {"seconds": len(values) / (sample_rate or 1), "loudness in dB": 10 * np.log10(power + 1e-12)}

    def sketch(self, values: Values) -> NDArray[np.float64]:
        """The logarithm of the power in 64 bands of equal width, over the whole recording."""
        power = np.abs(np.fft.rfft(values / 32768, max(2 * _SKETCHED, len(values)))) ** 2
        return np.log10([band.mean() + 1e-12 for band in np.array_split(power, _SKETCHED)])

    def describe(self, spec: DataSpec, length: int | None = None) -> str:
        """In seconds."""
        return f"{(length or 0) / spec.sample_rate:.2f} s of audio (median)"

    def describe_lengths(self, spec: DataSpec, lengths: NDArray[np.int64]) -> str:
        """In seconds, with the sample rate."""
        return f"audio of {_spread(lengths / (spec.sample_rate or 1))} seconds, at {spec.sample_rate:,} Hz"

    def from_array(self, values: Values, spec: DataSpec) -> list[Values]:
        """(n,) int16, or float in -1 .. 1, at the run's sample rate."""
        if values.ndim != 1 or not len(values):
            raise UserError(
                f"predict: a recording has shape {values.shape}; expected (samples,), one channel"
            )
        if np.issubdtype(values.dtype, np.floating):
            return [np.rint(np.clip(values, -1, 1) * 32767).astype(np.int16)]
        return [values.astype(np.int16)]

    def side_by_side(self, one: Values, other: Values) -> Values:
        """With silence between them."""
        return np.concatenate([one, np.zeros(max(len(one), len(other)) // 8, np.int16), other])

    def read(
        self, file: str, spec: DataSpec, tokenizer: Any, source: Mapping[str, Any]
    ) -> Iterator[tuple[str, Callable[[], Values]]]:
        """One recording a file or a row of a table, at the run's sample rate."""
        longest = source.get("max_seconds")
        for path in table_paths(file, source):
            yield path, partial(decode_audio, path, sample_rate=spec.sample_rate, max_seconds=longest)


MODALITIES: dict[str, Modality] = {m.name: m for m in (Image(), Text(), Audio())}


def modality_of(source: Any) -> Modality:
    """The modality of a source, or of its class.

    Raises:
        UserError: it names one that there is not, or none.
    """
    named = getattr(source, "modality", None)
    if isinstance(named, Modality):
        return named
    if named in MODALITIES:
        return MODALITIES[named]
    raise UserError(
        f"data.source: {getattr(source, '__name__', type(source).__name__)}.modality is {named!r}; expected "
        f"{', '.join(map(repr, MODALITIES))} or an object of a class derived from leyden.data.modalities.Modality"
    )
