"""Audio on the device: gain, noise, shift, speed, tract warping, SpecAugment; and the frontends log-mel and waveform.

Waveforms come as int16, or as float in -1 .. 1, (B, T) with 0 beyond each clip's length; the transforms and
the frontends turn int16 into float by 1/32768. Every transform has parameters of its own for each sample,
which `SampleRandom` makes from (seed, epoch, position), and reads nothing beyond a clip's length: so a clip is
augmented alike whatever stands beside it in the batch and however far it is padded.
"""

import math
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor, nn

from leyden.data.batch import Input, SampleRandom
from leyden.utils.errors import UserError

FULL_SCALE = 32768.0  # of int16


def as_float(x: Tensor) -> Tensor:
    """int16 samples as float32 in -1 .. 1; floats as they are."""
    return x if x.is_floating_point() else x.to(torch.float32) / FULL_SCALE


def lengths_of(given: Input) -> Tensor:
    """int64 (B,): valid entries along the last axis; all of them where the batch gives no lengths."""
    if given.lengths is not None:
        return given.lengths
    x = given.values
    return torch.full((x.shape[0],), x.shape[-1], dtype=torch.int64, device=x.device)


def valid(lengths: Tensor, width: int) -> Tensor:
    """Booleans (B, width): which entries lie within each clip's length."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]


class Gain(nn.Module):
    """Makes a clip louder or quieter by a number of decibels, uniform in -db .. db."""

    stage: ClassVar[str] = "inputs"
    modality: ClassVar[str] = "audio"

    def __init__(self, db: Annotated[float, Ge(0)] = 6.0) -> None:
        super().__init__()
        self.db = db

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """Waveforms (B, T) to float of the same shape; not clipped."""
        # (B, 1) decibels of amplitude: a factor of 10^(level / 20)
        level = (2 * draws.uniform("gain") - 1) * self.db
        return given._replace(values=as_float(given.values) * torch.pow(10.0, level / 20))


class Noise(nn.Module):
    """Adds white noise at a signal-to-noise ratio uniform in snr_db = [low, high] decibels.

    The ratio is that of the clip's own mean power to the noise's; a silent clip stays silent. The samples
    of the noise are uniform, which costs half of what Gaussian ones do and is as white.
    """

    stage: ClassVar[str] = "inputs"
    modality: ClassVar[str] = "audio"

    def __init__(self, snr_db: tuple[float, float] = (10.0, 40.0)) -> None:
        super().__init__()
        low, high = snr_db
        if low > high:
            raise UserError(f"Noise.snr_db is a range [low, high]: write [{high}, {low}]")
        self.low, self.high = float(low), float(high)

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """Waveforms (B, T) to float of the same shape."""
        x, lengths = as_float(given.values), lengths_of(given)
        # (B, 1): mean power P of a clip; noise of power P / 10^(snr / 10)
        power = x.square().sum(dim=1, keepdim=True) / lengths[:, None].clamp(min=1)
        snr = self.low + (self.high - self.low) * draws.uniform("noise.snr")
        amplitude = torch.sqrt(3 * power * torch.pow(10.0, -snr / 10))  # -a .. a has variance a^2 / 3
        noise = draws.uniform("noise", x.shape[1]).mul_(2).sub_(1).mul_(amplitude)
        return given._replace(values=x + noise.mul_(valid(lengths, x.shape[1])))


class TimeShift(nn.Module):
    """Moves a clip by up to `fraction` of its length, to either side and within its length; zeros enter."""

    stage: ClassVar[str] = "inputs"
    modality: ClassVar[str] = "audio"

    def __init__(self, fraction: Annotated[float, Interval(ge=0, lt=1)] = 0.1) -> None:
        super().__init__()
        self.fraction = fraction

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """Waveforms (B, T) to the same shape and dtype; lengths stay."""
        x, lengths = given.values, lengths_of(given)[:, None]
        shift = ((2 * draws.uniform("time_shift") - 1) * self.fraction * lengths).round().long()
        time = torch.arange(x.shape[1], device=x.device)
        # (B, T): where each output sample is read from; what comes from outside the clip is 0
        source = time - shift
        keep = (source >= 0) & (source < lengths) & (time < lengths)
        return given._replace(values=x.gather(1, source.clamp_(0, x.shape[1] - 1)) * keep)


class Speed(nn.Module):
    """Plays a clip faster or slower, pitch and all, by a factor uniform in 1 - change .. 1 + change.

    Speed perturbation (Ko et al. 2015, Audio Augmentation for Speech Recognition) by linear interpolation.
    Lengths change; the batch is made wide enough for the slowest factor there can be, so that its shape
    does not hang on the draw.
    """

    stage: ClassVar[str] = "inputs"
    modality: ClassVar[str] = "audio"
    STEP_BITS = 16  # places are integers in units of 2^-16 sample: exact on every device, unlike float32 ones

    def __init__(self, change: Annotated[float, Interval(ge=0, le=0.5)] = 0.1) -> None:
        super().__init__()
        self.change = change

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """Waveforms (B, T) to float (B, ceil(T / (1 - change))), lengths become length / factor."""
        x, lengths = as_float(given.values), lengths_of(given)[:, None]
        one = 1 << self.STEP_BITS
        factor = 1 + (2 * draws.uniform("speed") - 1) * self.change
        # how far the input advances for one sample of the output, in units of 2^-16 sample
        step = (factor * one).round().long().clamp(min=math.ceil((1 - self.change) * one))
        after = ((lengths << self.STEP_BITS) // step).clamp(min=1)
        width = math.ceil(x.shape[1] / (1 - self.change))
        place = torch.arange(width, device=x.device) * step
        # whole part: the two neighbours (B, width); what is left over: the weight of the right one
        left = (place >> self.STEP_BITS).minimum(lengths - 1).clamp_(min=0)
        right = (left + 1).minimum(lengths - 1).clamp_(min=0)
        share = (place & (one - 1)).to(x.dtype) / one
        played = torch.lerp(x.gather(1, left), x.gather(1, right), share)
        return given._replace(values=played * valid(after[:, 0], width), lengths=after[:, 0])

    def shortest(self, lengths: Tensor) -> Tensor:
        """The fewest samples (N,) that clips of `lengths` (N,) may have left."""
        return ((lengths << self.STEP_BITS) // round((1 + self.change) * (1 << self.STEP_BITS))).clamp(min=1)


class TractWarp(nn.Module):
    """Moves all formants up or down, as a longer or shorter vocal tract does (Jaitly and Hinton 2013).

    The axis of mel bins is stretched by a factor uniform in 1 - change .. 1 + change, from the lowest tone on: bin b
    becomes what was at b times the factor, linear between two bins, and the last bin beyond it.
    """

    stage: ClassVar[str] = "features"
    modality: ClassVar[str] = "audio"

    def __init__(self, change: Annotated[float, Interval(ge=0, le=0.5)] = 0.2) -> None:
        super().__init__()
        self.change = change

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """Log-mel (B, 1, bins, frames) to the same shape; waveforms (B, 1, T) count as one bin."""
        x = given.values
        bins = x.shape[-2]
        factor = 1 + (2 * draws.uniform("tract_warp") - 1) * self.change
        # (B, bins): the place that each bin is read from
        place = (torch.arange(bins, device=x.device) * factor).clamp(max=bins - 1)
        left = place.long()
        share = (place - left).to(x.dtype)
        shape = (x.shape[0], *[1] * (x.dim() - 3), bins, 1)
        low, high = (
            x.gather(-2, at.view(shape).expand(x.shape)) for at in (left, (left + 1).clamp(max=bins - 1))
        )
        return given._replace(values=torch.lerp(low, high, share.view(shape)))


class SpecAugment(nn.Module):
    """Sets bands of bins and stretches of frames to the mean (Park et al. 2019, arXiv:1904.08779).

    After the frontend the mean is 0. freq_width: a band's greatest width in bins. time_width: a stretch's
    greatest length as a fraction of the clip's own frames. Widths are uniform from 0 on; one band
    never covers all bins.
    """

    stage: ClassVar[str] = "features"
    modality: ClassVar[str] = "audio"

    def __init__(
        self,
        freq_masks: Annotated[int, Ge(0)] = 2,
        freq_width: Annotated[int, Ge(0)] = 10,
        time_masks: Annotated[int, Ge(0)] = 2,
        time_width: Annotated[float, Interval(ge=0, le=1)] = 0.15,
    ) -> None:
        super().__init__()
        self.freq_masks, self.freq_width = freq_masks, freq_width
        self.time_masks, self.time_width = time_masks, time_width

    def forward(self, given: Input, draws: SampleRandom) -> Input:
        """Log-mel (B, 1, bins, frames) to the same shape; waveforms (B, 1, T) count as one bin."""
        x = given.values
        bins, frames = x.shape[-2:]
        lengths = lengths_of(given)[:, None]
        u = draws.uniform("spec_augment", 2 * (self.freq_masks + self.time_masks))
        freq, time = u.split((2 * self.freq_masks, 2 * self.time_masks), dim=1)
        total = torch.full_like(lengths, bins)
        rows = _stretches(freq, total, total.clamp(max=min(self.freq_width, bins - 1)), bins)
        columns = _stretches(time, lengths, (lengths * self.time_width).long(), frames)
        mask = rows[:, :, None] | columns[:, None, :]
        return given._replace(values=x.masked_fill(mask if x.dim() == 3 else mask[:, None], 0))


def _stretches(u: Tensor, total: Tensor, widest: Tensor, size: int) -> Tensor:
    """Booleans (B, size), true on the union of k stretches within each row's first `total` entries.

    u (B, 2 k) gives each stretch's width, 0 .. `widest` (B, 1), and its place.
    """
    share, place = u.chunk(2, dim=1)
    # (B, k): widths uniform on 0 .. widest, starts uniform on 0 .. total - width
    width = torch.floor(share * (widest + 1))
    start = torch.floor(place * (total - width + 1))
    # (B, k, size), then whether any of the k stretches holds an entry
    index = torch.arange(size, device=u.device)
    return ((index >= start[:, :, None]) & (index < (start + width)[:, :, None])).any(dim=1)


def _hz_to_mel(hz: float) -> float:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear to 1 kHz, logarithmic above."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def mel_filters(sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> Tensor:
    """float64 (n_mels, n_fft // 2 + 1): triangles evenly spaced in mel from fmin to fmax, of area 1."""
    mel = torch.linspace(_hz_to_mel(fmin), _hz_to_mel(fmax), n_mels + 2, dtype=torch.float64)
    # (n_mels + 2,) in Hz: the inverse of `_hz_to_mel`; filter m rises from edge m to m + 1 and falls to m + 2
    edges = torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * (math.log(6.4) / 27)))
    hz = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    # (n_mels, 1) against hz (n_fft // 2 + 1,)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = torch.minimum((hz - left) / (centre - left), (right - hz) / (right - centre)).clamp(min=0)
    return triangles * 2 / (right - left)


_LOUD, _LEAST = 7.0, -3.0  # nats; deviations


class LogMel(nn.Module):
    """Frontend: the natural logarithm of mel power, normalised.

    Hann window of window_ms, centred, zeros outside the clip; FFT of the next power of two; Slaney's filters; power
    below `floor` counts as it (by default about int16's rounding noise, so digital silence looks like the quietest
    recording; a higher one leaves sounds more of the range). normalize: "clip" takes each clip's own mean and deviation
    out (loudness goes), "cmvn" those of each of the clip's mel bins (cepstral mean and variance normalisation: the
    microphone and a voice's timbre go, too; of loud frames, not below -3), "bin" those of each mel bin over the
    training set (kept as buffers), "none" nothing. Beyond a clip's length is 0. fmax: None is half the sample rate.
    """

    modality: ClassVar[str] = "audio"
    STD_FLOOR = 1e-2  # nats: a silent clip, or a bin that never sounds, becomes 0 and not noise

    mean: Tensor
    std: Tensor
    window: Tensor
    filters: Tensor

    def __init__(
        self,
        sample_rate: Annotated[int, Ge(1)],
        n_mels: Annotated[int, Ge(1)] = 64,
        window_ms: Annotated[float, Gt(0)] = 25.0,
        hop_ms: Annotated[float, Gt(0)] = 10.0,
        fmin: Annotated[float, Ge(0)] = 0.0,
        fmax: Annotated[float, Gt(0)] | None = None,
        normalize: Literal["clip", "cmvn", "bin", "none"] = "clip",
        floor: Annotated[float, Gt(0)] = 1e-10,
    ) -> None:
        super().__init__()
        top = sample_rate / 2 if fmax is None else fmax
        if not fmin < top <= sample_rate / 2:
            raise UserError(
                f"LogMel: fmin < fmax <= sample_rate / 2 must hold, but fmin={fmin}, fmax={top}, "
                f"sample_rate / 2={sample_rate / 2}; leave fmax out for half the sample rate"
            )
        self.n_mels, self.normalize, self.floor = n_mels, normalize, floor
        samples = max(1, round(sample_rate * window_ms / 1000))
        self.hop = max(1, round(sample_rate * hop_ms / 1000))
        # the next power of two, at least 2
        self.n_fft = 1 << (samples - 1).bit_length() if samples > 1 else 2
        filters = mel_filters(sample_rate, self.n_fft, n_mels, fmin, top)
        if (empty := int((filters.sum(dim=1) == 0).sum())) > 0:
            raise UserError(
                f"LogMel: {empty} of n_mels={n_mels} mel filters are narrower than one step of the FFT "
                f"({sample_rate / self.n_fft:.1f} Hz) and hold nothing: lower n_mels or raise window_ms"
            )
        self.register_buffer("window", torch.hann_window(samples), persistent=False)
        self.register_buffer("filters", filters.float(), persistent=False)
        self.register_buffer("mean", torch.zeros(n_mels, 1))
        self.register_buffer("std", torch.ones(n_mels, 1))

    def forward(self, given: Input) -> Input:
        """Waveforms (B, T) to float32 (B, 1, n_mels, 1 + T // hop), lengths in frames: 1 + length // hop."""
        mel, lengths = self._log_mel(given)
        inside = valid(lengths, mel.shape[-1])[:, None, :]
        if self.normalize == "clip":
            mel = _standardize(mel, inside, (1, 2), self.STD_FLOOR)
        elif self.normalize == "cmvn":
            mel = _standardize(mel, _loud(mel, inside), (2,), self.STD_FLOOR).clamp(min=_LEAST)
        elif self.normalize == "bin":
            mel = (mel - self.mean) / self.std
        return given._replace(values=(mel * inside)[:, None], lengths=lengths)

    def _log_mel(self, given: Input) -> tuple[Tensor, Tensor]:
        """Log power (B, n_mels, frames), and the lengths in frames; never in half precision."""
        x, lengths = as_float(given.values).float(), lengths_of(given)
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.stft(
                x * valid(lengths, x.shape[1]),
                self.n_fft,
                self.hop,
                self.window.shape[0],
                self.window,
                center=True,
                pad_mode="constant",
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            return torch.log(torch.matmul(self.filters, power).clamp(min=self.floor)), self.output_lengths(
                lengths
            )

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames (N,) of clips of `lengths` (N,) samples."""
        return 1 + lengths // self.hop

    def fit(self, batches: Iterable[Input]) -> None:
        """normalize="bin": every bin's mean and deviation over all valid frames, summed in float64."""
        if self.normalize != "bin":
            return
        total, count = torch.zeros(2, self.n_mels, dtype=torch.float64), 0
        for given in batches:
            mel, lengths = self._log_mel(given)
            mel = mel.double() * valid(lengths, mel.shape[-1])[:, None, :]
            # (2, n_mels): sum and sum of squares
            total += torch.stack((mel.sum((0, 2)), mel.square().sum((0, 2)))).cpu()
            count += int(lengths.sum())
        if count == 0:
            raise UserError("LogMel: there is no training clip to take mean and deviation from")
        mean, square = total / count
        self.mean.copy_(mean[:, None])
        # sqrt(E[x^2] - E[x]^2)
        self.std.copy_((square - mean.square()).clamp(min=0).sqrt().clamp(min=self.STD_FLOOR)[:, None])

    def facts(self) -> dict[str, Any]:
        """What a net sees: one channel of n_mels bins."""
        return {"bins": self.n_mels, "in_channels": 1}


def _standardize(mel: Tensor, frames: Tensor, axes: tuple[int, ...], floor: float) -> Tensor:
    """mel (B, bins, T) less its mean along the axes, over its deviation; both of the `frames` (B, 1, T) alone."""
    count = frames.sum(2, keepdim=True) * (mel.shape[1] if 1 in axes else 1)
    centred = mel - (mel * frames).sum(axes, keepdim=True) / count
    variance = (centred * frames).square().sum(axes, keepdim=True) / count
    return centred / variance.sqrt().clamp(min=floor)


def _loud(mel: Tensor, inside: Tensor) -> Tensor:
    """Booleans (B, 1, T): frames whose mean is at most 7 nats (30 dB) below the greatest; pauses do not count."""
    level = mel.mean(1, keepdim=True).masked_fill(~inside, -torch.inf)
    return level > level.amax(2, keepdim=True) - _LOUD


class Waveform(nn.Module):
    """Frontend: the samples themselves, as one channel of float32 in -1 .. 1.

    rms: divide each clip by its root mean square, so that loudness goes; a silent clip stays silent.
    """

    modality: ClassVar[str] = "audio"
    RMS_FLOOR = 1e-4  # -80 dB: what is quieter is not blown up

    def __init__(self, rms: bool = False) -> None:
        super().__init__()
        self.rms = rms

    def forward(self, given: Input) -> Input:
        """Waveforms (B, T) to (B, 1, T); zeros beyond each length."""
        lengths = lengths_of(given)
        x = as_float(given.values).float() * valid(lengths, given.values.shape[1])
        if self.rms:
            power = x.square().sum(dim=1, keepdim=True) / lengths[:, None].clamp(min=1)
            x = x / power.sqrt().clamp(min=self.RMS_FLOOR)
        return given._replace(values=x[:, None], lengths=lengths)

    def fit(self, batches: Iterable[Input]) -> None:
        """Nothing is learned."""

    def facts(self) -> dict[str, Any]:
        """What a net sees: one channel."""
        return {"in_channels": 1}
