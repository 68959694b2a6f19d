"""Classification of texts."""

from typing import ClassVar

from leyden.modules.classifier import Classifier


class TextClassifier(Classifier):
    """A `Classifier` for modality "text"."""

    modality: ClassVar[str] = "text"
