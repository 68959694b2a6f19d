"""Names of classes that look like one, and numbers that are measurements."""

import pytest

from leyden.health.data.name_checks import names


def found(classes: list[str], each: int = 10) -> dict[str, str]:
    return {finding.id: finding.message for finding in names(classes, [each] * len(classes))}


@pytest.mark.parametrize(
    "alike",
    [
        ("1", "1.0"),
        ("True", "true"),
        ("good film", "Good  film"),
        ("ﬁne", "fine"),
        ("0", "-0.0"),
        ("1e3", "1000"),
        ("1,5", "1.5"),
    ],
)
def test_names_of_one_meaning(alike: tuple[str, str]) -> None:
    message = found([*alike, "other"])["alike_names"]
    assert all(repr(name) in message for name in alike)
    assert "other" not in message
    assert message.startswith("1 class is written")
    assert found([*alike, "x", "X"])["alike_names"].startswith("2 classes are written")


@pytest.mark.parametrize("apart", [("7", "007"), ("NA", "None"), ("nan", "null"), ("C", "C++"), ("1", "10")])
def test_names_of_several_meanings(apart: tuple[str, str]) -> None:
    assert "alike_names" not in found([*apart])


@pytest.mark.parametrize("name", ["NaN", "null", "None", "N/A", "na", "#N/A", "<NA>"])
def test_a_class_called_as_a_missing_value(name: str) -> None:
    (finding,) = names(["cat", "nano", name], [10, 10, 1200])
    assert (finding.id, finding.level) == ("missing_value_as_class", "warning")
    assert f"write for a missing value: {name!r} (1,200 samples). If" in finding.message
    assert finding.advice == ("task.target.na_is_empty=true data.on_bad=skip",)
    assert finding.advice[0] in finding.message


def test_measurements_as_classes() -> None:
    heights = [f"{150 + i * 0.7:.1f}" for i in range(40)]
    assert "task=regression" in found(heights, each=2)["numeric_classes"]
    assert (
        "with a point" in found([height.replace(".", ",") for height in heights], each=2)["numeric_classes"]
    )
    assert "numeric_classes" in found([str(i * i) for i in range(40)], each=1)
    assert found([str(i) for i in range(1, 41)], each=2) == {}  # numbered classes
    assert found(heights, each=30) == {}
    assert found([*heights, "tall"], each=2) == {}
    assert found(heights[:9], each=2) == {}
