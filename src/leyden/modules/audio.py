"""Classification of audio."""

from typing import ClassVar

from leyden.modules.classifier import Classifier


class AudioClassifier(Classifier):
    """A `Classifier` for modality "audio"."""

    modality: ClassVar[str] = "audio"
