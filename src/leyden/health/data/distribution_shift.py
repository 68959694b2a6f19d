"""Distribution shift between the splits: by range, and by a classifier two-sample test."""

from dataclasses import replace

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.health.data.common import SPLITS, no_check
from leyden.health.data.input_checks import InputChecks
from leyden.health.findings import CheckResult, Finding

MAX_SIGMAS = 3.0  # standard deviations of the training samples between the means
MIN_DEVIATION = 1.0  # grey levels or dB: lower bound of the standard deviation
MAX_AUROC = 0.8  # of a classifier that separates train from another split
_FEWEST, _MOST = 60, 4000  # samples of each split that the classifier uses


def shift(checks: InputChecks) -> CheckResult:
    """Whether the values of validation or test have another range than train, or are separable from it."""
    data, stats = checks.data, checks.stats
    if not stats.levels.shape[1] and not stats.features.shape[1]:
        return CheckResult("distribution shift", no_check(data))
    bounds = np.cumsum([len(rows) for rows in data.splits])
    members = np.split(np.arange(len(stats.rows)), bounds[:2])
    summaries: list[str] = []
    findings: list[Finding] = []
    for code in (1, 2):
        sigmas, dimension = _mean_shift(stats.levels[members[0]], stats.levels[members[code]])
        new_groups = _has_new_groups(data, code)
        area = 0.5 if new_groups else _separability(stats.features[members[0]], stats.features[members[code]])
        summaries.append(
            f"{SPLITS[code]}: {sigmas:.2g} sigma" + ("" if new_groups else f", ROC area {area:.2f}")
        )
        if sigmas > MAX_SIGMAS:
            findings.append(_range_finding(checks, members, code, sigmas, dimension))
        elif area > MAX_AUROC:
            message = (
                f"Samples of {SPLITS[code]} are separable from training samples by their {checks.feature_words} "
                f"alone (area under the ROC curve {area:.2f}; same distribution: .5): they come from another "
                "source, or were preprocessed differently."
            )
            evidence = {"area": area, "sigmas": sigmas}
            findings.append(
                Finding(
                    "distribution_shift", "warning", message, SPLITS[code], ("split=stratified",), evidence
                )
            )
    # both differ from train: one problem
    if len({finding.level for finding in findings}) == 1 and len(findings) == 2:
        findings = [replace(findings[0], where="val, test")]
    return CheckResult("distribution shift", "; ".join(summaries), tuple(findings))


def _mean_shift(train: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    """Largest distance of the means in standard deviations of train, and its dimension; train, other: (n, k)."""
    if not train.shape[1]:
        return 0.0, 0
    spread = np.maximum(train.std(axis=0, dtype=np.float64), MIN_DEVIATION)
    distance = np.abs(other.mean(axis=0, dtype=np.float64) - train.mean(axis=0, dtype=np.float64)) / spread
    return float(distance.max()), int(distance.argmax())


def _range_finding(
    checks: InputChecks, members: list[np.ndarray], code: int, sigmas: float, dimension: int
) -> Finding:
    levels = checks.stats.levels[:, dimension]
    here, there = (float(levels[members[split]].mean()) for split in (0, code))
    message = (
        f"The {checks.level_name(dimension)} is {here:.3g} in train and {there:.3g} in {SPLITS[code]}, {sigmas:.2g} "
        f"standard deviations apart: {SPLITS[code]} was preprocessed differently (channels swapped, inverted, "
        "normalised twice?), and metrics on it are invalid."
    )
    evidence = {"sigmas": sigmas, "train": here, SPLITS[code]: there}
    return Finding("distribution_shift", "error", message, SPLITS[code], ("split=stratified",), evidence)


def _has_new_groups(data: DataModule, code: int) -> bool:
    """Whether the split has only groups that train lacks: then a shift is intended."""
    group = data.table.index.group
    return group is not None and not len(np.intersect1d(group[data.splits.train], group[data.splits[code]]))


def _separability(train: np.ndarray, other: np.ndarray) -> float:
    """Area under the ROC curve of a linear classifier of both, on the halves it was not fitted on.

    A classifier two-sample test: Lopez-Paz and Oquab 2017, arXiv:1610.06545.
    """
    if min(len(train), len(other)) < _FEWEST:
        return 0.5
    rng = np.random.default_rng(0)
    one, two = (x[rng.permutation(len(x))[:_MOST]].astype(np.float64) for x in (train, other))
    spread = np.maximum(one.std(0), 1e-6)
    centre = one.mean(0)
    one, two = (one - centre) / spread, (two - centre) / spread
    fitted, held_out = (one[::2], two[::2]), (one[1::2], two[1::2])
    within = np.cov(fitted[0].T, bias=True) + np.cov(fitted[1].T, bias=True) + 0.1 * np.eye(one.shape[1])
    direction = np.linalg.solve(within, fitted[1].mean(0) - fitted[0].mean(0))
    low, high = (np.sort(x @ direction) for x in held_out)
    below = (np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")) / 2
    return float(below.mean() / len(low))
