"""DataSpec: what a net, a loss or a frontend must know of the data; it flows once, data -> net."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class DataSpec:
    """Facts about a prepared data set. Stored as spec.json in the run's folder.

    target_names are those of the classes, labels or values that are predicted, in the order of outputs. class_counts
    are the training samples of each class or label, () where targets are numbers; target_mean and target_std are
    those of the training targets, () where they are none. image_size is (height, width); vocab_size and sample_rate
    (Hz) are 0 where they do not apply; max_length is the longest training input (tokens, or samples of audio). numbers
    and categories are a table's: its columns of numbers, and the values of each column of categories. parts are the
    facts of each input, by its name, where rows have several.
    """

    modality: str
    target_names: tuple[str, ...]
    class_counts: tuple[int, ...] = ()
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()
    in_channels: int = 1
    image_size: tuple[int, int] = (0, 0)
    vocab_size: int = 0
    sample_rate: int = 0
    max_length: int = 0
    numbers: tuple[str, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sizes: tuple[int, int, int] = (0, 0, 0)  # samples in train, val, test
    parts: Mapping[str, "DataSpec"] = field(default_factory=dict)

    @property
    def num_outputs(self) -> int:
        """How many numbers a net gives for a sample: one for each class, label or value."""
        return len(self.target_names)

    def facts(self) -> dict[str, Any]:
        """Every fact by the parameter name under which a net or loss may ask for it."""
        more = {"num_outputs": self.num_outputs, "num_classes": self.num_outputs, "spec": self}
        return {**asdict(self), **more, "class_names": self.target_names, "num_samples": self.sizes[0]}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "DataSpec":
        """The spec as it was before it went through JSON (lists become tuples again).

        Raises:
            ValueError: a field is missing or of another type.
        """
        return TypeAdapter(cls).validate_python(stored)


# A runtime fact is never a configuration field: these names are refused in YAML where a target asks for them.
FACTS = tuple(DataSpec("", ()).facts())
