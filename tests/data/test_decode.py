"""One image, one text, one audio file: every odd kind of file gives the right values or a BadInput."""

import contextlib
import io
import math
import pickle
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from leyden.data.decode import BadInput, audio_rate, decode_audio, decode_image, decode_text


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_colour_is_channels_first() -> None:
    values = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    decoded = decode_image(encoded(Image.fromarray(values)))
    assert decoded.shape == (3, 2, 3)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, values.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (2, 2), 77), [77]),
        (Image.new("1", (2, 2), 1), [255]),
        (Image.fromarray(np.full((2, 2), 65535, np.uint16)), [255]),
        (Image.fromarray(np.full((2, 2), 257 * 40, np.uint16)), [40]),
        (Image.new("RGB", (2, 2), (1, 2, 3)), [1, 2, 3]),
        (Image.new("RGB", (2, 2), (200, 0, 0)).quantize(2), [200, 0, 0]),
        (Image.new("RGBA", (2, 2), (10, 20, 30, 255)), [10, 20, 30]),
        (Image.new("RGBA", (2, 2), (10, 20, 30, 0)), [255, 255, 255]),  # transparent: the white behind it
        (Image.new("LA", (2, 2), (10, 0)), [255]),
    ],
)
def test_modes(image: Image.Image, expected: list[int]) -> None:
    decoded = decode_image(encoded(image))
    assert decoded.shape == (len(expected), 2, 2)
    np.testing.assert_array_equal(decoded[:, 0, 0], expected)


def test_floats_and_cmyk() -> None:
    half = decode_image(encoded(Image.fromarray(np.full((2, 2), 0.5, np.float32)), "TIFF"))
    assert half.shape == (1, 2, 2)
    assert abs(int(half[0, 0, 0]) - 128) <= 1
    cyan = decode_image(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG"))
    assert cyan.shape == (3, 8, 8)
    assert cyan[0].max() < 40 < 180 < cyan[2].min()
    with pytest.raises(BadInput, match="NaN"):
        decode_image(encoded(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF"))


@pytest.mark.parametrize(("channels", "shape"), [(1, (1, 4, 4)), (3, (3, 4, 4))])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_channels_are_forced(mode: str, channels: int, shape: tuple[int, ...]) -> None:
    assert decode_image(encoded(Image.new(mode, (4, 4))), channels=channels).shape == shape


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    assert decode_image(encoded(image, "JPEG", exif=exif)).shape == (3, 20, 10)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24))
def test_size_gives_squares(width: int, height: int, size: int) -> None:
    assert decode_image(encoded(Image.new("L", (width, height), 9)), size=size).tolist() == [
        [[9] * size] * size
    ]


def test_resize_crops_the_centre_and_antialiases() -> None:
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    assert decode_image(encoded(Image.fromarray(wide)), size=10).min() > 190
    checks = np.indices((64, 64)).sum(axis=0).astype(np.uint8) % 2 * 255
    small = decode_image(encoded(Image.fromarray(checks)), size=8)
    assert np.abs(small.astype(int) - 127).max() < 8  # without antialiasing it would be 0 and 255


def test_damaged_images_are_bad_inputs(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    jpeg, png = encoded(Image.fromarray(noise), "JPEG"), encoded(Image.fromarray(noise))
    for content, reason in (
        (jpeg[: len(jpeg) // 2], "truncated"),
        (png[: len(png) // 2], "truncated"),
        (b"no image at all", "no known image format"),
        (b"", "0 bytes"),
    ):
        path = tmp_path / "x.jpg"
        path.write_bytes(content)
        for file in (path, content):
            with pytest.raises(BadInput, match=reason) as caught:
                decode_image(file, "cats/x.jpg")
            assert caught.value.name == "cats/x.jpg"
    with pytest.raises(BadInput, match="cannot be read"):
        decode_image(tmp_path / "gone.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns of metadata that it can do without
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_corrupted_images_never_raise_anything_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
    content = bytearray(encoded(Image.linear_gradient("L").resize((16, 16)), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    shapes: list[tuple[int, ...]] = []
    with contextlib.suppress(BadInput):
        shapes.append(decode_image(bytes(content), size=8, channels=1).shape)
    assert shapes in ([], [(1, 8, 8)])


def test_text() -> None:
    assert bytes(decode_text("häß 你", "f:1")).decode() == "häß 你"
    assert bytes(decode_text("häß".encode(), "f:1")).decode() == "häß"
    for text in ("", " \t ", b"", b" \n"):
        with pytest.raises(BadInput, match="f:3: has no text"):
            decode_text(text, "f:3")
    for text in (b"caf\xe9!", b"caf\xe9!".decode(errors="surrogateescape"), "\ud800"):
        with pytest.raises(BadInput, match="f:4: is not UTF-8"):
            decode_text(text, "f:4")


def test_bad_input_survives_pickling() -> None:
    assert str(pickle.loads(pickle.dumps(BadInput("a.wav", "is empty")))) == "a.wav: is empty"


def sine(rate: int, hertz: float = 200.0, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def test_pcm_is_exact(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-32768, 32768, 999).astype(np.int16)
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, values, 8000)
        decoded = decode_audio(tmp_path / name)
        assert decoded.dtype == np.int16
        np.testing.assert_array_equal(decoded, values)
        np.testing.assert_array_equal(decode_audio((tmp_path / name).read_bytes(), sample_rate=8000), values)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "DOUBLE", "PCM_U8", "ULAW"])
def test_channels_are_averaged(tmp_path: Path, subtype: str) -> None:
    left = np.full(400, 0.5)
    soundfile.write(tmp_path / "a.wav", np.stack([left, -left / 2], axis=1), 8000, subtype)
    decoded = decode_audio(tmp_path / "a.wav")
    assert decoded.shape == (400,)
    assert np.abs(decoded - 0.125 * 32768).max() < 300  # 8 bits are this coarse


@pytest.mark.parametrize(("rate", "wanted"), [(8000, 16000), (44100, 8000), (22050, 16000)])
def test_resampling_keeps_the_tone(tmp_path: Path, rate: int, wanted: int) -> None:
    soundfile.write(tmp_path / "a.wav", sine(rate), rate)
    assert audio_rate(tmp_path / "a.wav") == rate
    decoded = decode_audio(tmp_path / "a.wav", sample_rate=wanted)
    assert len(decoded) == math.ceil(round(rate * 0.5) * wanted / rate)
    inner = slice(wanted // 20, -wanted // 20)
    expected = (sine(wanted) * 32768)[: len(decoded)]
    assert np.abs(decoded[: len(expected)] - expected)[inner].max() < 0.01 * 32768


def test_loud_floats_are_clipped_not_wrapped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([3.0, -3.0, 0.0]), 8000, "FLOAT")
    assert decode_audio(tmp_path / "a.wav").tolist() == [32767, -32768, 0]


def test_max_seconds_reads_the_beginning(tmp_path: Path) -> None:
    values = np.arange(8000, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", values, 8000)
    np.testing.assert_array_equal(decode_audio(tmp_path / "a.wav", max_seconds=0.25), values[:2000])
    np.testing.assert_array_equal(decode_audio(tmp_path / "a.wav", max_seconds=9), values)


def test_silence_is_allowed(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100, np.int16), 8000)
    assert decode_audio(tmp_path / "a.wav").tolist() == [0] * 100


def test_bad_recordings(tmp_path: Path) -> None:
    for value in (np.nan, np.inf):
        soundfile.write(tmp_path / "a.wav", np.array([0.0, value, 0.0]), 8000, "FLOAT")
        with pytest.raises(BadInput, match="NaN or infinite"):
            decode_audio(tmp_path / "a.wav")
    (tmp_path / "empty.wav").touch()
    with wave.open(str(tmp_path / "none.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
    (tmp_path / "text.wav").write_text("this is no recording")
    for name, reason in (
        ("empty", "0 bytes"),
        ("none", "no samples"),
        ("text", "."),
        ("gone", "cannot be read"),
    ):
        with pytest.raises(BadInput, match=reason) as caught:
            decode_audio(tmp_path / f"{name}.wav", name)
        assert caught.value.name == name
        assert caught.value.reason
    assert audio_rate(tmp_path / "text.wav") is None
