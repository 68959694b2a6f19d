"""Configurations of small runs of each modality, whose nets have learned little and work as trained ones do."""

from brightness import REGRESSION
from leyden.data.datamodule import DataModule
from leyden.inference.load import LoadedRun

IMAGES = ["data=planted_images", "data.source.samples=240", "data.source.size=12"]
TEXTS = ["data=planted_text", "data.source.samples=240", "data.source.max_words=12", "model.net.hidden=16"]
SOUNDS = [
    "data=planted_audio",
    "data.source.samples=80",
    "data.source.min_seconds=0.2",
    "data.source.max_seconds=0.3",
]
WORDS = {
    "image": [*IMAGES, "model=cnn", "model.net.widths=[8,16]"],
    "text": [*TEXTS, "model=lstm"],
    "ngrams": [*TEXTS, "model=ngram_lstm"],
    "sound": [*SOUNDS, "model=logmel_cnn", "model.net.widths=[8,16]"],
    "wave": [*SOUNDS, "model=m5", "model.net.width=8"],
    "several": [
        *("data=planted_fusion", "data.source.samples=270", "data.source.absent=0.2", "model=fusion"),
        *("model.encoders.image.net.widths=[8,16]", "model.encoders.text.net.hidden=16"),
        *("model.encoders.audio.net.widths=[8,16]", "augment=modality_dropout"),
    ],
    "values": [*REGRESSION, "model=linear"],
    "tags": ["experiment=planted_tags", "data.source.samples=240", "model.net.hidden=16"],
}
QUICK = ["trainer=cpu", "trainer.max_epochs=2", "batch_size=16", "threads=1", "logger=none"]

Opened = tuple[LoadedRun, DataModule]
