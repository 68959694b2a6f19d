"""What a target receives beside the arguments of its node."""

from leyden.config.instantiate import instantiate_with_facts
from leyden.data.targets import LabelReader, TargetReader


class Source:
    """Keeps what it is given."""

    def __init__(self, sizes: list[int], reader: TargetReader, image_size: tuple[int, int]) -> None:
        self.given = sizes, reader, image_size


def test_offered_objects_arrive_as_they_are() -> None:
    """Hydra would convert a dataclass to a dictionary, and a tuple to a list."""
    reader, node = LabelReader("|"), {"_target_": f"{__name__}.Source", "sizes": [1, 2]}
    offered = {"reader": reader, "image_size": (8, 9), "unknown": 1}
    for partial in (False, True):
        made = instantiate_with_facts("data.source", {**node, "_partial_": partial}, offered)
        given = (made() if partial else made).given
        assert given == ([1, 2], reader, (8, 9))
        assert given[1] is reader
