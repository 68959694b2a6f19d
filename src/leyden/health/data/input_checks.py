"""What the inputs are like: bad files, constant and silent inputs, channels, sample rates, lengths, words."""

import json
from collections.abc import Iterator

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.table import Ragged
from leyden.data.tokenizers import UNKNOWN_ID
from leyden.health.data.common import KEPT, PARTS, examples, names_of, part_of, percent
from leyden.health.data.input_stats import InputStats
from leyden.health.findings import CheckResult, Finding, Level

BAD_WARNING = 0.01  # of all inputs, where they are left out by data.on_bad=skip
CONSTANT_WARNING, CONSTANT_ERROR = 0.001, 0.1  # of train, val and test
CLIPPED_SAMPLES, CLIPPED_WARNING = 0.001, 0.1  # of a recording's samples, of the recordings
FLAT_CHANNEL = 1.0  # grey levels: standard deviation over all pixels
CUT_WARNING = 0.1  # of the inputs
UNKNOWN_WARNING = 0.2  # of validation and test tokens
RATE_WARNING = 0.01  # of the recordings have less than the rate they are used at
ENLARGED_WARNING = 0.1  # of the images are enlarged to more than twice their size


def check_inputs(data: DataModule, scan: InputStats, stops: bool) -> Iterator[CheckResult]:
    """Every check of values that the modality has."""
    yield bad_files(data, stops)
    yield constant(data, scan.rows[scan.constant])
    if data.source.modality == "image":
        yield channels(data, scan)
        yield from sizes(data)
    elif data.source.modality == "audio":
        yield clipping(data, scan)
        yield from rates(data)
        yield from lengths(data)
    else:
        yield from lengths(data)
        yield words(data)


def bad_files(data: DataModule, stops: bool) -> CheckResult:
    """Inputs that could not be decoded; `stops`: training would refuse them."""
    name, skipped = "files that can be read", data.table.skipped
    total = len(skipped) + len(data.table)
    told = f"{len(data.table):,} of {total:,}"
    if not len(skipped):
        return CheckResult(name, told)
    share = len(skipped) / total
    level: Level = "error" if stops else "warning" if share > BAD_WARNING else "info"
    what = "and training stops" if stops else "and left out"
    listed = examples(skipped.lines(), len(skipped))
    message = f"{len(skipped):,} of {total:,} inputs cannot be decoded {what}: {listed}."
    evidence = {"share": share, "count": len(skipped), "names": skipped.lines()[:KEPT]}
    advice = ("data.on_bad=skip",) if stops else ()
    return CheckResult(name, told, (Finding("bad_files", level, message, "", advice, evidence),))


_NOTHING = {
    "image": ("constant_input", "images of more than one colour", "are one colour"),
    "audio": ("silent_input", "recordings that are not silent", "are silent"),
    "text": ("empty_input", "texts with a known token", "hold no known token"),
}


def constant(data: DataModule, empty: np.ndarray) -> CheckResult:
    """Images of one colour, silent recordings, texts of unknown tokens alone: the rows `empty` (m,)."""
    identity, name, what = _NOTHING[data.source.modality]
    total = sum(map(len, data.splits))
    told = f"{total - len(empty):,} of {total:,}"
    if not len(empty):
        return CheckResult(name, told)
    share = len(empty) / total
    level: Level = "error" if share > CONSTANT_ERROR else "warning" if share > CONSTANT_WARNING else "info"
    names = names_of(data, empty)
    message = f"{len(empty):,} of {total:,} inputs ({percent(share)}) {what}: {examples(names, len(empty))}."
    where = ", ".join(PARTS[p] for p in np.unique(part_of(data)[empty]))
    evidence = {"share": share, "count": len(empty), "names": names}
    return CheckResult(name, told, (Finding(identity, level, message, where, (), evidence),))


def channels(data: DataModule, scan: InputStats) -> CheckResult:
    """Channels that never vary, and three that are one."""
    count = scan.levels.shape[1] // 2
    train = scan.levels[: len(data.splits.train)].astype(np.float64)
    mean, std = train[:, :count], train[:, count:]
    spread = np.sqrt(np.maximum((std**2 + mean**2).mean(0) - mean.mean(0) ** 2, 0))
    told = f"mean {_listed(mean.mean(0))}, deviation {_listed(spread)} of 255"
    found = [
        Finding(
            "constant_channel",
            "warning",
            f"Channel {channel} hardly varies (standard deviation {spread[channel]:.2g} of 255): nothing is in it.",
            f"channel {channel}",
            (),
            {"deviation": float(spread[channel])},
        )
        for channel in np.flatnonzero(spread < FLAT_CHANNEL).tolist()
    ]
    if scan.grey:
        message = "The three channels of every image are equal: grey pictures, read as colour at three times the cost."
        found.append(Finding("grey_as_colour", "info", message, "", ("data.source.channels=1",)))
    return CheckResult("channels", told, tuple(found))


def _listed(values: np.ndarray) -> str:
    return "/".join(f"{value:.3g}" for value in values)


def sizes(data: DataModule) -> Iterator[CheckResult]:
    """How much the files' sizes differ, where the source knows them and resizes."""
    if not hasattr(data.source, "sizes"):
        return
    found = np.asarray(data.source.sizes(), dtype=np.int64).reshape(-1, 2)
    target = min(data.spec.image_size)
    shorter = found.min(axis=1, initial=np.iinfo(np.int64).max)
    share = float(np.mean(shorter * 2 < target)) if len(found) else 0.0
    distinct = len(np.unique(found, axis=0))
    low, high = found.min(0, initial=1 << 30), found.max(0, initial=0)
    told = f"{distinct:,} sizes, {low[0]}x{low[1]} to {high[0]}x{high[1]} pixels, used at {target}"
    findings = []
    if share > ENLARGED_WARNING:
        message = (
            f"{percent(share)} of the images are enlarged to more than twice their size ({told}): they are blurred, "
            "and blur may tell one source of pictures from another."
        )
        advice = (f"data.source.size={int(np.median(shorter))}",)
        findings.append(
            Finding("image_sizes", "warning", message, "", advice, {"share": share, "sizes": distinct})
        )
    yield CheckResult("image sizes", told, tuple(findings))


def clipping(data: DataModule, scan: InputStats) -> CheckResult:
    """Recordings that were recorded too loud."""
    clipped = scan.rows[scan.clipped > CLIPPED_SAMPLES]
    share = len(clipped) / len(scan.rows)
    told = f"{len(scan.rows) - len(clipped):,} of {len(scan.rows):,}"
    found = []
    if share > CLIPPED_WARNING:
        names = names_of(data, clipped)
        message = (
            f"{percent(share)} of the recordings are clipped (more than {percent(CLIPPED_SAMPLES)} of their samples "
            f"at full scale): {examples(names, len(clipped))}."
        )
        found.append(Finding("clipping", "warning", message, "", (), {"share": share, "names": names}))
    return CheckResult("recordings that are not clipped", told, tuple(found))


def rates(data: DataModule) -> Iterator[CheckResult]:
    """The files' sample rates against the one they are used at, where the source knows them."""
    if not hasattr(data.source, "rates"):
        return
    counts, used = data.source.rates(), data.spec.sample_rate
    told = f"{', '.join(f'{rate:,} Hz: {n:,}' for rate, n in sorted(counts.items()))}; used at {used:,} Hz"
    total = sum(counts.values())
    lower = sum(n for rate, n in counts.items() if rate < used)
    higher = sum(n for rate, n in counts.items() if rate > used)
    found = []
    if lower > RATE_WARNING * total:
        message = (
            f"{percent(lower / total)} of the recordings have a lower sample rate than the {used:,} Hz they are used "
            f"at ({told}): above half their own rate there is nothing, and a net can tell them by that."
        )
        advice = (f"data.source.sample_rate={min(counts)}",)
        found.append(
            Finding("sample_rate", "warning", message, "", advice, {"rates": _plain(counts), "used": used})
        )
    elif higher > RATE_WARNING * total and len(counts) > 1:
        message = f"The recordings have several sample rates ({told}); the higher ones are resampled."
        found.append(Finding("sample_rate", "info", message, "", (), {"rates": _plain(counts), "used": used}))
    yield CheckResult("sample rates", told, tuple(found))


def _plain(counts: dict[int, int]) -> dict[str, int]:
    return {str(rate): n for rate, n in counts.items()}


def lengths(data: DataModule) -> Iterator[CheckResult]:
    """How many inputs are as long as is read of them at most."""
    limit, key = _limit(data)
    if not limit or data.lengths is None:
        return
    used = data.lengths[np.concatenate(data.splits)]
    share = float(np.mean(used >= limit))
    unit = "tokens" if data.source.modality == "text" else "samples"
    told = f"{percent(share)} reach the limit of {limit:,} {unit}"
    found = []
    if share > CUT_WARNING:
        message = f"{told}: their ends are cut off and never seen."
        found.append(
            Finding("lengths_cut", "warning", message, "", (f"{key}=null",), {"share": share, "limit": limit})
        )
    yield CheckResult("lengths", told, tuple(found))


def _limit(data: DataModule) -> tuple[int, str]:
    """Beyond how many tokens or samples an input is cut, and what sets it; 0: nowhere."""
    if data.tokenizer is not None:
        stored = json.loads(data.tokenizer.to_json()).get("truncation") or {}
        return int(stored.get("max_length", 0)), "data.tokenizer.max_length"
    seconds = getattr(data.source, "max_seconds", None)
    return (
        0 if seconds is None else max(1, round(seconds * data.spec.sample_rate))
    ), "data.source.max_seconds"


def words(data: DataModule) -> CheckResult:
    """Tokens of validation and test that the tokenizer does not know."""
    ids = data.inputs
    assert isinstance(ids, Ragged)
    tested = np.concatenate([data.splits.val, data.splits.test])
    unknown, total = 0, 0
    for row in tested.tolist():
        piece = ids.row(row)
        unknown, total = unknown + int(np.count_nonzero(piece == UNKNOWN_ID)), total + len(piece)
    share = unknown / max(total, 1)
    told = f"{percent(share)} of validation and test tokens are unknown"
    if share <= UNKNOWN_WARNING:
        return CheckResult("vocabulary", told)
    message = f"{told} to the tokenizer, which has learnt the training texts: what they say is lost."
    advice = ("data/tokenizer=bpe", "data/tokenizer=char")
    finding = Finding("out_of_vocabulary", "warning", message, "val, test", advice, {"share": share})
    return CheckResult("vocabulary", told, (finding,))
