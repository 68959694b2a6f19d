"""Text transforms: token dropout, and the frontend that changes nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.data.batch import Input, SampleRandom
from leyden.data.transforms.text import TokenDropout, Tokens


def texts(lengths: list[int], width: int | None = None) -> Input:
    """Texts of the given lengths, every id above 1, padded with 0."""
    n = torch.tensor(lengths)
    x = torch.randint(
        2, 50, (len(lengths), width or max(lengths)), generator=torch.Generator().manual_seed(0)
    )
    return Input(x * (torch.arange(x.shape[1]) < n[:, None]), n)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=20), p=st.floats(0, 0.99), seed=st.integers(0, 9)
)
def test_dropout_makes_tokens_unknown_but_never_all(lengths: list[int], p: float, seed: int) -> None:
    batch = texts(lengths)
    out = TokenDropout(p)(batch, SampleRandom(seed, 0, torch.arange(len(batch.values)) + 7)).values
    changed = out != batch.values
    assert bool((out[changed] == 1).all())
    assert torch.equal(out == 0, batch.values == 0)
    assert bool(((out > 1).sum(1) >= 1).all())


def test_dropout_takes_about_p_of_the_tokens() -> None:
    batch = texts([50] * 200)
    out = TokenDropout(0.2)(batch, SampleRandom(0, 0, torch.arange(len(batch.values)) + 7)).values
    assert (out == 1).float().mean().item() == pytest.approx(0.2, abs=0.02)


def test_frontend_is_the_identity() -> None:
    batch, frontend = texts([3, 5]), Tokens()
    frontend.fit([batch])
    assert frontend(batch) is batch
    assert frontend.facts() == {}
    assert frontend.state_dict() == {}
