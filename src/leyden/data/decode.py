"""Decoding of one image, one text or one audio file: the same code for training and for `leyden predict`."""

import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
AUDIO_ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus")

# What Pillow raises for damaged files, besides OSError: each format's parser has its own.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    KeyError,
    IndexError,
    struct.error,
    zlib.error,
)


class BadInput(Exception):
    """One input that cannot be decoded: its name (file or file:line) and the reason."""

    def __init__(self, name: str, reason: str) -> None:
        """See the class."""
        super().__init__(name, reason)  # both, so that it survives pickling on its way out of a worker
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        """Name and reason."""
        return f"{self.name}: {self.reason}"


def _content(file: Path | str | bytes, name: str) -> bytes:
    if isinstance(file, bytes):
        content = file
    else:
        try:
            content = Path(file).read_bytes()
        except OSError as error:
            raise BadInput(name, f"cannot be read: {error.strerror}") from error
    if not content:
        raise BadInput(name, "is empty (0 bytes)")
    return content


def decode_image(
    file: Path | str | bytes,
    name: str = "",
    size: int | None = None,
    channels: Literal[1, 3] | None = None,
) -> np.ndarray:
    """uint8 (C, H, W) of an image file or of its bytes; raises BadInput, which calls it `name`.

    size: the shorter side is resized to it (bicubic, antialiased) and the centre is cropped: (C, size, size).
    channels: 1 grey or 3 colour; None keeps what the file has. The EXIF orientation is applied, transparency
    is laid on white, 16-bit values are scaled to 8 bits over their full range.
    """
    from PIL import Image, ImageOps

    name = name or (os.fspath(file) if not isinstance(file, bytes) else "image")
    content = _content(file, name)
    try:
        with Image.open(io.BytesIO(content)) as opened:
            opened.load()
            image = _eight_bit(ImageOps.exif_transpose(opened), channels)
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        reason = "is no known image format" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise BadInput(name, reason or type(error).__name__) from error
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    values = np.asarray(image)
    return values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


def image_size(file: Path | str) -> tuple[int, int] | None:
    """(width, height) in an image file's header; None where the header cannot be read."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            return opened.size
    except (*_DAMAGED, Image.DecompressionBombError):
        return None


def _eight_bit(image: "Image.Image", channels: int | None) -> "Image.Image":
    """The image in mode L or RGB."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_scaled(np.asarray(image)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        grey = image.mode in ("LA", "La", "L")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if grey else "RGB")
    keep = "L" if image.mode in ("1", "L") else "RGB"
    mode = {None: keep, 1: "L", 3: "RGB"}[channels]
    return image if image.mode == mode else image.convert(mode)


def _scaled(values: np.ndarray) -> np.ndarray:
    """uint8 of 16-bit integers (0..65535), of 8-bit values stored wider, or of floats (0..1 or 0..255)."""
    if not np.isfinite(values).all():
        raise ValueError("has NaN or infinite values")
    if values.dtype.kind == "f":
        factor = 255.0 if values.max(initial=0) <= 1 else 1.0
    else:
        factor = 255 / 65535 if values.dtype.itemsize == 2 or values.max(initial=0) > 255 else 1.0
    return np.clip(np.rint(values * factor), 0, 255).astype(np.uint8)


def decode_text(text: str | bytes, name: str) -> np.ndarray:
    """The text's UTF-8 bytes, uint8 (n,); raises BadInput for empty text and for what is no UTF-8.

    A str may hold undecodable bytes as surrogates (errors="surrogateescape"): these are found here.
    """
    try:
        content = text.encode() if isinstance(text, str) else text
        empty = not content.decode().strip()
    except UnicodeEncodeError as error:
        raise BadInput(name, f"is not UTF-8 (character {error.start + 1} of the text)") from error
    except UnicodeDecodeError as error:
        raise BadInput(name, f"is not UTF-8 (byte {error.start + 1} of the text)") from error
    if empty:
        raise BadInput(name, "has no text")
    return np.frombuffer(content, dtype=np.uint8)


def decode_audio(
    file: Path | str | bytes,
    name: str = "",
    sample_rate: int | None = None,
    max_seconds: float | None = None,
) -> np.ndarray:
    """int16 (n,) of an audio file or its bytes: channels averaged, resampled to `sample_rate` (Hz), clipped.

    sample_rate None keeps the file's. Only the first max_seconds are read. Raises BadInput, which calls it
    `name`, for a damaged or empty file and for NaN or infinite samples; digital silence is allowed.
    """
    import soundfile

    name = name or (os.fspath(file) if not isinstance(file, bytes) else "audio")
    content = _content(file, name)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as opened:
            frames = -1 if max_seconds is None else max(1, round(max_seconds * opened.samplerate))
            kind = "int16" if opened.subtype in ("PCM_16", "PCM_S8", "PCM_U8") else "float32"
            values, rate = opened.read(frames, dtype=kind, always_2d=True), opened.samplerate
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError) as error:
        raise BadInput(
            name, str(error).removeprefix("Error opening ").strip() or "cannot be decoded"
        ) from error
    if not len(values):
        raise BadInput(name, "has no samples")
    if not np.isfinite(values).all():
        raise BadInput(name, "has NaN or infinite samples")
    return _mono(values, rate, sample_rate or rate)


def _mono(values: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """int16 (n,) at `wanted` Hz from (frames, channels) int16, or float32 in -1..1."""
    if values.dtype == np.int16 and values.shape[1] == 1 and rate == wanted:
        return values[:, 0]
    scale = 1.0 if values.dtype == np.int16 else 32768.0
    mono = values.mean(axis=1, dtype=np.float64) * scale
    if rate != wanted:
        from scipy.signal import resample_poly

        common = math.gcd(rate, wanted)
        mono = resample_poly(mono, wanted // common, rate // common)
    return np.clip(np.rint(mono), -32768, 32767).astype(np.int16)


def audio_rate(file: Path | str) -> int | None:
    """The sample rate (Hz) in a file's header; None where the header cannot be read."""
    import soundfile

    try:
        return int(soundfile.info(os.fspath(file)).samplerate)
    except (soundfile.LibsndfileError, OSError):
        return None
