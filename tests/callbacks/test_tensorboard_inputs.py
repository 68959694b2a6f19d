"""The first batch as the net sees it: copied exactly, shown once, and nothing about the run is changed by it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from leyden.callbacks import tensorboard_training
from leyden.callbacks.captures import InputCapture, Seen
from leyden.callbacks.tensorboard_inputs import pictures, tokens_shown
from leyden.callbacks.tensorboard_tags import part_of_tag, tag
from leyden.callbacks.tensorboard_training import augmentation_of
from leyden.data.batch import Batch, Input
from leyden.data.tokenizers import Word
from leyden.data.transforms.image import RandomCrop
from leyden.modules.classification import Classifier
from leyden.training.job import train

Tiny = Callable[..., list[str]]
TRAIN, VAL = "7 first batch/train", "7 first batch/val"


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), {"images": 0, "audio": 0, "tensors": 0}).Reload()


def weights(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=False)[
        "state_dict"
    ]
    return found


@pytest.mark.parametrize("detail", ["light", "full"])
def test_weights_are_those_of_a_run_without_a_logger(tiny: Tiny, detail: str) -> None:
    options = ["augment=crop_flip", "model.net.dropout=0.3", "model=cnn"]
    plain = weights(train(tiny(*options)).folder)
    folder = train(
        tiny(*options, "logger=tensorboard", f"logger.tensorboard.detail={detail}", "runs=shown")
    ).folder
    assert all(torch.equal(plain[name], value) for name, value in weights(folder).items())


def test_pictures_of_one_training_and_one_validation_batch(tiny: Tiny) -> None:
    events = read(
        train(tiny("logger=tensorboard", "logger.tensorboard.detail=light", "augment=crop_flip")).folder
    )
    assert [e.step for e in events.Images(TRAIN)] == [0]
    (val,) = events.Images(VAL)
    assert val.step > 0
    assert val.width > 300


class Net(nn.Module):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(4, 2), torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.clone()
        out: Tensor = self.layer(x)
        x.zero_()  # as operations in place do
        return out


class Own(LightningModule):
    """A module of somebody's own: parameters of its own, a net, no frontend."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.body = nn.Parameter(torch.ones(())), Net()

    def training_step(self, batch: Batch) -> Tensor:
        return self.body(batch.input.values * 2).sum() * self.scale


def batch_of(values: Tensor) -> Batch:
    places = torch.arange(len(values))
    return Batch({"array": Input(values)}, places % 2, places, places)


def test_the_copy_is_what_the_net_was_given() -> None:
    module, batch = Own(), batch_of(torch.arange(24.0).reshape(6, 4))
    capture = InputCapture(module, 5)
    module.training_step(batch)
    (seen,) = capture.take(batch).values()
    assert torch.equal(seen.inputs, module.body.seen[:5])
    assert seen.batch.rows.tolist() == [0, 1, 2, 3, 4]
    assert seen.given is None
    assert not module.body._forward_pre_hooks
    assert not module._forward_pre_hooks


def test_a_module_of_ones_own_shows_its_batch(tiny: Tiny) -> None:
    own = ["model.module._target_=test_tensorboard_inputs.OwnLoop", "monitor=val/hits"]
    events = read(train(tiny(*own, "logger=tensorboard")).folder)
    assert {TRAIN, VAL} <= set(events.Tags()["images"])


class OwnLoop(LightningModule):
    """A whole loop of somebody's own, without any of Leyden's parts."""

    def __init__(self, num_outputs: int, in_channels: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_outputs)
        )

    def forward(self, batch: Batch) -> Tensor:
        out: Tensor = self.net(batch.input.values / 255)
        return out

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch), batch.targets)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val/hits", (self(batch).argmax(1) == batch.targets).float().mean())

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("test/hits", (self(batch).argmax(1) == batch.targets).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_it_is_shown_again_when_the_augmentation_changes(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Classifier.on_train_epoch_end

    def stronger(self: Any) -> None:
        original(self)
        if self.trainer.current_epoch == 0:
            self.augment["inputs"][0].padding = 1

    monkeypatch.setattr(Classifier, "on_train_epoch_end", stronger)
    options = [
        "augment=crop_flip",
        "trainer.max_epochs=3",
        "logger=tensorboard",
        "logger.tensorboard.detail=full",
    ]
    events = read(train(tiny(*options)).folder)
    epoch = events.Images(VAL)[0].step
    assert [e.step for e in events.Images(TRAIN)] == [0, epoch]


def test_settings_tell_augmentations_apart() -> None:
    def module(padding: int) -> nn.Module:
        made = nn.Module()
        made.augment = nn.ModuleList([RandomCrop(padding)])
        return made

    assert augmentation_of(module(2)) != augmentation_of(module(3))
    assert augmentation_of(module(2).eval()) == augmentation_of(module(2))


def test_sounds_are_played_as_they_are_augmented_beside_their_log_mel(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[Seen] = []
    original = tensorboard_training.write_inputs

    def noted(writer: Any, tag: str, seen: Seen, *given: Any) -> None:
        batches.append(seen)
        original(writer, tag, seen, *given)

    monkeypatch.setattr(tensorboard_training, "write_inputs", noted)
    options = [
        "data=planted_audio",
        "data.source.samples=60",
        "model=m5",
        "augment=audio_strong",
        "trainer.max_epochs=1",
    ]
    events = read(train(of_other_data(tiny, options)).folder)
    sounds = [tag for tag in events.Tags()["audio"] if tag.startswith(f"{TRAIN}/")]
    assert len(sounds) == 6
    assert sounds[0].startswith(f"{TRAIN}/1: ")
    (event,) = events.Audio(sounds[0])
    played = np.frombuffer(event.encoded_audio_string[44:], "<i2") / 32767
    seen = batches[0]
    assert seen.given is not None
    assert seen.given.is_floating_point()  # augmented: recordings are int16
    assert seen.lengths is not None
    heard = seen.given[0, : int(seen.lengths[0])].clamp(-1, 1).numpy()
    np.testing.assert_allclose(played, heard, atol=1e-4)
    assert {TRAIN, VAL} <= set(events.Tags()["images"])


def of_other_data(tiny: Tiny, options: Sequence[str]) -> list[str]:
    """The words of `tiny` without those that belong to its pictures."""
    words = tiny(*options, "logger=tensorboard")
    return [word for word in words if not word.startswith(("data.source.size", "model=mlp"))]


def test_texts_have_their_unknown_and_dropped_tokens_marked() -> None:
    words = Word()
    words.fit(["free entry now"])
    ids = torch.from_numpy(words.encode(["free prize now entry"])[0])
    after = ids.clone()
    after[2] = 1
    assert tokens_shown(ids, after, words) == "free **[unknown]** *[dropped: now]* entry"


def test_a_run_on_texts_shows_a_table(tiny: Tiny) -> None:
    options = [
        "data=planted_text",
        "data.source.samples=60",
        "model=gru",
        "augment=token_dropout",
        "trainer.max_epochs=1",
    ]
    events = read(train(of_other_data(tiny, options)).folder)
    (train_event,) = events.Tensors(f"{TRAIN}/text_summary")
    text = train_event.tensor_proto.string_val[0].decode()
    assert text.splitlines()[0] == "| label | text | tokens as the net gets them |"
    assert len(text.splitlines()) == 10
    assert "*[dropped: " in text
    (val_event,) = events.Tensors(f"{VAL}/text_summary")
    assert "dropped" not in val_event.tensor_proto.string_val[0].decode()


def test_one_scale_for_the_batch_from_its_lowest_to_its_highest_value() -> None:
    inputs = np.array([-1.0, 0.0, 1.0, 3.0], np.float32).reshape(2, 1, 1, 2)
    drawn, scale = pictures(inputs)
    assert [picture.flatten().tolist() for picture in drawn] == [[0, 64], [128, 255]]
    assert scale == "black = -1, white = 3"
    assert pictures(np.zeros((2, 7)))[0][0].shape == (1, 1, 7)
    assert pictures(np.zeros((2, 3, 7)))[0][0].shape == (1, 3, 7)
    rising = np.arange(4.0).reshape(1, 1, 4, 1)
    (coloured,) = pictures(rising, is_spectrogram=True)[0]
    assert coloured[0].flatten().tolist()[0] > 200  # yellow: the highest band is on top
    assert coloured.shape == (3, 4, 1)


def test_tags_can_be_written_whatever_the_encoding_of_names() -> None:
    """A class of a folder is held as surrogates where the locale is C; protobuf takes none."""
    for made in (tag("recall/acht-\udcc3\udcbc", "val/accuracy"), part_of_tag("a/acht-\udcc3\udcbc")):
        assert made.encode("utf-8").decode().endswith("acht-ü")
