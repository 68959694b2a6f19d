"""Recurrent layers and audio nets against reference implementations."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from leyden.nets.audio import CRNN, M5, LogMelCNN
from leyden.nets.layers import AttentionPool, Recurrent, length_mask, masked_max, masked_mean
from leyden.nets.text import RNN, NgramRNN, ngram_hashes


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_recurrent_equals_torch_on_packed_sequences(cell: str) -> None:
    torch.manual_seed(0)
    ours = Recurrent(5, 4, cell, layers=2, bidirectional=True, dropout=0.0).eval()
    theirs = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell](
        5, 4, num_layers=2, bidirectional=True, batch_first=True
    )
    for layer in range(2):
        for stack, suffix in [(ours.forwards, ""), (ours.backwards, "_reverse")]:
            for name, value in stack[layer].named_parameters():
                getattr(theirs, name.replace("_l0", f"_l{layer}{suffix}")).data.copy_(value)
    x, lengths = torch.randn(3, 6, 5), torch.tensor([4, 6, 1])
    outputs = ours(x, lengths)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    padded, state = theirs(packed)
    expected, _ = pad_packed_sequence(padded, batch_first=True)
    mask = length_mask(lengths, 6)
    torch.testing.assert_close(outputs[mask], expected[mask])
    hidden = state[0] if cell == "lstm" else state
    torch.testing.assert_close(ours.final(outputs, lengths), torch.cat([hidden[2], hidden[3]], dim=1))


def test_recurrent_initialisation() -> None:
    torch.manual_seed(0)
    lstm = Recurrent(5, 4, "lstm", layers=1, bidirectional=True, dropout=0.0)
    for layer in (*lstm.forwards, *lstm.backwards):
        total = layer.bias_ih_l0 + layer.bias_hh_l0
        assert total.tolist() == [0] * 4 + [1] * 4 + [0] * 8
        for gate in layer.weight_hh_l0.split(4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(4))


def test_masked_pools_use_only_valid_steps() -> None:
    x, lengths = torch.randn(3, 6, 2), torch.tensor([6, 2, 1])
    mask = length_mask(lengths, 6)
    pool = AttentionPool(2)
    weights = pool.weights(x, mask)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    for i, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(masked_mean(x, mask)[i], x[i, :n].mean(0))
        torch.testing.assert_close(masked_max(x, mask)[i], x[i, :n].amax(0))
        torch.testing.assert_close(pool(x, mask)[i], (weights[i, :n, None] * x[i, :n]).sum(0))


def test_a_text_without_tokens_is_finite() -> None:
    net = RNN(3, 10).eval()
    assert net(torch.zeros(2, 4, dtype=torch.int64), torch.tensor([0, 4])).isfinite().all()


def test_features_can_start_from_embedded_tokens() -> None:
    net, ids, lengths = RNN(3, 10).eval(), torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([3, 1])
    assert torch.equal(net.from_embedded(net.embedding(ids), lengths), net.features(ids, lengths))


def test_m5_at_8_khz_matches_the_paper() -> None:
    net = M5(num_outputs=10, sample_rate=8000)
    convolutions = [b.conv for b in net.blocks]
    shapes = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions]
    assert shapes == [(1, 128, 80, 4), (128, 128, 3, 1), (128, 256, 3, 1), (256, 512, 3, 1)]


@pytest.mark.parametrize("rate", [1000, 8000, 11025, 22050, 44100])
@pytest.mark.parametrize("seconds", [0.001, 0.1, 0.37])
def test_m5_takes_clips_of_any_length_and_rate(rate: int, seconds: float) -> None:
    net, samples = M5(10, rate, width=4).eval(), max(1, int(rate * seconds))
    assert net(torch.randn(2, 1, samples), torch.tensor([samples, 1])).isfinite().all()


@pytest.mark.parametrize("bins", [1, 20, 64, 80])
@pytest.mark.parametrize("cls", [LogMelCNN, CRNN])
def test_spectrum_nets_take_any_number_of_bins(cls: type[nn.Module], bins: int) -> None:
    net = cls(num_outputs=4, bins=bins, widths=[4, 8]).eval()
    assert net(torch.randn(2, 1, bins, 11), torch.tensor([11, 2])).shape == (2, 4)


def test_crnn_can_average_instead_of_attending() -> None:
    net = CRNN(4, 16, pooling="mean").eval()
    assert net(torch.randn(2, 1, 16, 11), torch.tensor([11, 2])).shape == (2, 4)


def test_ngram_hashes_tell_ngrams_apart_and_leave_padding_out() -> None:
    ids = torch.tensor([[1, 2, 1, 2, 0], [2, 1, 2, 3, 4], [0, 0, 0, 0, 0]])
    lengths = torch.tensor([4, 5, 0])
    one, two, three = ngram_hashes(ids, lengths, 3)
    assert (one == -1).tolist() == [[False] * 4 + [True], [False] * 5, [True] * 5]
    assert (two == -1).tolist() == [[False] * 3 + [True], [False] * 4, [True] * 4]
    assert (three == -1).tolist() == [[False] * 2 + [True], [False] * 3, [True] * 3]
    assert two[0, 0] == two[0, 2] == two[1, 1]  # "1 2" wherever it stands
    assert two[0, 1] == two[1, 0] != two[0, 0]  # the order counts
    assert (
        len({*one.flatten().tolist(), *two.flatten().tolist(), *three.flatten().tolist()} - {-1}) == 4 + 4 + 4
    )


def test_hashes_of_many_ngrams_rarely_meet() -> None:
    ids = torch.randint(0, 20_000, (200, 50), generator=torch.Generator().manual_seed(0))
    (_, pairs) = ngram_hashes(ids, torch.full((200,), 50), 2)
    distinct = len({(a, b) for text in ids.tolist() for a, b in pairwise(text)})
    assert pairs.unique().numel() >= distinct - 1
    assert (pairs % 16384).unique().numel() > 0.9 * 16384 * (1 - math.exp(-distinct / 16384))


def test_a_bag_counts_each_ngram_once_and_ignores_order_beyond_them() -> None:
    net = NgramRNN(2, 10, ngrams=2).eval()

    def bag(*tokens: int) -> Tensor:
        return net.features(torch.tensor([tokens]), torch.tensor([len(tokens)]))[0, -16:]

    torch.testing.assert_close(bag(3, 4, 3, 4, 3), bag(4, 3, 4, 3))
    assert not torch.allclose(bag(3, 4), bag(3, 5))
    first = [int(hashes[0, 0]) for hashes in ngram_hashes(torch.tensor([[3, 4]]), torch.tensor([2]), 2)]
    last = int(next(ngram_hashes(torch.tensor([[4]]), torch.tensor([1]), 1)))
    rows = net.bag.weight[torch.tensor([*first, last]) % 16384]
    torch.testing.assert_close(bag(3, 4), rows.sum(0) / math.sqrt(3))
