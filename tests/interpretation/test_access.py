"""Views of runs: the values are the net's, the score is the run's, the baseline is of the data and named."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from leyden.data.batch import Batch
from leyden.decision.operating_point import OperatingPoint
from leyden.inference.predictor import outputs_of, prepared
from leyden.interpretation.access import Access, output_of
from leyden.interpretation.attribution import explain
from leyden.interpretation.view import View
from leyden.utils.errors import UserError
from small_runs import Opened

Open = Callable[[str], Opened]
ROWS = np.array([7, 3, 11])


def logits(opened: Opened, rows: np.ndarray = ROWS) -> Tensor:
    run, data = opened
    with torch.no_grad():
        return outputs_of(run, prepared(run, data.batch_of(rows)))


def scores(view: View) -> Tensor:
    with torch.no_grad():
        return view.score(view.values, torch.arange(len(view.values)))


@pytest.mark.parametrize("name", ["image", "text", "ngrams", "sound", "wave", "tags"])
def test_the_score_of_the_point_is_the_runs_own_output(opened: Open, name: str) -> None:
    found = opened(name)
    view = Access(*found).of_rows(ROWS, [1, 0, 2])
    assert torch.allclose(
        scores(view), logits(found).gather(1, torch.tensor([[1], [0], [2]]))[:, 0], atol=1e-5
    )
    assert view.scalars[1] == f"logit of {found[0].spec.target_names[0]!r}"
    assert view.baseline.shape == view.fill.shape == view.values.shape
    assert view.to_units(view.values).shape == view.places.shape


@pytest.mark.parametrize("name", ["image", "text", "sound"])
def test_a_class_that_is_not_chosen_is_the_answer(opened: Open, name: str) -> None:
    found = opened(name)
    answers = logits(found).argmax(1).tolist()
    assert Access(*found).of_rows(ROWS).outputs == answers
    assert Access(*found).of_rows(ROWS, [-1, 0, -1]).outputs == [answers[0], 0, answers[2]]


@pytest.mark.parametrize("name", ["text", "sound", "wave", "ngrams"])
def test_a_short_sample_is_seen_alike_beside_a_long_one(opened: Open, name: str) -> None:
    run, data = opened(name)
    rows = np.array([int(np.argmin(data.lengths)), int(np.argmax(data.lengths))])
    access = Access(run, data)
    together, alone = access.of_rows(rows, [0, 0]), access.of_rows(rows[:1], [0])
    units = alone.places.shape[-1]
    assert torch.allclose(scores(together)[0], scores(alone)[0], atol=1e-5)
    assert not together.places[0, ..., units:].any() and together.places[0, ..., :units].all()  # noqa: PT018
    padding = together.from_units(~together.places).expand_as(together.values)
    assert torch.equal(together.baseline[padding], together.values[padding])


def test_the_mean_of_pictures_is_that_of_the_training_rows(opened: Open) -> None:
    run, data = opened("image")
    view = Access(run, data).of_rows(ROWS)
    mean = prepared(run, data.batch_of(data.splits.train[:256])).input.values.mean()
    assert view.baseline_name == "the data's mean"
    assert torch.allclose(view.baseline, mean.expand_as(view.baseline), atol=1e-4)
    assert view.fill_name == "blurred picture"
    black = Access(run, data, baseline="black").of_rows(ROWS)
    assert black.baseline.unique().numel() == 1
    assert black.baseline.max() < view.values.min()


def test_the_mean_of_a_spectrogram_is_of_each_band_without_padding(opened: Open) -> None:
    run, data = opened("sound")
    view = Access(run, data).of_rows(ROWS)
    ready = prepared(run, data.batch_of(data.splits.train))
    lengths = ready.input.lengths
    assert lengths is not None
    frames = torch.cat(
        [x[0, :, :n] for x, n in zip(ready.input.values, lengths.tolist(), strict=True)], dim=1
    )
    assert torch.allclose(view.baseline[1, 0, :, 0], frames.mean(1), atol=1e-4)
    assert view.baseline_name == "each band's mean"


def test_a_waveform_is_explained_through_the_frontend_and_its_baseline_is_not_silent(opened: Open) -> None:
    run, data = opened("sound")
    features, waves = (Access(run, data, waveform=w).of_rows(ROWS, [0, 0, 0]) for w in (False, True))
    assert torch.allclose(scores(features), scores(waves), atol=1e-5)
    power = [
        wave[there].square().mean()
        for wave, there in zip(waves.baseline, waves.from_units(waves.places), strict=True)
    ]
    own = [wave.square().mean() for wave in waves.values]
    assert all(0.1 < a / b < 10 for a, b in zip(power, own, strict=True))
    assert waves.baseline_name == "noise of the data's mean spectrum"
    with pytest.raises(UserError, match="--input waveform: the run is on image"):
        Access(*opened("image"), waveform=True)


def test_texts_are_explained_at_the_embedding(opened: Open) -> None:
    access = Access(*opened("text"))
    view = access.of_rows(ROWS)
    assert view.values.shape == (*view.places.shape, 64)


def test_tokens_that_the_net_reads_in_another_way_too_can_only_be_taken_away(opened: Open) -> None:
    access = Access(*opened("ngrams"))
    view = access.of_rows(ROWS)
    assert view.values.shape == view.places.shape
    with pytest.raises(UserError, match=r"no gradient .* --method occlusion"):
        explain(view)
    without = view.values[:1].clone()
    without[0, 2] = view.baseline[0, 2]
    first = torch.zeros(1, dtype=torch.int64)
    fallen = (view.score(view.values[:1], first) - view.score(without, first)).item()
    assert explain(view, "occlusion")[0].values[2] == pytest.approx(fallen, abs=1e-5)


def test_an_unknown_token_says_whether_training_has_met_it(opened: Open) -> None:
    run, data = opened("text")
    unknown = Access(run, data, baseline="unknown").of_rows(ROWS)
    assert unknown.baseline_name == "unknown token (not met in training)"
    mean = Access(run, data).of_rows(ROWS)
    assert mean.baseline_name == "mean embedding of the data's tokens"
    rows = data.batch_of(data.splits.train).input
    assert rows.lengths is not None
    tokens = torch.cat([ids[:n] for ids, n in zip(rows.values, rows.lengths.tolist(), strict=True)])
    assert torch.allclose(mean.baseline[0, 0], mean.net.net.embedding(tokens).mean(0), atol=1e-5)  # type: ignore[union-attr,operator]
    padding = Access(run, data, baseline="padding").of_rows(ROWS)
    assert padding.baseline_name == "padding token"
    assert not padding.baseline.any()  # its embedding is 0


def test_a_runs_temperature_and_prior_correction_are_in_the_score_and_named(opened: Open) -> None:
    run, data = opened("image")
    shift = (0.5, -1.0, 0.0, 0.25)
    corrected = replace(run, decision=OperatingPoint(2.0, shift, (0.0,) * 4))
    view = Access(corrected, data).of_rows(ROWS, [1, 1, 1])
    assert torch.allclose(scores(view), logits((run, data))[:, 1] / 2 - 1.0, atol=1e-5)
    assert view.scalars[0] == "logit of 'pattern 1' after the run's temperature and prior correction"
    plain = Access(run, data).of_rows(ROWS, [1, 1, 1])
    assert view.spans[0] == pytest.approx(plain.spans[0] / 2)


def test_spans_are_the_range_of_the_outputs_over_training_rows(opened: Open) -> None:
    run, data = opened("image")
    found = logits((run, data), data.splits.train)[:, 2]
    view = Access(run, data).of_rows(ROWS, [2, 2, 2])
    assert view.spans[0] == pytest.approx(float(found.max() - found.min()), rel=1e-4)


class Own(LightningModule):
    """A module of a user's own: raw pixels in, no frontend."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(144, 4)

    def forward(self, batch: Batch) -> Tensor:
        return self.linear((batch.input.values / 255).flatten(1))


class Silent(LightningModule):
    """A module that says nothing."""


def test_a_module_of_the_users_own_is_explained_by_what_its_forward_gives(opened: Open) -> None:
    run, data = opened("image")
    own = Own()
    view = Access(replace(run, module=own), data).of_rows(ROWS, [0, 0, 0])
    expected = (view.values - view.baseline) / 255 * own.linear.weight[0].reshape(1, 12, 12)
    assert np.allclose(explain(view)[1].values, expected[1, 0].detach().numpy(), atol=1e-5)
    with pytest.raises(UserError, match=r"Silent.forward\(batch\) must give"):
        Access(replace(run, module=Silent()), data).of_rows(ROWS)


def test_what_there_is_not_is_named(opened: Open) -> None:
    run, data = opened("image")
    access = Access(run, data)
    with pytest.raises(UserError, match=r"row 240: the table has rows 0 to 239"):
        access.of_rows(np.array([240]))
    with pytest.raises(UserError, match=r"--target patern 1: did you mean 'pattern 1'"):
        output_of(run, "patern 1")
    with pytest.raises(UserError, match=r"--baseline padding: there is none .* blur"):
        Access(run, data, baseline="padding").of_rows(ROWS)
