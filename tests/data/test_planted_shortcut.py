"""The planted shortcut: where the mark is, how often it goes with the class, and what cures it."""

from pathlib import Path

import numpy as np
import pytest

from leyden.data.index import TEST, TRAIN, VAL, Source
from leyden.data.sources.planted_shortcut import PlantedShortcut

TOP, LEFT, HEIGHT, WIDTH = PlantedShortcut.MARK
CORNER = np.s_[:, TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH]


@pytest.mark.parametrize(
    ("agreement", "least", "most"), [(0.9, 0.895, 0.905), (0.5, 0.495, 0.505), (1.0, 1, 1)]
)
def test_the_mark_goes_with_the_class_in_training_alone(agreement: float, least: float, most: float) -> None:
    source = PlantedShortcut(samples=2000, agreement=agreement)
    assert isinstance(source, Source)
    index = source.index()
    assert index.split is not None
    goes = (index.metadata["mark"] == "yes") == (index.targets == 1)
    for label in (0, 1):
        own = index.targets == label
        assert least <= goes[own & (index.split == TRAIN)].mean() <= most
        for part in (VAL, TEST):
            assert abs(goes[own & (index.split == part)].mean() - 0.5) < 0.01
    np.testing.assert_array_equal(np.bincount(index.split), [1400, 300, 300])


def test_marked_rows_bear_it_and_the_pattern_lies_elsewhere() -> None:
    source = PlantedShortcut(samples=300)
    marks, truth = source.index().metadata["mark"], source.index().truth
    assert truth is not None
    for row in range(300):
        image = source.decode(row)
        assert bool((image[CORNER] == 255).all()) == (marks[row] == "yes")
        top, left, height, width = truth[row]
        assert top >= TOP + HEIGHT or left >= LEFT + WIDTH
        assert top + height <= 28
        patch = image[0, top : top + height, left : left + width]
        assert set(np.unique(patch)) == {source.GREY - source.contrast, source.GREY + source.contrast}


@pytest.mark.parametrize("worn", [0, 0.25])
def test_patterns_are_worn(worn: float) -> None:
    source = PlantedShortcut(samples=400, worn=worn)
    index, differ = source.index(), []
    for row, (top, left, height, width) in enumerate(index.truth):
        patch = source.decode(row)[0, top : top + height, left : left + width]
        differ.append((patch != source.patterns[index.targets[row]]).mean())
    assert np.mean(differ) == pytest.approx(worn, abs=0.01)


def test_a_covered_corner_says_nothing_and_all_else_stays(tmp_path: Path) -> None:
    plain, covered = PlantedShortcut(samples=100), PlantedShortcut(samples=100, covered=True)
    for row in range(100):
        one, other = plain.decode(row), covered.decode(row)
        assert (other[CORNER] == PlantedShortcut.GREY).all()
        one[CORNER] = PlantedShortcut.GREY
        np.testing.assert_array_equal(one, other)
    assert plain.index().metadata["mark"].tolist() == covered.index().metadata["mark"].tolist()
    sources = [
        plain,
        covered,
        *(PlantedShortcut(samples=100, **one) for one in ({"worn": 0.1}, {"agreement": 0.5})),
    ]
    assert len({source.fingerprint(tmp_path) for source in sources}) == 4
