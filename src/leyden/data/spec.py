"""DataSpec: what a net, a loss or a frontend must know of the data; it flows once, data -> net."""

from dataclasses import asdict, dataclass
from typing import Any

MODALITIES = ("image", "text", "audio")


@dataclass(frozen=True)
class DataSpec:
    """Facts about a prepared data set. Stored as spec.json in the run's folder.

    class_counts are those of the training split. image_size is (height, width); vocab_size and
    sample_rate (Hz) are 0 where they do not apply; max_length is the longest training input
    (tokens, or samples of audio).
    """

    modality: str
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    in_channels: int = 1
    image_size: tuple[int, int] = (0, 0)
    vocab_size: int = 0
    sample_rate: int = 0
    max_length: int = 0
    sizes: tuple[int, int, int] = (0, 0, 0)  # samples in train, val, test

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    def facts(self) -> dict[str, Any]:
        """Every fact by the parameter name under which a net or loss may ask for it."""
        return {**asdict(self), "num_classes": self.num_classes, "spec": self}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "DataSpec":
        """The spec as it was before it went through JSON (lists become tuples again)."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return cls(**values)


# A runtime fact is never a configuration field: these names are refused in YAML where a target asks for them.
FACTS = (*DataSpec.__dataclass_fields__, "num_classes", "spec")
