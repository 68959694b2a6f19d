"""Classification of images."""

from typing import ClassVar

from leyden.modules.classifier import Classifier


class ImageClassifier(Classifier):
    """A `Classifier` for modality "image"."""

    modality: ClassVar[str] = "image"
