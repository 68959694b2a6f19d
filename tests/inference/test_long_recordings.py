"""Recordings of more than a minute are read in stretches, and every frame is kept once."""

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from leyden.inference.load import LoadedRun, load
from leyden.inference.long_recordings import stretches
from leyden.inference.predictor import _outputs, predict_inputs
from leyden.training.job import train

RATE = 8000


@pytest.mark.parametrize("seconds", [0.1, 60.0, 60.1, 74.9, 75.1, 3600.5])
def test_stretches_keep_each_sample_once(seconds: float) -> None:
    samples = round(seconds * RATE)
    found = list(stretches(samples, RATE))
    assert len(found) == (1 if seconds <= 60 else round(seconds / 30))
    assert [s.begin for s in found] == [0, *(s.stop for s in found[:-1])]
    assert found[-1].stop == samples
    for first, end, begin, stop in found:
        assert first == max(0, begin - 3 * RATE)
        assert end == min(samples, stop + 3 * RATE)
        assert len(found) == 1 or stop - begin <= 45 * RATE


class Local(nn.Module):
    """Answers each frame by four frames of log-mel alone: what is around them changes nothing."""

    longest = 0

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """A quarter."""
        return (lengths + 3) // 4

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Means of three bands."""
        self.longest = max(self.longest, x.shape[-1])
        found = nn.functional.avg_pool1d(x[:, 0, :3], 4, ceil_mode=True).transpose(1, 2)
        return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedRun:
    monkeypatch.chdir(tmp_path)
    small = ["data.source.samples=60", "data.source.max_words=2", "batch_size=16", "task.target.units=words"]
    quick = [
        "trainer=cpu",
        "threads=1",
        "trainer.max_epochs=1",
        "logger=none",
        "model.frontend.normalize=none",
    ]
    sizes = ["model.net.widths=[8,8]", "model.net.hidden=8", "data.source.words=2"]
    found = load(train(["experiment=planted_ctc", *small, *quick, *sizes]).folder)
    assert found.spec.num_outputs == 3
    found.module.net = Local()
    return found


def test_outputs_are_those_of_the_whole_recording(run: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = np.random.default_rng(0).normal(0, 2000, 100 * RATE).astype(np.int16)
    outputs = _outputs(run, [wave, wave[: 10 * RATE]])
    (answer,) = predict_inputs(run, ["a"], [wave], words=True)
    assert run.module.net.longest <= 100 * (45 + 6) + 1  # frames of a stretch with its margins
    monkeypatch.setattr("leyden.inference.predictor.LONG", 1000.0)
    whole = _outputs(run, [wave])[0]
    assert run.module.net.longest == 100 * 100 + 1
    assert np.isfinite(outputs[0]).all()
    assert abs(len(outputs[0]) - len(whole)) <= 3  # a frame at each seam may be half before it
    assert np.allclose(outputs[0][:749], whole[:749], atol=1e-5)  # the first stretch
    assert np.isfinite(outputs[1][:, 0]).sum() == 251
    onsets = [word["onset"] for word in answer.answer["words"]]
    assert onsets == sorted(onsets)
