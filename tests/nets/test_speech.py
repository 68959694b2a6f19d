"""Nets with an answer for each frame: padding, lengths, streaming."""

import pytest
import torch
from torch import Tensor

from leyden.nets.speech import SpeechRNN

LENGTHS = torch.tensor([40, 17, 1, 33])
BINS, UNITS = 12, 5

each = pytest.mark.parametrize(
    "more", [{}, {"streaming": True}, {"cell": "lstm", "layers": 2, "kernel": 4}], ids=str
)


def net_of(more: dict) -> SpeechRNN:
    torch.manual_seed(0)
    net = SpeechRNN(UNITS, BINS, widths=(8, 10), hidden=6, **more)
    for _ in range(3):
        net.train()(*example())  # running statistics that are not the identity
    return net.eval()


def example() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(4, 1, BINS, 40), LENGTHS


@each
def test_frames_are_a_quarter_rounded_up_and_zero_beyond_a_recording(more: dict) -> None:
    net = net_of(more)
    logits = net(*example())
    frames = net.output_lengths(LENGTHS)
    assert net.subsampling == 4
    assert frames.tolist() == [10, 5, 1, 9] == [-(-n // 4) for n in LENGTHS.tolist()]
    assert logits.shape == (4, 10, UNITS)
    assert net.features(*example()).shape == (4, 10, net.feature_width)
    beyond = torch.arange(10) >= frames[:, None]
    assert not logits[beyond].any()
    assert logits[~beyond].any(1).all()
    assert net.output_lengths(torch.tensor([0])).tolist() == [1]


@each
def test_padding_and_the_other_recordings_change_nothing(more: dict) -> None:
    net, (x, lengths) = net_of(more), example()
    with torch.no_grad():
        batch = net(x, lengths)
        beyond = torch.arange(49) >= lengths[:, None]
        wider = torch.nn.functional.pad(x, (0, 9)).masked_fill(beyond[:, None, None], float("nan"))
        torch.testing.assert_close(net(wider, lengths)[:, :10], batch, rtol=1e-5, atol=1e-5)
        for i, length in enumerate(lengths.tolist()):
            alone = net(x[i : i + 1, ..., :length], lengths[i : i + 1])[0]
            torch.testing.assert_close(alone, batch[i, : len(alone)], rtol=1e-5, atol=1e-5)


@each
def test_a_gradient_reaches_every_parameter(more: dict) -> None:
    net = net_of(more).train()
    net.zero_grad()
    net(*example()).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())] == []


@pytest.mark.parametrize("chunk", [4, 12, 40])
@pytest.mark.parametrize("more", [{}, {"cell": "lstm", "layers": 2, "kernel": 4}], ids=str)
def test_chunks_of_a_streaming_net_give_what_the_whole_gives(chunk: int, more: dict) -> None:
    net = net_of({"streaming": True, **more})
    x = torch.randn(2, 1, BINS, 87, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        whole = net(x, torch.tensor([87, 87]))
        parts, state = [], None
        for start in range(0, 87, chunk):
            logits, state = net.stretch(x[..., start : start + chunk], state)
            parts.append(logits)
    found = torch.cat(parts, dim=1)
    assert found.shape == whole.shape
    assert (found - whole).abs().max() <= 1e-5


def test_a_streaming_net_reads_nothing_ahead_and_the_other_does() -> None:
    x, changed = (torch.randn(1, 1, BINS, 40, generator=torch.Generator().manual_seed(k)) for k in (3, 4))
    changed[..., :20] = x[..., :20]
    n = torch.tensor([40])
    for streaming, same in ((True, True), (False, False)):
        net = net_of({"streaming": streaming})
        with torch.no_grad():
            early = [net(given, n)[:, :5] for given in (x, changed)]
        assert torch.equal(*early) == same
    with pytest.raises(ValueError, match="reads ahead"):
        net.stretch(x)
