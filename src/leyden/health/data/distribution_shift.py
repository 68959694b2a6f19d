"""Whether validation and test look like training data: in range, and to a classifier that has to tell them apart."""

from dataclasses import replace

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.health.data.common import PARTS
from leyden.health.data.input_stats import InputStats
from leyden.health.findings import CheckResult, Finding

SIGMAS = 3.0  # of the training samples
LEAST = 1.0  # grey levels or dB: what varies less is taken to vary by so much
TELLING = 0.8  # area under the ROC curve by which train and another split are told apart
_FEWEST, _MOST = 60, 4000  # samples of each split that are looked at for that


def shift(data: DataModule, scan: InputStats) -> CheckResult:
    """Validation or test whose values are of another range, or that can be told from train at a glance."""
    bounds = np.cumsum([len(rows) for rows in data.splits])
    parts = np.split(np.arange(len(scan.rows)), bounds[:2])
    told: list[str] = []
    found: list[Finding] = []
    for code in (1, 2):
        sigmas, dimension = _sigmas(scan.levels[parts[0]], scan.levels[parts[code]])
        new_groups = _disjoint(data, code)
        area = 0.5 if new_groups else _told_apart(scan.features[parts[0]], scan.features[parts[code]])
        told.append(f"{PARTS[code]}: {sigmas:.2g} sigma" + ("" if new_groups else f", ROC area {area:.2f}"))
        if sigmas > SIGMAS:
            found.append(_other_range(data, scan, parts, code, sigmas, dimension))
        elif area > TELLING:
            message = (
                f"Samples of {PARTS[code]} can be told from training samples by their colours, loudness, spectrum or "
                f"words alone (area under the ROC curve {area:.2f}; alike: .5): they come from elsewhere, or were "
                "prepared otherwise."
            )
            evidence = {"area": area, "sigmas": sigmas}
            found.append(
                Finding("split_shift", "warning", message, PARTS[code], ("split=stratified",), evidence)
            )
    if (
        len({finding.level for finding in found}) == 1 and len(found) == 2
    ):  # both unlike train: it is one fault
        found = [replace(found[0], where="val, test")]
    return CheckResult("splits look alike", "; ".join(told), tuple(found))


def _sigmas(train: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    """How many standard deviations (over training samples) the other's mean is away, where it is farthest."""
    if not train.shape[1]:
        return 0.0, 0
    spread = np.maximum(train.std(axis=0, dtype=np.float64), LEAST)
    away = np.abs(other.mean(axis=0, dtype=np.float64) - train.mean(axis=0, dtype=np.float64)) / spread
    return float(away.max()), int(away.argmax())


def _other_range(
    data: DataModule, scan: InputStats, parts: list[np.ndarray], code: int, sigmas: float, dimension: int
) -> Finding:
    count = scan.levels.shape[1] // 2
    what = (
        "level in dB"
        if data.source.modality == "audio"
        else f"{'mean' if dimension < count else 'contrast'} of channel {dimension % max(count, 1)}"
    )
    here, there = (float(scan.levels[parts[p], dimension].mean()) for p in (0, code))
    message = (
        f"The {what} is {here:.3g} in train and {there:.3g} in {PARTS[code]}, {sigmas:.2g} standard deviations away: "
        f"{PARTS[code]} was prepared otherwise (swapped, inverted, normalised twice?), and what is measured there "
        "is void."
    )
    evidence = {"sigmas": sigmas, "train": here, PARTS[code]: there}
    return Finding("split_shift", "error", message, PARTS[code], ("split=stratified",), evidence)


def _disjoint(data: DataModule, code: int) -> bool:
    """Whether a part is of other groups than train: then it differs because it should."""
    group = data.table.index.group
    return group is not None and not len(np.intersect1d(group[data.splits.train], group[data.splits[code]]))


def _told_apart(train: np.ndarray, other: np.ndarray) -> float:
    """Area under the ROC curve of a linear classifier of both, on halves it was not fitted on.

    A classifier two-sample test: Lopez-Paz and Oquab 2017, arXiv:1610.06545.
    """
    if min(len(train), len(other)) < _FEWEST:
        return 0.5
    rng = np.random.default_rng(0)
    one, two = (x[rng.permutation(len(x))[:_MOST]].astype(np.float64) for x in (train, other))
    spread = np.maximum(one.std(0), 1e-6)
    centre = one.mean(0)
    one, two = (one - centre) / spread, (two - centre) / spread
    fitted, unseen = (one[::2], two[::2]), (one[1::2], two[1::2])
    within = np.cov(fitted[0].T, bias=True) + np.cov(fitted[1].T, bias=True) + 0.1 * np.eye(one.shape[1])
    direction = np.linalg.solve(within, fitted[1].mean(0) - fitted[0].mean(0))
    low, high = (np.sort(x @ direction) for x in unseen)
    below = (np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")) / 2
    return float(below.mean() / len(low))
