"""The module of task=ctc: frames, scores, padding of outputs, the summary that the monitor sees."""

from functools import partial

import pytest
import torch
from torch import nn

from leyden.data.batch import Batch, Input
from leyden.data.transforms.audio import LogMel, Speed
from leyden.health.output_rules import _bad_frames
from leyden.losses.ctc import CTC
from leyden.modules.base import joined
from leyden.modules.ctc import CTCRecognizer
from leyden.modules.features import of_batch
from leyden.nets.audio import CRNN
from leyden.nets.speech import SpeechRNN
from leyden.utils.errors import UserError

LENGTHS = torch.tensor([4000, 1600])


def module(net: nn.Module | None = None, change: float = 0.5) -> CTCRecognizer:
    torch.manual_seed(0)
    return CTCRecognizer(
        net=net or SpeechRNN(4, 20, widths=(8, 8), hidden=6),
        loss=CTC(),
        frontend=LogMel(8000, n_mels=20),
        augment=[Speed(change)],
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        scheduler=lambda optimizer: None,
        evaluate=lambda outputs: {},
        target_names=("<blank>", "a", "b", "c"),
        seed=1,
        monitor="val/wer",
    )


def batch() -> Batch:
    wave = (1000 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))).to(torch.int16)
    targets = torch.tensor([[1, 2, 2], [3, -1, -1]])
    return Batch({"audio": Input(wave, LENGTHS)}, targets, torch.arange(2), torch.arange(2))


def test_outputs_are_nan_after_a_recordings_last_frame() -> None:
    made = module().eval()
    prepared = made.prepare(batch())
    outputs = made(prepared)
    frames = made.frames(prepared)
    assert frames.tolist() == [-(-51 // 4), -(-21 // 4)]
    assert outputs.isfinite().all()
    kept = made.evaluated_outputs(outputs, prepared)
    assert kept.isnan().all(2).sum(1).tolist() == (kept.shape[1] - frames).tolist()
    assert not _bad_frames(kept).any()
    broken = kept.clone()
    broken[0, 3, 1] = float("nan")
    assert _bad_frames(broken).tolist() == [True, False]
    assert _bad_frames(torch.full_like(kept, float("nan"))).all()


def test_parts_of_other_lengths_are_joined_with_padding() -> None:
    found = joined([torch.ones(2, 3, 4), torch.zeros(1, 5, 4)])
    assert found.shape == (3, 5, 4)
    assert found[:2, 3:].isnan().all()
    assert joined([torch.ones(2, 3, dtype=torch.int64), torch.zeros(1, 5, dtype=torch.int64)])[
        0
    ].tolist() == [
        *[1] * 3,
        *[-1] * 2,
    ]


def test_a_string_is_right_or_wrong_as_a_whole() -> None:
    made, targets = module(), torch.tensor([[1, 2, 2], [1, -1, -1], [-1, -1, -1]])
    right = torch.tensor([[1, 1, 2, 0, 2], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]])
    wrong = torch.tensor([[1, 2, 2, 2, 2], [1, 0, 1, 0, 0], [0, 3, 0, 0, 0]])
    assert made.score(right, targets).tolist() == [1, 1, 1]
    assert made.score(wrong, targets).tolist() == [0, 0, 0]
    missing = torch.tensor([[1, 2, 0, 0, 0], [0, 0, 0, -1, -1], [0, 0, 0, 0, 0]])
    assert made.score(missing, targets).tolist() == [0, 0, 1]


def test_the_fewest_frames_are_never_more_than_training_ever_gives() -> None:
    made = module().train()
    least = made.fewest_frames(LENGTHS)
    seen = [made.frames(made.prepare(batch()._replace(epoch=epoch))) for epoch in range(40)]
    assert (torch.stack(seen) >= least).all()
    assert (torch.stack(seen).amin(0) <= least + 1).all()
    assert (least < module(change=0.0).fewest_frames(LENGTHS)).all()


def test_the_summary_is_the_share_of_blank_frames() -> None:
    outputs = torch.full((2, 3, 4), float("nan"))
    outputs[0], outputs[1, :1] = 0.0, 0.0
    outputs[:, :, 2] += torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert module().prediction_summary(outputs) == [pytest.approx(3 / 4)]


def test_features_of_a_recording_are_the_mean_of_its_own_frames() -> None:
    made = module().eval()
    with torch.no_grad():
        both, _ = of_batch(made, batch())
        short = batch()._replace(
            inputs={"audio": batch().input.map(lambda x: x[1:, :1600] if x.ndim > 1 else x[1:])}
        )
        alone, _ = of_batch(made, short)
    assert both.shape == (2, made.net.feature_width)
    torch.testing.assert_close(alone[0], both[1], rtol=1e-4, atol=1e-5)


def test_a_net_with_one_answer_for_a_recording_is_refused() -> None:
    with pytest.raises(UserError, match=r"CRNN gives one answer.*model=speech_gru"):
        module(CRNN(4, 20)).fewest_frames(LENGTHS)
