"""Samples as data URIs: pictures, spectrograms, recordings, and the heat that is laid over them.

A page holds hundreds of them and must stay small: pictures are PNG, large ones JPEG, recordings have a low rate.
"""

import base64
import io
import wave

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 192  # pixels of a picture that is too large as it is
_NATS = 80 * np.log(10) / 10  # 80 dB of power
HEAT_SIDE = 96  # cells of a map
_STRONGEST = 0.75  # opacity
_FOR, _AGAINST = (214, 39, 40), (31, 97, 214)  # red speaks for what is explained, blue against it


def picture_uri(pixels: NDArray[np.uint8], most: int) -> str:
    """A picture uint8 (C, H, W) as a data URI: PNG as it is up to `most` bytes, else JPEG of at most SIDE pixels.

    One channel is grey; of more than three the first three are shown.
    """
    shown = np.moveaxis(pixels[:1] if len(pixels) < 3 else pixels[:3], 0, -1)
    image = Image.fromarray(np.ascontiguousarray(shown[..., 0] if shown.shape[-1] == 1 else shown))
    found = _bytes(image, "PNG", optimize=True) if image.width * image.height <= 4 * SIDE**2 else b""
    if found and len(found) <= most:
        return data_uri("image/png", found)
    image.thumbnail((SIDE, SIDE))
    found = _bytes(image, "JPEG", quality=80)
    return data_uri("image/jpeg", found if len(found) <= most else _bytes(image, "JPEG", quality=40))


def thumbnail_uri(pixels: NDArray[np.uint8], side: int) -> str:
    """A small picture of a picture uint8 (C, H, W)."""
    step = max(1, max(pixels.shape[1:]) // side)
    return picture_uri(pixels[:, ::step, ::step], 1 << 30)


def mel_uri(mel: NDArray[np.float32]) -> str:
    """A log-mel spectrogram (bands, frames) as a picture, low tones below; 80 dB below the loudest is black."""
    shares = np.clip(1 + (mel[::-1] - mel.max(initial=-np.inf)) / _NATS, 0, 1)
    image = Image.fromarray(np.rint(255 * shares).astype(np.uint8), "L").convert("P")
    colours = mpl.colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    image.putpalette(np.ascontiguousarray(colours).tobytes())
    return data_uri("image/png", _bytes(image, "PNG", optimize=True))


def sound_uri(samples: NDArray[np.int16], sample_rate: int) -> str:
    """A recording int16 (n,) as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(sample_rate)
        written.writeframes(samples.astype("<i2").tobytes())
    return data_uri("audio/wav", file.getvalue())


def heat_uri(values: NDArray[np.float32], side: int = HEAT_SIDE) -> str:
    """A map (height, width) as a transparent picture: red where it is above 0, blue below, the opacity its size.

    side: cells that it has at most; of a larger one every second, third, ... is shown.
    """
    step = max(1, -(-max(values.shape) // side))
    small = values[::step, ::step] if step > 1 else values
    scaled = scaled_heat(small)
    pixels = np.zeros((*small.shape, 4), np.uint8)
    pixels[..., :3] = np.where(scaled[..., None] > 0, _FOR, _AGAINST)
    pixels[..., 3] = np.rint(255 * _STRONGEST * np.abs(scaled))
    return data_uri("image/png", _bytes(Image.fromarray(pixels, "RGBA"), "PNG", optimize=True))


def scaled_heat(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values in -1 .. 1, 1 being their 99.5 % point, so that one of them does not hide all others."""
    top = float(np.quantile(np.abs(values), 0.995)) if values.size else 0.0
    top = top or float(np.abs(values).max(initial=0.0)) or 1.0
    return np.clip(values / top, -1, 1).astype(np.float32)


def _bytes(image: Image.Image, kind: str, **options: int | bool) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def data_uri(kind: str, content: bytes) -> str:
    """A file's content as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
