"""Checks of the inputs: bad files, constant inputs, channels, image sizes, sample rates, truncation, vocabulary."""

import json
from collections.abc import Iterator

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.table import Ragged
from leyden.data.tokenizers import UNKNOWN_ID
from leyden.health.data.common import MAX_EVIDENCE, SPLITS, examples, names_of, split_codes
from leyden.health.data.input_stats import InputStats
from leyden.health.findings import CheckResult, Finding, Level
from leyden.utils.text import percent

BAD_WARNING = 0.01  # of all inputs, if data.on_bad=skip removes them
CONSTANT_WARNING, CONSTANT_ERROR = 0.001, 0.1  # of the inputs of train, val and test
CLIPPED_SAMPLES, CLIPPED_WARNING = 0.001, 0.1  # of a recording's samples, of the recordings
FLAT_CHANNEL = 1.0  # grey levels: standard deviation over all pixels
TRUNCATED_WARNING = 0.1  # of the inputs
UNKNOWN_WARNING = 0.2  # of validation and test tokens
RATE_WARNING = 0.01  # of the recordings have a lower sample rate than they are used at
ENLARGED_WARNING = 0.1  # of the images are enlarged to more than twice their size


def check_inputs(data: DataModule, stats: InputStats, stops: bool) -> Iterator[CheckResult]:
    """The checks of the inputs that apply to the modality.

    Args:
        data: the data, already loaded.
        stats: statistics of its inputs.
        stops: training would stop at inputs that cannot be decoded.
    """
    yield bad_files(data, stops)
    yield constant(data, stats.rows[stats.constant])
    if data.source.modality == "image":
        yield channels(data, stats)
        yield from sizes(data)
    elif data.source.modality == "audio":
        yield clipping(data, stats)
        yield from rates(data)
        yield from lengths(data)
    else:
        yield from lengths(data)
        yield words(data)


def bad_files(data: DataModule, stops: bool) -> CheckResult:
    """Inputs that cannot be decoded; `stops`: training would stop at them."""
    name, skipped = "readable inputs", data.table.skipped
    total = len(skipped) + len(data.table)
    summary = f"{len(data.table):,} of {total:,}"
    if not len(skipped):
        return CheckResult(name, summary)
    share = len(skipped) / total
    level: Level = "error" if stops else "warning" if share > BAD_WARNING else "info"
    what = "and would stop training" if stops else "and are removed"
    listed = examples(skipped.lines(), len(skipped))
    message = f"{len(skipped):,} of {total:,} inputs cannot be decoded {what}: {listed}."
    evidence = {"share": share, "count": len(skipped), "names": skipped.lines()[:MAX_EVIDENCE]}
    advice = ("data.on_bad=skip",) if stops else ()
    return CheckResult(name, summary, (Finding("bad_files", level, message, "", advice, evidence),))


_CONSTANT_KINDS = {
    "image": ("constant_input", "images of more than one colour", "have only one colour"),
    "audio": ("silent_input", "recordings that are not silent", "are silent"),
    "text": ("empty_input", "texts with a known token", "have no known token"),
}


def constant(data: DataModule, empty: np.ndarray) -> CheckResult:
    """Images of one colour, silent recordings, texts without a known token: the rows `empty` (m,)."""
    identity, name, what = _CONSTANT_KINDS[data.source.modality]
    total = sum(map(len, data.splits))
    summary = f"{total - len(empty):,} of {total:,}"
    if not len(empty):
        return CheckResult(name, summary)
    share = len(empty) / total
    level: Level = "error" if share > CONSTANT_ERROR else "warning" if share > CONSTANT_WARNING else "info"
    names = names_of(data, empty)
    message = f"{len(empty):,} of {total:,} inputs ({percent(share)}) {what}: {examples(names, len(empty))}."
    where = ", ".join(SPLITS[p] for p in np.unique(split_codes(data)[empty]))
    evidence = {"share": share, "count": len(empty), "names": names}
    return CheckResult(name, summary, (Finding(identity, level, message, where, (), evidence),))


def channels(data: DataModule, stats: InputStats) -> CheckResult:
    """Channels that do not vary, and three equal channels."""
    count = stats.levels.shape[1] // 2
    train = stats.levels[: len(data.splits.train)].astype(np.float64)
    mean, std = train[:, :count], train[:, count:]
    spread = np.sqrt(np.maximum((std**2 + mean**2).mean(0) - mean.mean(0) ** 2, 0))
    summary = f"mean {_listed(mean.mean(0))}, deviation {_listed(spread)} of 255"
    found = [
        Finding(
            "constant_channel",
            "warning",
            f"Channel {channel} is nearly constant (standard deviation {spread[channel]:.2g} of 255): no information.",
            f"channel {channel}",
            (),
            {"deviation": float(spread[channel])},
        )
        for channel in np.flatnonzero(spread < FLAT_CHANNEL).tolist()
    ]
    if stats.grey:
        message = "The three channels of every image are equal: greyscale images read as colour, at 3 times the cost."
        found.append(Finding("grey_as_colour", "info", message, "", ("data.source.channels=1",)))
    return CheckResult("channels", summary, tuple(found))


def _listed(values: np.ndarray) -> str:
    return "/".join(f"{value:.3g}" for value in values)


def sizes(data: DataModule) -> Iterator[CheckResult]:
    """Sizes of the image files, for sources that resize: images enlarged to more than twice their size."""
    if not hasattr(data.source, "sizes"):
        return
    found = np.asarray(data.source.sizes(), dtype=np.int64).reshape(-1, 2)
    target = min(data.spec.image_size)
    shorter = found.min(axis=1, initial=np.iinfo(np.int64).max)
    share = float(np.mean(shorter * 2 < target)) if len(found) else 0.0
    distinct = len(np.unique(found, axis=0))
    low, high = found.min(0, initial=1 << 30), found.max(0, initial=0)
    summary = f"{distinct:,} sizes, {low[0]}x{low[1]} to {high[0]}x{high[1]} pixels, used at {target}"
    findings = []
    if share > ENLARGED_WARNING:
        message = (
            f"{percent(share)} of the images are enlarged to more than twice their size ({summary}): they are blurred, "
            "and a net can use blur as a shortcut to the source of an image."
        )
        advice = (f"data.source.size={int(np.median(shorter))}",)
        findings.append(
            Finding("image_sizes", "warning", message, "", advice, {"share": share, "sizes": distinct})
        )
    yield CheckResult("image sizes", summary, tuple(findings))


def clipping(data: DataModule, stats: InputStats) -> CheckResult:
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
        found.append(Finding("clipping", "warning", message, "", (), {"share": share, "names": names}))
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


def lengths(data: DataModule) -> Iterator[CheckResult]:
    """Inputs that reach the limit on tokens or seconds: probably truncated."""
    limit, key = _limit(data)
    if not limit or data.lengths is None:
        return
    used = data.lengths[np.concatenate(data.splits)]
    share = float(np.mean(used >= limit))
    unit = "tokens" if data.source.modality == "text" else "samples"
    summary = f"{percent(share)} reach the limit of {limit:,} {unit}"
    found = []
    if share > TRUNCATED_WARNING:
        message = f"{summary}: they are truncated."
        found.append(
            Finding("lengths_cut", "warning", message, "", (f"{key}=null",), {"share": share, "limit": limit})
        )
    yield CheckResult("lengths", summary, tuple(found))


def _limit(data: DataModule) -> tuple[int, str]:
    """(limit in tokens or samples beyond which inputs are truncated, 0: none; the key that sets it)."""
    if data.tokenizer is not None:
        stored = json.loads(data.tokenizer.to_json()).get("truncation") or {}
        return int(stored.get("max_length", 0)), "data.tokenizer.max_length"
    seconds = getattr(data.source, "max_seconds", None)
    return (
        0 if seconds is None else max(1, round(seconds * data.spec.sample_rate))
    ), "data.source.max_seconds"


def words(data: DataModule) -> CheckResult:
    """Share of validation and test tokens that are unknown to the tokenizer."""
    ids = data.inputs
    assert isinstance(ids, Ragged)
    evaluated = np.concatenate([data.splits.val, data.splits.test])
    unknown, total = 0, 0
    for row in evaluated.tolist():
        piece = ids.row(row)
        unknown, total = unknown + int(np.count_nonzero(piece == UNKNOWN_ID)), total + len(piece)
    share = unknown / max(total, 1)
    summary = f"{percent(share)} of validation and test tokens are unknown"
    if share <= UNKNOWN_WARNING:
        return CheckResult("vocabulary", summary)
    message = f"{summary} to the tokenizer, which is fitted to the training texts: their information is lost."
    advice = ("data/tokenizer=bpe", "data/tokenizer=char")
    finding = Finding("out_of_vocabulary", "warning", message, "val, test", advice, {"share": share})
    return CheckResult("vocabulary", summary, (finding,))
