"""Which checks of inputs each modality has."""

from leyden.data.datamodule import DataModule
from leyden.health.data.input_checks import InputChecks
from leyden.health.data.input_checks_audio import AudioChecks
from leyden.health.data.input_checks_image import ImageChecks
from leyden.health.data.input_checks_text import TextChecks

CHECKS: dict[str, type[InputChecks]] = {"image": ImageChecks, "text": TextChecks, "audio": AudioChecks}


def checks_of(data: DataModule) -> InputChecks:
    """The checks of a data set's inputs; of a modality of the user's own those that apply to any."""
    return CHECKS.get(data.modality.name, InputChecks)(data)
