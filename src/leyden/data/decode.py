"""Decoding of one image, one text or one audio file: the same code for training and for `leyden predict`."""

import io
import os
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif")
# Of files that are taken for inputs, damaged or not; another file is one if it can be opened.
IMAGE_ENDINGS = (
    *JPEG_ENDINGS,
    *(".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".avif", ".jp2"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"),
)
AUDIO_ENDINGS = (
    *(".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
)
# What Pillow needs other programs to read, and formats without a mark at the beginning, which anything may look like.
_NO_PICTURES = (
    *("BUFR", "EPS", "GRIB", "HDF5", "IMT", "IPTC", "MCIDAS", "MPEG", "PCD", "SPIDER"),
    *("TGA", "WMF", "XVTHUMB"),
)

_SEVERAL = ("GIF", "TIFF", "PNG", "WEBP", "AVIF")  # formats of animations and of pages
MAX_PIXELS = 178_956_970  # Pillow's own limit: a larger picture may be a small file made to fill the memory
_PNG = b"\x89PNG\r\n\x1a\n"
_BITS, _ORIENTATION, _SAMPLE_FORMAT = 258, 274, 339  # tags of TIFF and EXIF
_CUT_OFF = re.compile(
    r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_UNKNOWN_SIZE = 0x7FFF0000  # bytes of sound
# Opus at its lowest rate has 64 samples a byte, silence in FLAC 290: a small file of hours of it fills the memory.
_SAMPLES_A_BYTE, _LEAST_SAMPLES = 100, 1 << 26
_LEAST_RATE, _MOST_RATE = (
    100,
    1 << 22,
)  # Hz: resampling multiplies a recording, or its filter, by what is beyond
RESAMPLING = "HQ"  # of soxr; part of the fingerprint of recordings, since the decoded values depend on it
_ROUNDING = 1e-3  # by which floats may leave their range

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
    value_range: Sequence[float] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """uint8 (C, H, W) of an image file or of its bytes; raises BadInput, which calls it `name`.

    size: the shorter side is resized to it (bicubic, antialiased) and the centre is cropped: (C, size, size).
    channels: 1 grey or 3 colour; None keeps what the file has. The EXIF orientation is applied where it can be read,
    transparency is laid on white. value_range: which two values of more than 8 bits become 0 and 255; None: the range
    of the file's format, 0 to 1 for floats; never what one picture happens to hold. max_pixels: of a picture.
    """
    from PIL import Image, ImageOps

    name = name or (os.fspath(file) if not isinstance(file, bytes) else "image")
    content = _content(file, name)
    try:
        opened = _opened(content, max_pixels)
        image = _upright(_eight_bit(opened, channels, value_range), _orientation(opened))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadInput(name, _too_large(max_pixels)) from error
    except _DAMAGED as error:
        reason = "is no known image format" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise BadInput(name, reason or type(error).__name__) from error
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    values = np.asarray(image)
    return values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


def _too_large(max_pixels: int) -> str:
    return f"has more than {max_pixels:,} pixels; to read it all the same, raise data.source.max_pixels={max_pixels}"


def _opened(content: bytes, max_pixels: int) -> "Image.Image":
    """The image, loaded. Of a PNG whose texts or profiles are too much for Pillow (1 MB), without them."""
    try:
        return _loaded(content, max_pixels)
    except (ValueError, SyntaxError):
        bare = _without_metadata(content) if content.startswith(_PNG) else content
        if len(bare) == len(content):
            raise
        return _loaded(bare, max_pixels)


def _loaded(content: bytes, max_pixels: int) -> "Image.Image":
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = max_pixels  # what lies within the file, too, such as the pictures of an icon
    with Image.open(io.BytesIO(content)) as opened:
        if opened.width * opened.height > max_pixels:
            raise ValueError(_too_large(max_pixels))
        opened.load()
        return opened


def _without_metadata(content: bytes) -> bytes:
    """A PNG without its text and profile chunks (length, type, data, checksum: PNG specification, 5.3)."""
    kept, at = [_PNG], len(_PNG)
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"):
            kept.append(content[at : at + length + 12])
        at += length + 12
    return b"".join(kept)


def _orientation(image: "Image.Image") -> int:
    """The orientation that the EXIF data say, 1 (upright) where they are damaged: the pixels are not."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGED:
        return 1


def _upright(image: "Image.Image", orientation: int) -> "Image.Image":
    from PIL.Image import Transpose

    turned = {
        **{2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM},
        **{5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90},
    }
    return image.transpose(turned[orientation]) if orientation in turned else image


def image_size(file: Path | str) -> tuple[int, int] | None:
    """(width, height) in an image file's header; None where the header cannot be read."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            return opened.size
    except (*_DAMAGED, Image.DecompressionBombError):
        return None


def has_more_pictures(file: Path | str) -> bool:
    """Whether an image file is an animation or has further pages, of which the first alone is decoded.

    Not those formats whose further pictures are parts or small copies of the first.
    """
    from PIL import Image

    try:
        with Image.open(file) as opened:
            return opened.format in _SEVERAL and bool(getattr(opened, "is_animated", False))
    except (*_DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return False


def is_image(file: Path | str) -> bool:
    """Whether Pillow can read a file as a picture, whatever its name."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            if opened.format in _NO_PICTURES:
                return False
            opened.load()
            return True
    except (*_DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return False


def is_audio(file: Path | str) -> bool:
    """Whether libsndfile recognises a file as a recording, whatever its name."""
    return audio_rate(file) is not None


def _eight_bit(
    image: "Image.Image", channels: int | None, value_range: Sequence[float] | None
) -> "Image.Image":
    """The image in mode L or RGB."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_scaled(np.asarray(image), value_range, _format_range(image)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        grey = image.mode in ("LA", "La", "L")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if grey else "RGB")
    keep = "L" if image.mode in ("1", "L") else "RGB"
    mode = {None: keep, 1: "L", 3: "RGB"}[channels]
    return image if image.mode == mode else image.convert(mode)


def _format_range(image: "Image.Image") -> tuple[float, float] | None:
    """The range of values that the file's format has: by its bits, 0 to 1 for floats; None: 32-bit integers."""
    if image.mode == "F":
        return 0.0, 1.0
    tags: Any = getattr(image, "tag_v2", {})  # of a TIFF
    bits = int(tags.get(_BITS, (16,))[0])
    if bits > 16:
        return None
    is_signed = tags.get(_SAMPLE_FORMAT, (1,))[0] == 2
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if is_signed else (0.0, 2.0**bits - 1)


def _scaled(
    values: np.ndarray, given: Sequence[float] | None, of_format: tuple[float, float] | None
) -> np.ndarray:
    """uint8 of wider values: the lower end of the range becomes 0, the upper one 255, the same in every picture."""
    if not np.isfinite(values).all():
        raise ValueError("has NaN or infinite values")
    found = float(values.min()), float(values.max())
    low, high = given or of_format or (0.0, 0.0)
    if given is None and not (low - _ROUNDING <= found[0] and found[1] <= high + _ROUNDING):
        raise ValueError(
            f"has values from {found[0]:g} to {found[1]:g}: say which become black and white in all pictures, "
            f"such as data.source.value_range=[{found[0]:g},{found[1]:g}]"
        )
    scaled = (values.astype(np.float64) - low) * (255 / ((high - low) or 1.0))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


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
            _verify_length(name, opened, frames, len(content))
            kind = "int16" if opened.subtype in ("PCM_16", "PCM_S8", "PCM_U8") else "float32"
            values, rate = opened.read(frames, dtype=kind, always_2d=True), opened.samplerate
            stated = _stated_frames(opened, content)
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError) as error:
        raise BadInput(
            name, str(error).removeprefix("Error opening ").strip() or "cannot be decoded"
        ) from error
    if not len(values):
        raise BadInput(name, "has no samples")
    if len(values) < (stated if frames < 0 else min(frames, stated)):
        raise BadInput(name, f"ends after {len(values) / rate:.2f} s, its header says {stated / rate:.2f} s")
    if not np.isfinite(values).all():
        raise BadInput(name, "has NaN or infinite samples")
    return _mono(values, rate, sample_rate or rate)


def _verify_length(name: str, opened: Any, frames: int, size: int) -> None:
    """Refuse what a few bytes of a file say is more than memory holds, once read or resampled.

    frames: that are read, -1 for all; size: of the file in bytes.
    """
    if not _LEAST_RATE <= opened.samplerate <= _MOST_RATE:
        raise BadInput(
            name, f"has a sample rate of {opened.samplerate:,} Hz, expected {_LEAST_RATE} to {_MOST_RATE:,}"
        )
    samples = opened.channels * (opened.frames if frames < 0 else min(frames, opened.frames))
    if samples > max(_LEAST_SAMPLES, _SAMPLES_A_BYTE * size):
        raise BadInput(
            name,
            f"says that its {size:,} bytes are {samples:,} samples: set data.source.max_seconds to read the beginning",
        )


def _stated_frames(opened: Any, content: bytes) -> int:
    """How many frames the header says there are, where it says so: more than libsndfile found, in a file cut off.

    libsndfile's own count is of what is there; its log has the size of the data in the header. Sizes near the largest
    number that fits are of recordings written to a pipe. The length of an MP3 without a header is an estimate.
    """
    if opened.format == "MP3":
        return (
            int(opened.frames)
            if any(mark in content[: 1 << 16] for mark in (b"Xing", b"Info", b"VBRI"))
            else 0
        )
    found = _CUT_OFF.search(opened.extra_info)
    if found is None:
        return int(opened.frames)
    said, there = int(found[1]), int(found[2])
    return int(opened.frames * said / max(there, 1)) if said < _UNKNOWN_SIZE else int(opened.frames)


def _mono(values: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """int16 (n,) at `wanted` Hz from (frames, channels) int16, or float32 in -1..1."""
    if values.dtype == np.int16 and values.shape[1] == 1 and rate == wanted:
        return values[:, 0]
    scale = 1.0 if values.dtype == np.int16 else 32768.0
    mono = values.mean(axis=1, dtype=np.float64) * scale
    if rate != wanted:
        mono = resample(mono, rate, wanted)
    return np.clip(np.rint(mono), -32768, 32767).astype(np.int16)


def resample(wave: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """float64 (ceil(n * wanted / rate),) at `wanted` Hz from float64 (n,) at `rate` Hz, by the SoX resampler.

    Quality RESAMPLING, linear phase: level to .1 dB up to .9 of the narrower band, aliases and images below -80 dB.
    """
    import soxr

    # soxr rounds the length, to 0 for a sample or two: add silence, which it assumes after the end anyway
    padded = np.append(wave, np.zeros(-(-rate // wanted)))
    resampled: np.ndarray = soxr.resample(padded, rate, wanted, RESAMPLING)
    return resampled[: -(-len(wave) * wanted // rate)]


def audio_rate(file: Path | str) -> int | None:
    """The sample rate (Hz) in a file's header; None where the header cannot be read."""
    import soundfile

    try:
        return int(soundfile.info(os.fspath(file)).samplerate)
    except (soundfile.LibsndfileError, OSError, TypeError):  # TypeError: raw samples, whose rate nobody knows
        return None
