"""One image, one text, one audio file: every odd kind of file gives the right values or a BadInput."""

import contextlib
import io
import math
import pickle
import struct
import wave
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from leyden.data.decode import BadInput, audio_rate, decode_audio, decode_image, decode_text, resample


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_pillows(kind: str, orientation: int) -> None:
    image = Image.fromarray(np.arange(8 * 16, dtype=np.uint8).reshape(8, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(image.convert("RGB"), kind, exif=exif, **options)
    with Image.open(io.BytesIO(content)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened)).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode_image(content), expected)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=60, deadline=None)
@given(exif=st.binary(max_size=60), kind=st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_pixels_are_read_whatever_the_exif_data(exif: bytes, kind: str) -> None:
    content = encoded(Image.new("RGB", (4, 4), (9, 9, 9)), kind, exif=b"Exif\0\0" + b"II*\0\x08\0\0\0" + exif)
    assert decode_image(content).shape == (3, 4, 4)


@pytest.mark.parametrize("place", ["text", "zipped", "profile", "after"])
def test_large_metadata_leave_the_pixels(place: str) -> None:
    image, large = Image.new("L", (3, 2), 77), "x" * 3_000_000
    info = PngInfo()
    if place in ("text", "zipped"):
        info.add_itxt("workflow", large, zip=place == "zipped")
        info.add_text("other", large, zip=place == "zipped")
    if place == "after":
        info.add(b"zTXt", b"late\0\0" + zlib.compress(large.encode()), after_idat=True)
    content = encoded(image, pnginfo=info, icc_profile=large.encode() if place == "profile" else None)
    assert decode_image(content).tolist() == [[[77] * 3] * 2]


def test_very_many_pixels_name_the_option() -> None:
    content = encoded(Image.new("L", (40, 30), 5))
    assert decode_image(content, max_pixels=1200).shape == (1, 30, 40)
    for limit in (1199, 700, 100):
        with pytest.raises(BadInput, match=f"more than {limit:,} pixels.*data.source.max_pixels="):
            decode_image(content, "x", max_pixels=limit)


def pgm(values: np.ndarray, most: int) -> bytes:
    height, width = values.shape
    return b"P5\n%d %d\n%d\n" % (width, height, most) + values.astype(">u2").tobytes()


def tiff(values: np.ndarray, kind: int) -> bytes:
    """An uncompressed TIFF; kind: 1 unsigned, 2 signed, 3 float (tag SampleFormat)."""
    height, width = values.shape
    sizes = {256: width, 257: height, 258: values.itemsize * 8, 259: 1, 262: 1, 273: 134, 277: 1, 278: height}
    entries = [*sizes.items(), (279, values.nbytes), (339, kind)]
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4) + values.tobytes()


WIDE = np.array([[0, 200, 255], [257 * 40, 257 * 100, 65535]])
NARROW = [[0, 1, 1], [40, 100, 255]]


@pytest.mark.parametrize("darker", [1, 257])
def test_sixteen_bits_have_one_scale_in_every_format_and_picture(darker: int) -> None:
    values = WIDE // darker
    expected = np.rint(values / 257).astype(int).tolist()
    assert darker > 1 or expected == NARROW
    grey = Image.fromarray(values.astype(np.uint16))
    for content in (encoded(grey), encoded(grey, "TIFF"), pgm(values, 65535), tiff(values.astype("<u2"), 1)):
        assert decode_image(content)[0].tolist() == expected
    small = values // 16  # of 12 bits
    np.testing.assert_allclose(decode_image(pgm(small, 4095))[0], small / 4095 * 255, atol=1)
    signed = decode_image(tiff((values - 32768).astype("<i2"), 2))[0]
    assert signed.tolist() == expected


def test_floats_have_one_scale() -> None:
    for most, value in ((1.0, 255), (0.1, 26), (0.001, 0)):
        values = np.array([[0.0, most]], np.float32)
        assert decode_image(tiff(values, 3))[0].tolist() == [[0, value]]
        assert decode_image(tiff(values * 300 - 50, 3), value_range=[-50, 250])[0].tolist() == [[0, value]]


@pytest.mark.parametrize(("dtype", "kind"), [("<f4", 3), ("<i4", 2), ("<u4", 1)])
def test_a_range_that_nobody_knows_is_asked_for(dtype: str, kind: int) -> None:
    content = tiff(np.array([[2, 120]]).astype(dtype), kind)
    with pytest.raises(BadInput, match=r"from 2 to 120.*data\.source\.value_range=\[2,120\]"):
        decode_image(content, "x")
    assert decode_image(content, value_range=[0, 240])[0].tolist() == [[2, 128]]


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


RATES = [(48_000, 16_000), (44_100, 16_000), (16_000, 8_000), (8_000, 16_000), (96_000, 44_100)]


def tone_level(rate: int, wanted: int, hertz: float) -> float:
    """By how much a tone is louder after resampling, in dB; the ends, where it begins and stops, left out."""
    kept = resample(sine(rate, hertz), rate, wanted)[wanted // 20 : -wanted // 20]
    return 20 * math.log10(max(float(kept.std()), 1e-12) / (0.5 / math.sqrt(2)))


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_nine_tenths_of_the_band_stay(rate: int, wanted: int) -> None:
    band = min(rate, wanted) / 2
    for share in (0.05, 0.5, 0.8, 0.9):
        assert abs(tone_level(rate, wanted, share * band)) < 0.1


@pytest.mark.parametrize(("rate", "wanted"), [(r, w) for r, w in RATES if w < r])
def test_what_is_above_the_band_does_not_alias(rate: int, wanted: int) -> None:
    for share in np.linspace(1.0, 0.99 * rate / wanted, 9):
        assert tone_level(rate, wanted, share * wanted / 2) < -80


@pytest.mark.parametrize(("rate", "wanted"), [(8_000, 16_000), (16_000, 44_100)])
def test_a_higher_rate_adds_no_images(rate: int, wanted: int) -> None:
    for share in (0.1, 0.5, 0.9):
        wave = resample(sine(rate, share * rate / 2, seconds=1.0), rate, wanted)
        spectrum = np.abs(np.fft.rfft(wave * np.kaiser(len(wave), 20)))
        beyond = spectrum[np.fft.rfftfreq(len(wave), 1 / wanted) > 1.02 * rate / 2]
        assert 20 * math.log10(beyond.max() / spectrum.max()) < -80


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3000), st.integers(100, 200_000), st.integers(100, 200_000))
def test_no_rate_makes_a_recording_empty(frames: int, rate: int, wanted: int) -> None:
    resampled = resample(np.full(frames, 1000.0), rate, wanted)
    assert len(resampled) == math.ceil(frames * wanted / rate)
    edge = math.ceil(100 * wanted / min(rate, wanted))  # the filter reaches over the ends by tens of samples
    np.testing.assert_allclose(resampled[edge : max(edge, len(resampled) - edge)], 1000.0, atol=0.1)


def test_a_resampled_square_wave_is_clipped_not_wrapped(tmp_path: Path) -> None:
    square = np.where(np.arange(4410) % 100 < 50, 32767, -32768).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", square, 44_100)
    decoded = decode_audio(tmp_path / "a.wav", sample_rate=16_000).astype(np.int64)
    assert decoded.max() == 32767  # the filter overshoots by 9 %
    assert decoded.min() == -32768
    at = np.arange(len(decoded)) * 44_100 / 16_000 % 50
    inside = (at > 10) & (at < 40)
    half = np.arange(len(decoded)) * 44_100 / 16_000 % 100 < 50
    assert (decoded[inside & half] > 20_000).all()
    assert (decoded[inside & ~half] < -20_000).all()


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


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "W64", "RF64", "FLAC", "OGG", "MP3", "CAF"])
def test_a_recording_that_ends_too_early_is_bad(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, sine(8000, seconds=2.0), 8000, format=kind)
    content = buffer.getvalue()
    assert abs(len(decode_audio(content)) - 16000) <= 1
    with pytest.raises(BadInput):
        decode_audio(content[: len(content) // 2])
    if kind == "WAV":
        with pytest.raises(BadInput, match=r"ends after 1\.\d\d s, its header says 2\.00 s"):
            decode_audio(content[: len(content) * 3 // 4])
        assert (
            len(decode_audio(content[: len(content) * 3 // 4], max_seconds=1.0)) == 8000
        )  # all that is asked for


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF])
def test_a_recording_from_a_pipe_is_whole(size: int) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, sine(8000), 8000, format="WAV")
    content = bytearray(buffer.getvalue())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", size)
    assert len(decode_audio(bytes(content))) == 4000


def test_hours_of_silence_in_a_small_file_name_the_option() -> None:
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", 96_000, 1, format="FLAC") as file:
        for _ in range(8):
            file.write(np.zeros(10_000_000, dtype=np.int16))
    with pytest.raises(BadInput, match=r"says that its \d+,\d+ bytes are 80,000,000 samples: .*max_seconds"):
        decode_audio(content.getvalue(), "a", 8000)
    assert len(decode_audio(content.getvalue(), "a", 8000, max_seconds=1)) == 8000


@pytest.mark.parametrize("rate", [1, 2_147_483_647])
def test_a_rate_that_no_recorder_has(rate: int) -> None:
    content = io.BytesIO()
    soundfile.write(content, np.ones(2000, dtype=np.int16), rate, format="WAV")
    with pytest.raises(BadInput, match="sample rate of"):
        decode_audio(content.getvalue(), "a", 16_000)
