"""Features of rows: each in the place where it was asked for, whatever the order in which it was computed."""

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule

from leyden.modules.features import features_of
from leyden.training.setup import open_session
from leyden.utils.errors import UserError


def test_features_are_those_of_the_rows_asked_for() -> None:
    """Batches are by length; a row's features are those of the row alone."""
    session = open_session(
        ["data=planted_text", "data.source.samples=80", "model=lstm", "data.eval_batch_size=7"]
    )
    rows = np.random.default_rng(0).permutation(80)[:30]
    found = features_of(session.module, session.data, rows)
    assert found.shape == (30, session.module.net.feature_width)
    for place in (0, 11, 29):
        alone = features_of(session.module, session.data, rows[place : place + 1])
        np.testing.assert_allclose(found[place], alone[0], atol=1e-6)


def test_modes_and_random_numbers_stay() -> None:
    session = open_session(["data=digits", "model=cnn"])
    session.module.train()
    state = torch.random.get_rng_state()
    features_of(session.module, session.data, np.arange(5))
    assert session.module.training
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_module_without_features_is_refused() -> None:
    session = open_session(["data=digits", "model=cnn"])
    with pytest.raises(UserError, match="LightningModule gives no features"):
        features_of(LightningModule(), session.data, np.arange(5))
