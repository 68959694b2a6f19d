"""What the doctor and the checks say of transcripts: of a healthy net nothing, of each planted fault its finding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from leyden.data.sources.planted_speech import PlantedSpeech
from leyden.data.transcripts import BLANK, padded
from leyden.health.data.checks import find_problems
from leyden.health.epoch_rules import judge
from leyden.health.epoch_stats import EpochStats, ValidationFacts
from leyden.health.findings import Finding
from leyden.health.model.forward_checks import shapes
from leyden.health.settings import DiagnosticsSettings
from leyden.nets.speech import SpeechRNN
from leyden.training.setup import model_under_test, open_session
from near_copies import layer

FACTS = ValidationFacts([], 300, ["<blank>", "a", "b"], "sequences")
NAMES = (BLANK, "a", "b", "c")
WAVES = [PlantedSpeech(samples=60).decode(row) for row in range(60)]
PART = np.repeat([0, 1, 2], [40, 10, 10])


def judged(
    rates: list[float], blank: float = 0.96, losses: tuple[float, float] = (1.0, 1.2)
) -> list[Finding]:
    epochs = []
    for rate in rates:
        scalars = {"val/wer": rate, "train/loss": losses[0], "val/loss": losses[1]}
        epochs.append(EpochStats(10, scalars, 0.003, [blank]))
    return list(judge(epochs, FACTS, DiagnosticsSettings()))


def test_peaks_among_blanks_are_healthy() -> None:
    assert judged([1.0, 0.6, 0.2], blank=0.98) == []
    assert judged([0.94], blank=0.999) == []


def test_all_blank_is_a_collapse() -> None:
    found = {finding.id: finding for finding in judged([1.0, 1.0], blank=1.0)}
    assert found["collapsed"].level == "error"
    assert "every transcript is empty" in found["collapsed"].message


@pytest.mark.parametrize("rate", [0.96, 1.3])
def test_transcripts_no_better_than_empty_ones(rate: float) -> None:
    (found,) = judged([rate, rate])
    assert (found.id, found.level) == ("underfitting", "warning")
    assert f"val/wer is {rate:.2f}, always predicting an empty transcript gives 1.00" in found.message
    (found,) = judged([1.1, rate], losses=(0.1, 9.0))
    assert (found.id, found.level) == ("validation_mismatch", "error")
    assert f"never below {min(1.1, rate):.2f}" in found.message


def transcripts(rows: dict[int, list[int]], cache: Path) -> dict[str, Finding]:
    """Findings of the planted recordings where each says 1 2, but those of `rows`."""
    targets = padded([rows.get(row, [1, 2]) for row in range(60)])
    data = layer("audio", WAVES, targets, PART, cache, names=NAMES)  # type: ignore[arg-type]
    wanted = ("unseen_units", "empty_transcripts", "target_shift")
    return {finding.id: finding for finding in find_problems(data) if finding.id in wanted}


def test_units_that_train_lacks_are_named_in_checks_and_before_training(tmp_path: Path) -> None:
    assert transcripts({}, tmp_path / "clean") == {}
    (found,) = transcripts({55: [1, 3]}, tmp_path / "unseen").values()
    assert (found.id, found.where) == ("unseen_units", "test")
    assert found.evidence == {"units": ["c"], "share": 1 / 20}
    assert "1 unit ('c'), 5 % of all" in found.message


def test_empty_and_long_transcripts(tmp_path: Path) -> None:
    assert set(transcripts({row: [] for row in range(9)}, tmp_path / "nine")) == {"empty_transcripts"}
    assert transcripts({row: [] for row in range(8)}, tmp_path / "eight") == {}
    (found,) = transcripts({45: [1, 2, 1, 2]}, tmp_path / "long").values()
    assert (found.id, found.where) == ("target_shift", "val")
    assert transcripts({45: [1, 2, 1]}, tmp_path / "longer") == {}


class ShortNet(SpeechRNN):
    """Says that it has a frame more than it gives."""

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """One too many."""
        return super().output_lengths(lengths) + 1

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits without a mask."""
        found: Tensor = self.head(self.features(x, lengths))
        return found


def test_a_net_that_miscounts_its_frames_is_told(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["experiment=planted_ctc", "data.source.samples=60", "trainer=cpu", "threads=1", "batch_size=8"]
    subject = model_under_test(open_session(words))
    assert not shapes(subject).findings
    net = ShortNet(subject.num_outputs, 40, widths=(8, 8), hidden=4)
    torch.nn.Module.__setattr__(subject.module, "net", net)
    (found,) = shapes(subject).findings
    assert (found.id, found.level) == ("shapes", "error")
    assert "net.output_lengths says" in found.message
