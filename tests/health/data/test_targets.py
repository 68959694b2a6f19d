"""Labels and numeric targets: each planted fault gives its finding, and clean data gives none."""

from pathlib import Path

import numpy as np
import pytest

from leyden.config.compose import compose
from leyden.config.validate import check_data
from leyden.data.sources.synthetic import PlantedImages
from leyden.data.split import KFold
from leyden.health.data.checks import find_problems, quick_checks, run_checks
from leyden.health.data.value_checks import _distance, _p_value
from leyden.health.findings import Finding
from leyden.training import build
from near_copies import layer

ROWS = 400
PART = np.repeat([0, 1, 2], [240, 80, 80])
IMAGES = [PlantedImages(samples=ROWS).decode(row) for row in range(ROWS)]


def tags() -> np.ndarray:
    """uint8 (N, 3): labels of a half, a third and a quarter of the rows."""
    return (np.random.default_rng(0).random((ROWS, 3)) < [1 / 2, 1 / 3, 1 / 4]).astype(np.uint8)


def numbers() -> np.ndarray:
    """float64 (N, 2)."""
    return np.random.default_rng(0).normal(size=(ROWS, 2)) * [1, 100] + [0, 7]


def found(targets: np.ndarray, cache: Path, **more: int) -> dict[str, Finding]:
    data = layer("image", IMAGES, targets, PART, cache, **more)  # type: ignore[arg-type]
    everything = {finding.id: finding for finding in find_problems(data)}
    quick = {finding.id for finding in quick_checks(data)}
    assert quick == {identity for identity, finding in everything.items() if finding.level != "info"}
    return everything


@pytest.mark.parametrize("targets", [tags(), numbers()], ids=["labels", "values"])
def test_clean_targets_give_no_finding(targets: np.ndarray, tmp_path: Path) -> None:
    assert found(targets, tmp_path) == {}


def test_the_checks_say_what_they_measured(tmp_path: Path) -> None:
    said = {r.name: r.summary for r in run_checks(layer("image", IMAGES, tags(), PART, tmp_path / "a"))}
    assert said["labels"].startswith("3 labels, ")
    assert "at most" in said["label shares"]
    said = {r.name: r.summary for r in run_checks(layer("image", IMAGES, numbers(), PART, tmp_path / "b"))}
    assert said["targets"].startswith("target 0 -")
    assert said["distribution of targets"].startswith("train, test: distance 0")


# -- labels


@pytest.mark.parametrize("value", [0, 1])
def test_a_label_that_is_the_same_in_a_split(value: int, tmp_path: Path) -> None:
    labels = tags()
    labels[PART == 1, 2] = value
    finding = found(labels, tmp_path)["class_missing"]
    assert (finding.level, finding.where, finding.evidence) == ("warning", "val", {"labels": ["target 2"]})


@pytest.mark.parametrize("value", [0, 1])
def test_few_training_samples_with_or_without_a_label(value: int, tmp_path: Path) -> None:
    labels = tags()
    labels[:, 1] = value
    labels[[0, 1, 2, 3, 250, 251, 330, 331], 1] = 1 - value
    finding = found(labels, tmp_path)["small_class"]
    assert finding.evidence["labels"] == ["target 1 (4)"]
    assert finding.advice == ("loss=bce_weighted",)
    labels[4, 1] = 1 - value
    rare = found(labels, tmp_path / "more", batch_size=4)
    assert {identity: finding.level for identity, finding in rare.items()} == {"rare_class": "info"}


def test_folds_of_labels(tmp_path: Path) -> None:
    labels = tags()
    labels[:, 0] = np.arange(ROWS) < 6
    for k, is_found in ((5, False), (8, True)):
        data = layer("image", IMAGES, labels, None, tmp_path, split=KFold(k=k))
        assert ("too_few_per_fold" in {f.id for f in quick_checks(data)}) is is_found


def test_shares_of_a_label(tmp_path: Path) -> None:
    labels = tags()
    labels[PART == 2, 2] = np.arange(80) % 8 < 5
    finding = found(labels, tmp_path)["label_shift"]
    assert (finding.level, finding.where) == ("warning", "val, test")
    assert "target 2" in finding.message


# -- values


def test_a_value_that_is_the_same_in_a_split(tmp_path: Path) -> None:
    values = numbers()
    values[PART == 1, 1] = values[:240, 1].mean()
    by_id = found(values, tmp_path)
    assert set(by_id) == {"target_range", "target_shift"}
    finding = by_id["target_range"]
    assert (finding.level, finding.where, finding.evidence) == ("warning", "val", {"targets": ["target 1"]})


@pytest.mark.parametrize(("rows", "level"), [(2, None), (6, "info"), (12, "warning")])
def test_values_outside_the_range_of_train(rows: int, level: str | None, tmp_path: Path) -> None:
    values = numbers()
    inside = values[:240, 0].min(), values[:240, 0].max()
    values[:, 0] = values[:, 0].clip(*inside)
    values[320 : 320 + rows, 0] = inside[1] + 1
    finding = found(values, tmp_path).get("target_range")
    assert (finding.level if finding else None) == level
    if finding:
        assert (finding.where, finding.evidence["target"]) == ("test", "target 0")


@pytest.mark.parametrize(("changed", "where"), [(0, "train, test"), (1, "val, test")])
def test_another_distribution(changed: int, where: str, tmp_path: Path) -> None:
    values = numbers()
    values[changed == PART, 1] += 90
    finding = found(values, tmp_path)["target_shift"]
    assert (finding.level, finding.where, finding.advice) == ("warning", where, ("split=stratified",))


def test_the_test_of_two_distributions_agrees_with_scipy() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=300), rng.normal(0.2, 1, 200).round(1)
    expected = ks_2samp(one, other, method="asymp")
    assert _distance(one, other) == pytest.approx(expected.statistic)
    assert _p_value(expected.statistic, 300, 200) == pytest.approx(expected.pvalue, rel=0.3)


# -- identical inputs


@pytest.mark.parametrize("kind", ["labels", "values"])
def test_conflicts_of_identical_inputs(kind: str, tmp_path: Path) -> None:
    inputs, targets = list(IMAGES), tags() if kind == "labels" else numbers()
    inputs[1], inputs[3] = inputs[0], inputs[2]
    targets[1], targets[3] = targets[0], targets[2]
    if kind == "values":
        targets[1, 0] += 0.009  # below a hundredth of its deviation
    data = layer("image", inputs, targets, PART, tmp_path / "a")
    assert quick_checks(data) == []
    targets[3, 1] = 1 - targets[2, 1] if kind == "labels" else targets[2, 1] + 2
    (finding,) = quick_checks(layer("image", inputs, targets, PART, tmp_path / "b"))
    assert (finding.id, finding.evidence["count"]) == ("label_conflict", 2)
    assert finding.evidence["names"][0].startswith("row 2 (")


def test_near_duplicates_say_how_many_targets_agree(tmp_path: Path) -> None:
    inputs, values = list(IMAGES), numbers()
    for row in range(240, 250):
        inputs[row] = (inputs[row - 240] // 2 * 2).astype(np.uint8)
        values[row] = values[row - 240]
    values[249, 0] += 1
    data = layer("image", inputs, values, PART, tmp_path)
    (finding,) = [f for f in find_problems(data) if f.id == "near_duplicates"]
    assert finding.evidence["same_label"] == pytest.approx(0.9)


def test_a_shipped_set_of_labels_is_clean() -> None:
    data = build.experiment(check_data(compose(["experiment=planted_tags", "data.source.samples=800"]))).data
    assert [f for f in find_problems(data) if f.level != "info"] == []
    assert quick_checks(data) == []
