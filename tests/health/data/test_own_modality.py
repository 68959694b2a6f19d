"""A modality of the user's own gets the checks that apply to any input, and is told which there are not."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from leyden.data.modalities import Modality
from leyden.health.data import duplicates
from leyden.health.data.checks import quick_checks, run_checks
from leyden.health.findings import Finding
from near_copies import layer

ROWS = 200
PART = np.repeat([0, 1, 2], [120, 40, 40])
CLASSES = np.arange(ROWS) % 4


class Signal(Modality):
    """Arrays (channels, steps) of one shape."""

    name: ClassVar[str] = "signal"


class Series(Modality):
    """Arrays (steps,) of different lengths."""

    name: ClassVar[str] = "series"
    is_ragged: ClassVar[bool] = True


def inputs(modality: Modality) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = [(20 + row % 7,) if modality.is_ragged else (3, 16) for row in range(ROWS)]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


BOTH = pytest.mark.parametrize("modality", [Signal(), Series()], ids=lambda modality: modality.name)


def by_id(found: list[Finding]) -> dict[str, str]:
    return {finding.id: finding.level for finding in found}


@BOTH
def test_clean_inputs(modality: Modality, tmp_path: Path) -> None:
    data = layer(modality, inputs(modality), CLASSES, PART, tmp_path)
    results = {result.name: result for result in run_checks(data)}
    assert {result.status for result in results.values()} == {"passed"}
    assert results["inputs of more than one value"].summary == "200 of 200"
    for name in ("near duplicates across the split", "distribution shift"):
        assert results[name].summary == f"there is no such check for modality {modality.name}"
    assert quick_checks(data) == []


@BOTH
def test_duplicates_conflicts_and_constant_inputs(modality: Modality, tmp_path: Path) -> None:
    own = inputs(modality)
    own[120] = own[0]  # of the same class
    own[125] = own[2]  # of another
    own[7], own[8] = np.full_like(own[7], 0.5), np.full_like(own[7], 0.5)
    data = layer(modality, own, CLASSES, PART, tmp_path)
    found = [finding for result in run_checks(data) for finding in result.findings]
    expected = {"split_leak": "error", "label_conflict": "warning", "constant_input": "warning"}
    assert by_id(found) == by_id(quick_checks(data)) == expected


@BOTH
def test_quick_keys_agree_with_the_digests(modality: Modality, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    own = [np.round(values) for values in inputs(modality)]
    for row in rng.integers(0, ROWS, 30):
        own[row] = own[row // 2]
    own[9] = own[8].copy()
    own[9].reshape(-1)[-1] += 1
    data = layer(modality, own, CLASSES, PART, tmp_path)
    exact, fast = (
        digests(data, np.arange(ROWS)) for digests in (duplicates.digests, duplicates.quick_digests)
    )
    assert np.array_equal(exact[:, None] == exact, fast[:, None] == fast)
    assert len(np.unique(exact)) < ROWS


def test_inputs_that_are_the_same_by_their_own_rule(tmp_path: Path) -> None:
    class Unsigned(Signal):
        def key(self, values: np.ndarray) -> bytes:
            return bytes(np.abs(values).tobytes())

    own = inputs(Signal())
    own[120] = -own[0]
    assert by_id(quick_checks(layer(Signal(), own, CLASSES, PART, tmp_path))) == {}
    assert by_id(quick_checks(layer(Unsigned(), own, CLASSES, PART, tmp_path))) == {"split_leak": "error"}
