"""What a target receives beside the arguments of its node."""

from typing import Any

import pytest

from leyden.config.instantiate import instantiate_with_facts
from leyden.config.validate import bind
from leyden.data.targets import LabelReader, TargetReader
from leyden.utils.errors import UserError


class Source:
    """Keeps what it is given."""

    def __init__(self, sizes: list[int], reader: TargetReader, image_size: tuple[int, int]) -> None:
        self.given = sizes, reader, image_size


def test_offered_objects_arrive_as_they_are() -> None:
    """Hydra would convert a dataclass to a dictionary, and a tuple to a list."""
    reader, node = LabelReader("|"), {"_target_": f"{__name__}.Source", "sizes": [1, 2]}
    offered = {"reader": reader, "image_size": (8, 9), "unknown": 1}
    for partial in (False, True):
        made = instantiate_with_facts("data.source.inner", {**node, "_partial_": partial}, offered)
        given = (made() if partial else made).given
        assert given == ([1, 2], reader, (8, 9))
        assert given[1] is reader


class Holder:
    """Keeps its arguments."""

    def __init__(self, **parts: Any) -> None:
        self.parts = parts


def test_targets_in_lists_and_mappings_are_made_and_nothing_is_resolved() -> None:
    inner = {"_target_": f"{__name__}.Holder", "a": 1}
    text = "${oc.env:HOME}"
    node = {"_target_": f"{__name__}.Holder", "b": [inner, {"c": inner}], "d": {"e": inner}, "f": text}
    made = instantiate_with_facts("model.net.part", node, {}).parts
    found = [made["b"][0], made["b"][1]["c"], made["d"]["e"]]
    assert [part.parts for part in found] == [{"a": 1}] * 3
    assert made["f"] == text


@pytest.mark.parametrize("name", ["_args_", "_recursive_", "_convert_", "_x_"])
def test_hydras_other_words_are_refused(name: str) -> None:
    node = {"_target_": f"{__name__}.Holder", "a": {"_target_": f"{__name__}.Holder", name: [1]}}
    for refuse in (lambda: bind("model.net.part", node), lambda: instantiate_with_facts("x.y.z.w", node, {})):
        with pytest.raises(UserError, match=rf"\.a\.{name}: "):
            refuse()
