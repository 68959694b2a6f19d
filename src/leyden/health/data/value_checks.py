"""Checks of numeric targets: constant in a split, outside the range of train, of another distribution."""

from collections.abc import Iterator

import numpy as np
from scipy.special import kolmogorov

from leyden.data.datamodule import DataModule
from leyden.health.data.common import SPLITS
from leyden.health.findings import CheckResult, Finding, Level
from leyden.utils.text import percent

OUTSIDE_INFO, OUTSIDE_WARNING = 0.01, 0.1  # of a split's samples, outside the range of train
_CHANCE = 5.0  # times the share outside that splits of one distribution have: 2 of n + 1
MAX_DISTANCE = 0.1  # Kolmogorov-Smirnov statistic
SIGNIFICANCE = 1e-4  # level of its test


def values(data: DataModule) -> CheckResult:
    """Targets that are constant in a split, or outside the range that they have in train."""
    names = data.table.index.target_names
    train, *others = (data.table.index.targets[rows] for rows in data.splits)
    low, high = train.min(axis=0), train.max(axis=0)
    ranges = zip(names, low.tolist(), high.tolist(), strict=True)
    listed = ", ".join(f"{name} {a:.4g} to {b:.4g}" for name, a, b in list(ranges)[:3])
    summary = f"{listed}{' ...' if len(names) > 3 else ''} in train"
    findings = [*_constant(data, (train, *others))]
    for code, found in enumerate(others, 1):
        findings += _outside(found, (low, high), len(train), names, SPLITS[code])
    return CheckResult("targets", summary, tuple(findings))


def _constant(data: DataModule, targets: tuple[np.ndarray, ...]) -> Iterator[Finding]:
    """The targets of which all samples of a split have the same value, by split (n, K)."""
    for split, found in zip(SPLITS, targets, strict=True):
        if len(found) < 2:
            continue
        names = [
            data.table.index.target_names[k] for k in np.flatnonzero(np.ptp(found, axis=0) == 0).tolist()
        ]
        if names:
            result = "they cannot be learned" if split == "train" else "no metric measures their prediction"
            message = f"In {split}, {', '.join(names)} have the same value in every sample: {result}."
            evidence = {"targets": names}
            yield Finding("target_range", "warning", message, split, ("split=stratified",), evidence)


def _outside(
    found: np.ndarray,
    trained: tuple[np.ndarray, np.ndarray],
    samples: int,
    names: tuple[str, ...],
    split: str,
) -> Iterator[Finding]:
    """The target of which most samples (n, K) are outside the range of `samples` training samples."""
    if not len(found):
        return
    low, high = trained
    shares = ((found < low) | (found > high)).mean(axis=0)
    worst = int(shares.argmax())
    share = float(shares[worst])
    if share <= max(OUTSIDE_INFO, _CHANCE * 2 / (samples + 1)):
        return
    level: Level = "warning" if share > OUTSIDE_WARNING else "info"
    here, there = (float(found[:, worst].min()), float(found[:, worst].max())), (low[worst], high[worst])
    message = (
        f"{percent(share)} of the {split} samples have a {names[worst]} outside the range of train ({here[0]:.4g} to "
        f"{here[1]:.4g}, in train {there[0]:.4g} to {there[1]:.4g}): the model must extrapolate."
    )
    evidence = {"share": share, "target": names[worst], split: list(here), "train": [float(x) for x in there]}
    yield Finding("target_range", level, message, split, ("split=stratified",), evidence)


def value_shares(data: DataModule) -> CheckResult:
    """Whether targets have the same distribution in validation and test, and in train and test."""
    names, targets = data.table.index.target_names, data.table.index.targets
    summaries, findings = [], []
    for one, other in ((0, 2), (1, 2)):
        samples = [targets[data.splits[code]] for code in (one, other)]
        where = f"{SPLITS[one]}, {SPLITS[other]}"
        if not all(map(len, samples)):
            summaries.append(f"{where}: a split is empty")
            continue
        distances = [_distance(*(found[:, k] for found in samples)) for k in range(len(names))]
        worst = int(np.argmax(distances))
        summaries.append(f"{where}: distance {distances[worst]:.2g}")
        p = _p_value(distances[worst], *map(len, samples)) * len(names)  # Bonferroni
        if distances[worst] > MAX_DISTANCE and p < SIGNIFICANCE:
            means = [float(found[:, worst].mean()) for found in samples]
            findings.append(_shift(names[worst], distances[worst], p, where, means))
    return CheckResult("distribution of targets", "; ".join(summaries), tuple(findings))


def _shift(name: str, distance: float, p: float, where: str, means: list[float]) -> Finding:
    one, other = where.split(", ")
    message = (
        f"{name} is distributed differently in {one} and {other} (Kolmogorov-Smirnov distance {distance:.2g}; mean "
        f"{means[0]:.4g} and {means[1]:.4g}): what is learned or chosen on {one} may not be best on {other}."
    )
    evidence = {"target": name, "distance": distance, "p": p}
    return Finding("target_shift", "warning", message, where, ("split=stratified",), evidence)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Largest distance of the empirical distribution functions of samples (n,) and (m,)."""
    every = np.concatenate([one, other])
    below = (np.searchsorted(np.sort(found), every, side="right") / len(found) for found in (one, other))
    return float(np.abs(np.subtract(*below)).max())


def _p_value(distance: float, n: int, m: int) -> float:
    """Of the two-sample Kolmogorov-Smirnov test, asymptotic; conservative where values are equal."""
    return float(kolmogorov(distance * np.sqrt(n * m / (n + m))))
