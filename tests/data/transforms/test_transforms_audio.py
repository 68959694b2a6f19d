"""Audio transforms and frontends: what each does to a clip, and log-mel against librosa."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from leyden.data.batch import Input, SampleRandom
from leyden.data.transforms.audio import (
    Gain,
    LogMel,
    Noise,
    SpecAugment,
    Speed,
    TimeShift,
    TractWarp,
    Waveform,
    mel_filters,
)
from leyden.utils.errors import UserError

RATE = 8000


def clips(lengths: list[int], width: int | None = None) -> Input:
    """int16 noise of the given lengths, padded with 0; no sample within a clip is 0."""
    n = torch.tensor(lengths)
    generator = torch.Generator().manual_seed(0)
    size = (len(lengths), width or max(lengths))
    x = torch.randint(1, 9000, size, generator=generator) * (
        2 * torch.randint(0, 2, size, generator=generator) - 1
    )
    inside = torch.arange(x.shape[1]) < n[:, None]
    return Input((x * inside).to(torch.int16), n)


def draw(batch: Input, seed: int = 0) -> SampleRandom:
    return SampleRandom(seed, 1, torch.arange(len(batch.values)) + 7)


def test_gain_multiplies_by_the_drawn_decibels() -> None:
    batch = clips([50] * 300)
    out = Gain(6)(batch, draw(batch)).values
    ratio = out / (batch.values.float() / 32768)
    db = 20 * torch.log10(ratio)
    assert torch.allclose(db, db[:, :1].expand_as(db), atol=1e-3)
    assert -6.01 <= db.min().item() < -5.5
    assert 5.5 < db.max().item() <= 6.01


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_has_the_asked_ratio_is_white_and_stays_within_the_clip(snr: float) -> None:
    batch = clips([8000, 3000])
    clean = batch.values.float() / 32768
    noise = Noise((snr, snr))(batch, draw(batch)).values - clean
    assert torch.equal(noise[1, 3000:], torch.zeros(5000))
    for i, n in enumerate((8000, 3000)):
        measured = 10 * math.log10(clean[i, :n].square().mean() / noise[i, :n].square().mean())
        assert measured == pytest.approx(snr, abs=0.2)
    spectrum = torch.fft.rfft(noise[0]).abs().square()[1:].view(10, -1).mean(1)
    assert spectrum.max() / spectrum.min() < 1.5
    assert abs(torch.corrcoef(noise[:, :3000])[0, 1].item()) < 0.08  # each clip has noise of its own


def test_tract_warping_reads_each_bin_from_a_multiple_of_its_place() -> None:
    ramp = torch.arange(40.0)[:, None] + torch.tensor([0.0, 100.0, 200.0])  # (bins, frames): its own place
    given = Input(ramp.expand(300, 1, 40, 3), torch.full((300,), 3))
    out = TractWarp(0.2)(given, draw(given)).values
    factors = out[:, 0, 10, 0] / 10
    assert 0.8 <= factors.min() < 0.81
    assert 1.19 < factors.max() <= 1.2
    expected = (torch.arange(40) * factors[:, None]).clamp(max=39)
    assert torch.allclose(out[:, 0, :, 0], expected, atol=1e-4)
    assert torch.allclose(out[:, 0, :, 2], expected + 200, atol=1e-4)
    assert torch.equal(TractWarp(0)(given, draw(given)).values, given.values)
    wave = given._replace(values=given.values[:, 0, :1])
    assert torch.equal(TractWarp(0.2)(wave, draw(wave)).values, wave.values)


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12), fraction=st.floats(0, 0.9))
def test_shift_moves_within_the_clip_and_fills_with_zeros(lengths: list[int], fraction: float) -> None:
    batch = clips(lengths)
    out = TimeShift(fraction)(batch, draw(batch))
    assert out.lengths is batch.lengths
    assert out.values.dtype == torch.int16
    for x, y, n in zip(batch.values.tolist(), out.values.tolist(), lengths, strict=True):
        most = round(fraction * n)
        candidates = [[0] * s + x[: n - s] for s in range(most + 1)] + [
            x[s:n] + [0] * s for s in range(most + 1)
        ]
        assert y[:n] in candidates
        assert not any(y[n:])


def test_speed_changes_pitch_and_length_by_the_same_factor() -> None:
    n = 4000
    tone = torch.sin(2 * math.pi * 400 * torch.arange(n) / RATE)
    batch = Input(tone.repeat(40, 1), torch.full((40,), n))
    draws = draw(batch)
    out = Speed(0.1)(batch, draws)
    assert out.lengths is not None
    assert out.values.shape == (40, math.ceil(n / 0.9))
    factor = 1 + 0.1 * (2 * draws.uniform("speed").squeeze(1).double() - 1)
    assert factor.min().item() < 0.93
    assert factor.max().item() > 1.07
    for x, m, f in zip(out.values, out.lengths.tolist(), factor.tolist(), strict=True):
        assert m == pytest.approx(n / f, abs=1.1)
        expected = np.interp(np.arange(m) * f, np.arange(n), tone.numpy())
        np.testing.assert_allclose(x[:m].numpy(), expected, atol=0.02)  # places are rounded to 2^-16
        assert not x[m:].any()


def test_speed_of_nothing_is_the_identity_and_a_sample_survives() -> None:
    batch = clips([1, 7, 30])
    out = Speed(0)(batch, draw(batch))
    assert torch.equal(out.values, batch.values.float() / 32768)
    assert torch.equal(Speed(0.5)(clips([1]), draw(clips([1]))).lengths >= 1, torch.tensor([True]))


def test_spec_augment_masks_bands_and_stretches_within_the_length() -> None:
    lengths = torch.tensor([100, 60, 20] * 50)
    x = torch.ones(150, 1, 40, 100) * (torch.arange(100) < lengths[:, None])[:, None, None]
    batch = Input(x, lengths)
    freq = SpecAugment(freq_masks=1, freq_width=8, time_masks=0)(batch, draw(batch)).values[:, 0]
    width = 40 - freq[:, :, 0].sum(1)
    assert torch.equal(freq.sum((1, 2)), (40 - width) * lengths)  # whole rows
    assert sorted(set(width.tolist())) == list(range(9))
    time = SpecAugment(freq_masks=0, time_masks=1, time_width=0.2)(batch, draw(batch)).values[:, 0]
    gone = lengths - time[:, 0].sum(1)
    assert torch.equal(time.sum((1, 2)), (lengths - gone) * 40)
    assert bool((gone <= 0.2 * lengths).all())
    assert gone[lengths == 100].max() >= 18
    edges = time[:, 0].diff(dim=1).abs().sum(1)  # one stretch: at most a fall, a rise and the clip's own end
    assert edges.max() <= 3


def test_spec_augment_never_covers_a_single_row() -> None:
    batch = clips([50] * 40)
    features = Waveform()(batch)
    out = SpecAugment(freq_masks=2, time_masks=0)(features, draw(batch))
    assert torch.equal(out.values, features.values)


def test_log_mel_is_the_fourier_sum_written_out() -> None:
    """Frames of one clip by the definition: zeros outside, a Hann window of 25 ms centred in 256."""
    batch = clips([700])
    frontend = LogMel(RATE, n_mels=24, normalize="none")
    out = frontend(batch).values[0, 0].double().numpy()
    x = np.pad(batch.values[0].numpy() / 32768, 128)
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(200) / 200), 28)
    basis = np.exp(-2j * np.pi * np.outer(np.arange(129), np.arange(256)) / 256)
    filters = mel_filters(RATE, 256, 24, 0, RATE / 2).numpy()
    for frame in (0, 3, 8):
        power = np.abs(basis @ (window * x[frame * 80 : frame * 80 + 256])) ** 2
        np.testing.assert_allclose(out[:, frame], np.log(filters @ power), atol=1e-4)


def test_mel_filters_are_triangles_of_area_one_centred_evenly_in_mel() -> None:
    step = 0.5  # Hz, fine enough to read areas and peaks off
    filters = mel_filters(16000, 32000, 30, 0, 8000).numpy()
    np.testing.assert_allclose(filters.sum(1) * step, 1, rtol=1e-3)
    peaks = filters.argmax(1) * step
    mel = np.where(peaks < 1000, peaks * 3 / 200, 15 + 27 * np.log(peaks.clip(1) / 1000) / np.log(6.4))
    np.testing.assert_allclose(np.diff(mel), mel[0], rtol=0.02)
    assert mel[-1] + mel[0] == pytest.approx(45.245, abs=0.05)  # 8 kHz


@pytest.mark.slow  # librosa compiles itself at its first use
@pytest.mark.parametrize(
    ("rate", "n_mels", "fmin", "fmax"), [(8000, 64, 0.0, None), (16000, 40, 50.0, 7000.0)]
)
def test_log_mel_is_librosas(rate: int, n_mels: int, fmin: float, fmax: float | None) -> None:
    librosa = pytest.importorskip("librosa")
    n = rate // 2
    time = np.arange(n) / rate
    rng = np.random.default_rng(0)
    y = 0.3 * np.sin(2 * np.pi * (300 + 1500 * time) * time) + 0.05 * rng.standard_normal(n)
    samples = np.round(y * 32767).astype(np.int16)
    frontend = LogMel(rate, n_mels=n_mels, fmin=fmin, fmax=fmax, normalize="none")
    out = frontend(Input(torch.from_numpy(samples)[None], torch.tensor([n])))
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float32) / 32768,
        sr=rate,
        n_fft=frontend.n_fft,
        hop_length=rate // 100,
        win_length=rate // 40,
        center=True,
        pad_mode="constant",
        power=2.0,
        n_mels=n_mels,
        fmin=fmin,
        fmax=fmax,
    )
    assert out.values.shape == (1, 1, n_mels, mel.shape[1])
    np.testing.assert_allclose(out.values[0, 0].numpy(), np.log(np.maximum(mel, 1e-10)), atol=1e-4)
    filters = librosa.filters.mel(sr=rate, n_fft=512, n_mels=20, fmin=fmin, fmax=fmax)
    np.testing.assert_allclose(mel_filters(rate, 512, 20, fmin, fmax or rate / 2), filters, atol=1e-6)


@pytest.mark.parametrize("normalize", ["clip", "cmvn", "bin", "none"])
def test_log_mel_of_a_clip_does_not_depend_on_its_padding(normalize: str) -> None:
    lengths = [4000, 801, 130, 1]  # the last two are shorter than one FFT
    batch = clips(lengths)
    atol = (
        5e-4 if normalize in ("clip", "cmvn") else 2e-5
    )  # a click's spectrum is nearly flat: these divide by little
    frontend = LogMel(RATE, n_mels=32, normalize=normalize)  # type: ignore[arg-type]
    frontend.fit([batch])
    together = frontend(batch)
    assert together.lengths is not None
    for i, n in enumerate(lengths):
        alone = frontend(
            clips(lengths)._replace(values=batch.values[i : i + 1, :n], lengths=torch.tensor([n]))
        )
        frames = 1 + n // 80
        assert together.lengths[i] == frames == alone.values.shape[-1]
        assert torch.allclose(together.values[i, :, :, :frames], alone.values[0], atol=atol)
        assert not together.values[i, :, :, frames:].any()


def test_log_mel_normalised_per_clip_forgets_loudness_and_stands_silence() -> None:
    batch = clips([2000, 900])
    frontend = LogMel(RATE)
    out = frontend(batch)
    for x, frames in zip(out.values, out.lengths.tolist(), strict=True):  # type: ignore[union-attr]
        inside = x[0, :, :frames].double()
        assert inside.mean().item() == pytest.approx(0, abs=1e-5)
        assert inside.std(correction=0).item() == pytest.approx(1, abs=1e-4)
    quieter = frontend(batch._replace(values=batch.values.float() / 65536))
    assert torch.allclose(quieter.values, out.values, atol=1e-4)
    silent = frontend(batch._replace(values=torch.zeros_like(batch.values)))
    assert torch.allclose(silent.values, torch.zeros(()), atol=1e-3)


def test_cepstral_mean_and_variance_normalisation_forgets_the_microphone_and_how_long_the_pauses_are() -> (
    None
):
    """A filter shifts each bin of the log-mel by a constant, which each clip's own means take out."""
    rng = np.random.default_rng(3)
    sound = rng.normal(0, 3000, 4000).astype(np.int16)
    heard = lfilter([1, -0.9], [1], sound.astype(np.float64)).astype(np.int16)
    waves = torch.from_numpy(np.stack([sound, heard]))
    frontend = LogMel(RATE, n_mels=24, normalize="cmvn", floor=1e-6)
    both = Input(waves, torch.tensor([4000, 4000]))
    plain, filtered = frontend(both).values[:, 0]
    inner = slice(2, 48)
    assert (plain - filtered)[:, inner].abs().mean() < 0.1
    raw = LogMel(RATE, n_mels=24, floor=1e-6)(both).values[:, 0]
    assert (raw[0] - raw[1])[:, inner].abs().mean() > 0.3
    paused = torch.cat([waves[:1], torch.zeros(1, 8000, dtype=torch.int16)], dim=1)
    longer = frontend(Input(paused, torch.tensor([12000]))).values[0, 0]
    assert torch.allclose(longer[:, inner], plain[:, inner], atol=0.05)
    assert torch.equal(longer[:, 60:], torch.full_like(longer[:, 60:], -3))
    silent = frontend(both._replace(values=torch.zeros_like(waves)))
    assert torch.allclose(silent.values, torch.zeros(()), atol=1e-3)


def test_log_mel_normalised_per_bin_uses_the_training_set() -> None:
    batch = clips([2000, 900, 4000])
    frontend = LogMel(RATE, n_mels=16, normalize="bin")
    frontend.fit(
        [batch._replace(values=batch.values[i : i + 1], lengths=batch.lengths[i : i + 1]) for i in range(3)]
    )
    out = frontend(batch)
    frames = torch.cat([x[0, :, :n] for x, n in zip(out.values, out.lengths.tolist(), strict=True)], dim=1)
    assert torch.allclose(frames.mean(1), torch.zeros(16), atol=1e-4)
    assert torch.allclose(frames.std(1, correction=0), torch.ones(16), atol=1e-4)
    other = LogMel(RATE, n_mels=16, normalize="bin")
    other.load_state_dict(frontend.state_dict())
    assert torch.equal(other(batch).values, out.values)


def test_log_mel_is_not_computed_in_half_precision() -> None:
    batch = clips([2000, 900])
    frontend = LogMel(RATE)
    expected = frontend(batch).values
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(frontend(batch).values, expected)


def test_facts_tell_the_net_its_input() -> None:
    assert LogMel(RATE, n_mels=40).facts() == {"bins": 40, "in_channels": 1}
    assert Waveform().facts() == {"in_channels": 1}


def test_waveform_is_in_the_unit_range_or_of_unit_loudness() -> None:
    batch = clips([500, 200])
    out = Waveform()(batch)
    assert out.values.shape == (2, 1, 500)
    assert torch.equal(out.values[:, 0], batch.values.float() / 32768)
    loud = Waveform(rms=True)(batch).values[:, 0]
    assert loud[1, :200].square().mean().item() == pytest.approx(1, abs=1e-4)
    silent = Waveform(rms=True)(batch._replace(values=torch.zeros_like(batch.values)))
    assert not silent.values.any()


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match=r"fmax=5000\.0.*4000"):
        LogMel(RATE, fmax=5000.0)
    with pytest.raises(UserError, match="n_mels=300"):
        LogMel(RATE, n_mels=300)
    with pytest.raises(UserError, match=r"\[5, 20\]"):
        Noise((20, 5))
    with pytest.raises(UserError, match="no training clip"):
        LogMel(RATE, normalize="bin").fit([])
