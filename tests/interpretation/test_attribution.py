"""Attributions against what is known: of linear nets, of sums, of nets that cannot be differentiated."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from leyden.interpretation import methods
from leyden.interpretation.access import Access
from leyden.interpretation.attribution import METHODS, Attribution, explain
from leyden.interpretation.grad_cam import last_convolution
from leyden.interpretation.view import View
from leyden.utils.errors import UserError
from small_runs import Opened

SHAPE = (2, 6, 5)


def view_of(net: nn.Module, samples: int = 3, shape: tuple[int, ...] = SHAPE) -> View:
    """Pictures of noise as a view of the first output of a net."""
    values = torch.randn(samples, *shape, generator=torch.Generator().manual_seed(0))
    baseline = torch.full_like(values, 0.25)
    return View(
        *(values, baseline, "grey", baseline, "grey", torch.ones(samples, *shape[1:], dtype=torch.bool)),
        score=lambda x, at: net(x)[:, 0],
        scalar="logit",
        to_units=lambda x: x.sum(1),
        from_units=lambda x: x[:, None],
        spans=[5.0] * samples,
        net=net,
    )


def linear() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(SHAPE)), 4))


def maps(found: Sequence[Attribution]) -> np.ndarray:
    return np.stack([each.values for each in found])


def expected(view: View) -> np.ndarray:
    """w (x - x') of a linear net, (B, H, W)."""
    weights = view.net[1].weight[0].reshape(SHAPE)  # type: ignore[index,operator]
    found: np.ndarray = ((view.values - view.baseline) * weights).sum(1).detach().numpy()
    return found


def test_integrated_gradients_of_a_linear_net_are_its_weights_times_the_difference() -> None:
    view = view_of(linear())
    found = explain(view)
    assert np.abs(maps(found) - expected(view)).max() < 1e-5
    for each in found:
        assert each.completeness is not None
        assert each.completeness < 1e-4
        assert (each.is_complete, each.baseline, each.seed) == (True, "grey", None)
        assert each.values.sum() == pytest.approx(each.score - each.baseline_score, abs=1e-4)


@pytest.mark.parametrize("name", ["image", "text", "sound", "tags"])
def test_sums_are_complete_for_99_percent_of_rows(opened: Callable[[str], Opened], name: str) -> None:
    run, data = opened(name)
    found = explain(Access(run, data).of_rows(data.splits.test[:40]))
    errors = np.array([each.completeness for each in found], dtype=float)
    assert (errors <= 0.01).mean() >= 0.99
    assert [each.is_complete for each in found] == (errors <= 0.01).tolist()
    spans = np.ptp([each.score for each in found])
    misses = [abs(each.values.sum() - (each.score - each.baseline_score)) for each in found]
    assert max(misses) <= 0.011 * max(spans, *(abs(each.score - each.baseline_score) for each in found))


def test_a_map_whose_sum_is_off_is_refined_and_else_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    steep = nn.Sequential(
        nn.Flatten(), nn.Linear(60, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
    )
    view = view_of(steep, samples=8)
    monkeypatch.setattr(methods, "STEPS", 1)
    refined = [each.completeness for each in explain(view)]
    monkeypatch.setattr(methods, "DEPTH", 1)
    coarse = explain(view)
    assert max(e or 0.0 for e in refined) <= 0.01
    assert any(not each.is_complete for each in coarse)
    for each in coarse:
        miss = abs(each.values.sum() - (each.score - each.baseline_score))
        scale = max(abs(each.score - each.baseline_score), 0.01 * 5.0)
        assert each.completeness == pytest.approx(miss / scale, rel=1e-3, abs=1e-5)


def test_no_more_stretches_are_refined_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layers = (nn.Flatten(), nn.Linear(60, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    view, held = view_of(nn.Sequential(*layers), samples=8), list[int]()
    original = methods._integrated
    monkeypatch.setattr(methods, "STEPS", 1)
    monkeypatch.setattr(methods, "_HELD", 60 * 20)
    monkeypatch.setattr(
        methods, "_integrated", lambda v, way: held.append(len(way.samples)) or original(v, way)
    )
    explain(view)
    assert max(held) == 20
    assert methods._largest(
        torch.tensor([True, False, True, True]), torch.tensor([1.0, 9, 3, 2]), 2
    ).tolist() == [*(False, False, True, True)]


def test_a_difference_of_nothing_is_measured_against_the_outputs_range() -> None:
    view = view_of(linear())
    assert methods.scales(view, torch.tensor([0.0, 0.01, -3.0], dtype=torch.float64)).tolist() == [
        0.05,
        0.05,
        3.0,
    ]


@pytest.fixture
def as_on_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recurrent layers refuse a backward pass in evaluation mode while cuDNN is on, as they do on a GPU."""
    original = nn.LSTM.forward

    def forward(self: nn.LSTM, x: Tensor, *rest: Any) -> Any:
        if torch.backends.cudnn.enabled and torch.is_grad_enabled() and not self.training:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        return original(self, x, *rest)

    monkeypatch.setattr(nn.LSTM, "forward", forward)


@pytest.mark.usefixtures("as_on_cudnn")
@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_shap"])
def test_recurrent_nets_are_differentiated_without_cudnn_and_stay_in_evaluation_mode(
    opened: Callable[[str], Opened], method: str
) -> None:
    run, data = opened("text")
    view = Access(run, data).of_rows(data.splits.test[:2])
    explain(view, method)
    assert torch.backends.cudnn.enabled
    assert not any(part.training for part in run.module.modules())


def test_occlusion_is_how_much_the_score_falls() -> None:
    view = view_of(linear())
    assert np.abs(maps(explain(view, "occlusion", window=(1, 1))) - expected(view)).max() < 1e-5
    own = explain(view, "occlusion", window=SHAPE[1:])
    for each in own:
        assert np.allclose(each.values, each.score - each.baseline_score, atol=1e-5)
        assert each.completeness is None
        assert each.is_complete
    with pytest.raises(UserError, match=r"--window 7,1: expected 2 of 1 to 6,5"):
        explain(view, "occlusion", window=(7, 1))


def pooled(pool: nn.Module) -> nn.Module:
    torch.manual_seed(2)
    layers = (nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, padding=1))
    return nn.Sequential(*layers, pool, nn.Flatten(), nn.Linear(8, 3))


def hires_cam(view: View) -> np.ndarray:
    """ReLU of the sum over maps of activation times gradient (Draelos and Carin 2020, arXiv:2011.08891)."""
    kept: list[Tensor] = []
    hook = last_convolution(view).register_forward_hook(lambda m, i, output: kept.append(output))
    score = view.score(view.values, torch.arange(len(view.values))).sum()
    hook.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    found: np.ndarray = torch.relu((gradient * kept[0]).sum(1)).detach().numpy()
    return found


def test_grad_cam_of_mean_pooling_equals_hires_cam_and_is_of_the_last_convolution() -> None:
    net = pooled(nn.AdaptiveAvgPool2d(1))
    view = view_of(net)
    assert last_convolution(view) is net[2]  # type: ignore[index]
    found = maps(explain(view, "grad_cam"))
    assert np.allclose(found, hires_cam(view), atol=1e-6)
    assert found.max() > 0
    largest = view_of(pooled(nn.AdaptiveMaxPool2d(1)))
    assert not np.allclose(maps(explain(largest, "grad_cam")), hires_cam(largest), atol=1e-3)


def test_grad_cam_needs_maps() -> None:
    with pytest.raises(UserError, match=r"--method grad_cam: the net has no convolution with maps"):
        explain(view_of(linear()), "grad_cam")


@pytest.mark.parametrize("name", ["sound", "wave"])
def test_maps_of_the_last_convolution_are_enlarged_to_the_units(
    opened: Callable[[str], Opened], name: str
) -> None:
    run, data = opened(name)
    for waveform in (False, True):
        view = Access(run, data, waveform).of_rows(data.splits.test[:3])
        assert maps(explain(view, "grad_cam")).shape == view.places.shape


@pytest.mark.parametrize("method", ["gradient_shap", "rise"])
def test_a_seed_is_stored_and_repeats_a_map_and_nothing_else_is_drawn(method: str) -> None:
    view = view_of(linear())
    view = View(**{**vars(view), "references": torch.randn(5, *SHAPE)})
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, again, other = (explain(view, method, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert first[0].seed == 1
    assert np.array_equal(maps(first), maps(again))
    assert not np.allclose(maps(first), maps(other))


def test_gradient_shap_starts_from_training_rows() -> None:
    net = linear()
    references = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(4)) + 3
    view = View(**{**vars(view_of(net)), "references": references})
    found = explain(view, "gradient_shap")
    scores = net(references)[:, 0]
    assert found[0].baseline == "5 training rows"
    assert found[0].baseline_score == pytest.approx(scores.mean().item(), rel=1e-5)
    weights = net[1].weight[0].reshape(SHAPE)  # type: ignore[index,operator]
    each = ((view.values[0] - references) * weights).sum(1).detach().numpy()
    # the mean over references that were drawn: within four standard errors of the mean over all
    assert (abs(found[0].values - each.mean(0)) <= 4 * each.std(0) / methods.SHAP_SAMPLES**0.5 + 1e-6).all()


def test_rise_is_centred_where_nothing_counts() -> None:
    """A net sees a patch on the left: on the right there is nothing, where uncentred RISE has as much as elsewhere."""
    weights = torch.zeros(1, 20, 20)
    weights[:, 4:10, 3:8] = 1.0
    view = view_of(nn.Identity(), shape=(1, 20, 20))
    view = View(
        **{
            **vars(view),
            "score": lambda x, at: (x * weights).flatten(1).sum(1),
            "values": view.values.abs() + 1,
        }
    )
    found = maps(explain(view, "rise"))
    inside, right = found[:, 4:10, 3:8].mean(), found[:, :, 14:]
    assert abs(right).mean() < 0.15 * inside
    assert abs(right.mean()) < 0.05 * inside


def test_a_net_that_does_not_depend_on_its_input_is_refused() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 2, requires_grad=True)

    for method in ("integrated_gradients", "gradient_shap"):
        with pytest.raises(UserError, match=r"no gradient by its input"):
            explain(view_of(Constant()), method)


@pytest.mark.parametrize("method", METHODS)
def test_the_net_gets_no_more_samples_at_once_than_memory_holds(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, sizes = pooled(nn.AdaptiveAvgPool2d(1)), []
    monkeypatch.setattr(methods, "_MOST_SAMPLES", 7)
    view = view_of(net, samples=9)

    def score(x: Tensor, at: Tensor) -> Tensor:
        sizes.append(len(x))
        assert len(x) == len(at)
        return net(x)[:, 0]

    explain(View(**{**vars(view), "score": score, "references": view.values[:5]}), method)
    assert 1 <= max(sizes) <= 7


def test_a_method_that_there_is_not_is_refused() -> None:
    with pytest.raises(UserError, match=r"--method grad-cam: did you mean 'grad_cam'"):
        explain(view_of(linear()), "grad-cam")
