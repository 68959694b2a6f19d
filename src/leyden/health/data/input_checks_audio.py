"""Checks of recordings: silence, clipping, sample rates, truncation, near duplicates."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from leyden.data.datamodule import DataModule
from leyden.health.data import near_duplicates_audio
from leyden.health.data.common import examples, names_of
from leyden.health.data.input_checks import ConstantWords, InputChecks, truncated
from leyden.health.data.input_stats import InputStats
from leyden.health.data.near_duplicates_audio import Waves
from leyden.health.data.nearest_neighbors import Pairs
from leyden.health.findings import CheckResult, Finding
from leyden.utils.text import percent

FULL_SCALE = 32_700  # of int16: a sample beyond is clipped
SILENT = 16  # of int16, -66 dB: peak of a silent recording, at most
CLIPPED_SAMPLES, CLIPPED_WARNING = 0.001, 0.1  # of a recording's samples, of the recordings
RATE_WARNING = 0.01  # of the recordings have a lower sample rate than they are used at
_BANDS = 16  # of a recording's spectrum below 2 kHz


@dataclass(frozen=True)
class AudioStats(InputStats):
    """Statistics of n recordings.

    Args:
        clipped: float32 (n,), share of samples at full scale.
        waves: for near duplicates.
    """

    clipped: np.ndarray
    waves: Waves


class AudioChecks(InputChecks):
    """Checks of the recordings of a data set."""

    constant_words: ClassVar[ConstantWords] = ConstantWords(
        "silent_input", "recordings that are not silent", "are silent"
    )
    feature_words: ClassVar[str] = "loudness, spectrum or length"

    @cached_property
    def stats(self) -> AudioStats:
        """Statistics of every recording of train, val and test."""
        rows = np.concatenate(self.data.splits)
        parts = self._by_chunk(self._part, rows)
        names = ("levels", "features", "constant", "clipped")
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in names}
        return AudioStats(rows=rows, waves=Waves.joined([part["waves"] for part in parts]), **arrays)

    def _part(self, rows: np.ndarray) -> dict[str, Any]:
        clips = [self.data.table.inputs.row(row) for row in rows.tolist()]
        loud = [np.abs(clip.astype(np.int32)) for clip in clips]
        power = np.array([np.mean(np.square(clip, dtype=np.float64)) if len(clip) else 0.0 for clip in clips])
        level = 10 * np.log10(np.maximum(power, 1e-1) / 32768**2)
        waves = near_duplicates_audio.reduced(clips, self.data.spec.sample_rate)
        width = min(int(waves.lengths.max()), near_duplicates_audio.RATE * 2)
        spectrum = (
            torch.fft.rfft(waves.padded(torch.arange(len(waves)), max(width, 4 * _BANDS)), dim=1).abs() ** 2
        )
        bands = (F.adaptive_avg_pool1d(spectrum[:, None], _BANDS)[:, 0] + 1).log().numpy()
        lengths = np.log(np.array([len(clip) + 1 for clip in clips]))
        return {
            "levels": level[:, None].astype(np.float32),
            "features": np.column_stack([bands - bands.mean(1, keepdims=True), level, lengths]).astype(
                np.float32
            ),
            "constant": np.array(
                [x.max(initial=0) <= SILENT or np.ptp(c) == 0 for x, c in zip(loud, clips, strict=True)]
            ),
            "clipped": np.array([np.mean(x >= FULL_SCALE) if len(x) else 0 for x in loud], dtype=np.float32),
            "waves": waves,
        }

    def own_checks(self) -> Iterator[CheckResult]:
        """Clipping, sample rates and truncation."""
        yield clipping(self.data, self.stats)
        yield from rates(self.data)
        seconds = getattr(self.data.source, "max_seconds", None)
        limit = 0 if seconds is None else max(1, round(seconds * self.data.spec.sample_rate))
        yield from truncated(self.data, limit, "samples", "data.source.max_seconds")

    def near_duplicates(self, evaluated: np.ndarray) -> Pairs:
        """By comparing waveforms."""
        queries, keys = (
            torch.from_numpy(self.stats.of(rows)) for rows in (evaluated, self.data.splits.train)
        )
        return near_duplicates_audio.near(self.stats.waves, queries, keys)

    def level_name(self, dimension: int) -> str:
        """The only one."""
        return "level in dB"


def clipping(data: DataModule, stats: AudioStats) -> CheckResult:
    """Clipped recordings: too many samples at full scale."""
    clipped = stats.rows[stats.clipped > CLIPPED_SAMPLES]
    share = len(clipped) / len(stats.rows)
    summary = f"{len(stats.rows) - len(clipped):,} of {len(stats.rows):,}"
    found = []
    if share > CLIPPED_WARNING:
        names = names_of(data, clipped)
        message = (
            f"{percent(share)} of the recordings are clipped (more than {percent(CLIPPED_SAMPLES)} of their samples "
            f"at full scale): {examples(names, len(clipped))}."
        )
        found.append(Finding("clipped_audio", "warning", message, "", (), {"share": share, "names": names}))
    return CheckResult("recordings without clipping", summary, tuple(found))


def rates(data: DataModule) -> Iterator[CheckResult]:
    """Sample rates of the files against the rate they are used at, for sources that know them."""
    if not hasattr(data.source, "rates"):
        return
    counts, used = data.source.rates(), data.spec.sample_rate
    summary = f"{', '.join(f'{rate:,} Hz: {n:,}' for rate, n in sorted(counts.items()))}; used at {used:,} Hz"
    total = sum(counts.values())
    lower = sum(n for rate, n in counts.items() if rate < used)
    higher = sum(n for rate, n in counts.items() if rate > used)
    found = []
    if lower > RATE_WARNING * total:
        message = (
            f"{percent(lower / total)} of the recordings have a lower sample rate than the {used:,} Hz they are used "
            f"at ({summary}): they have no content above half their own rate, which a net can use as a shortcut."
        )
        advice = (f"data.source.sample_rate={min(counts)}",)
        found.append(
            Finding(
                "sample_rate", "warning", message, "", advice, {"rates": _json_keys(counts), "used": used}
            )
        )
    elif higher > RATE_WARNING * total and len(counts) > 1:
        message = f"The recordings have several sample rates ({summary}); the higher ones are resampled."
        found.append(
            Finding("sample_rate", "info", message, "", (), {"rates": _json_keys(counts), "used": used})
        )
    yield CheckResult("sample rates", summary, tuple(found))


def _json_keys(counts: dict[int, int]) -> dict[str, int]:
    return {str(rate): n for rate, n in counts.items()}
