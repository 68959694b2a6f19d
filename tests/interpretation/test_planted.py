"""The planted test: the truth as units, the untrained net, the verdict of each method, the method that is chosen."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import leyden
from leyden.data.datamodule import DataModule
from leyden.inference.load import LoadedRun, load
from leyden.interpretation import planted
from leyden.interpretation.access import Access, open_data
from leyden.interpretation.attribution import explain
from leyden.interpretation.choice import choose_method
from leyden.interpretation.explained import Request, explain_samples
from leyden.interpretation.faithfulness import assess_maps
from leyden.interpretation.pointing import mass_inside, points_inside
from leyden.interpretation.randomised import beside_untrained, similarity, untrained
from leyden.interpretation.truth import has_test, truth_of
from leyden.runs.explain_check import ExplainCheck, MethodCheck, Share
from leyden.utils.errors import UserError

QUICK = ["logger=none", "threads=1", "trainer=cpu"]
PICTURES = [
    *("experiment=planted_images", "data.source.size=20", "data.source.samples=900", "optimizer.lr=0.003"),
    *("trainer.max_epochs=8", "model.net.widths=[16,32]"),
]
RUNS = {
    "max": [*PICTURES, "model.net.pooling=max"],
    "text": ["experiment=planted_text", "data.source.samples=200", "trainer.max_epochs=1"],
    "audio": [
        *("experiment=planted_audio", "data.source.samples=60", "data.source.clutter=2"),
        *("trainer.max_epochs=1", "model.net.widths=[4,8]", "data.source.max_seconds=0.6"),
    ],
}
Opened = tuple[LoadedRun, DataModule]


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Opened]:
    root = tmp_path_factory.mktemp("planted")

    @cache
    def made(name: str) -> Opened:
        run = load(Path(leyden.train([*RUNS[name], *QUICK, f"runs={root}"]).folder))
        return run, open_data(run)

    return made


def truths(
    opened: Opened, rows: int = 12, waveform: bool = False
) -> tuple[Any, list[np.ndarray], np.ndarray]:
    run, data = opened
    chosen = data.splits.test[:rows]
    view = Access(run, data, waveform).of_rows(chosen)
    return view, truth_of(data, chosen, view, run.module.frontend), chosen


def test_the_truth_of_a_picture_is_its_pattern(run_of: Callable[[str], Opened]) -> None:
    view, inside, _ = truths(run_of("max"))
    for picture, there in zip(view.values[:, 0], inside, strict=True):
        assert there.sum() == 36
        assert (
            len(torch.unique(picture[torch.as_tensor(there)])) == 2
        )  # a pattern has two greys, noise has many


def test_the_truth_of_a_text_is_its_key_word(run_of: Callable[[str], Opened]) -> None:
    _, data = run_of("text")
    _, inside, rows = truths(run_of("text"))
    for row, there in zip(rows, inside, strict=True):
        words = bytes(data.source.decode(row)).decode().split()
        label = int(data.table.index.targets[row])
        (place,) = np.flatnonzero(there)
        assert words[place] in data.source.keys(label)  # type: ignore[attr-defined]


@pytest.mark.parametrize("waveform", [False, True])
def test_the_truth_of_a_recording_is_where_its_tone_sounds(
    waveform: bool, run_of: Callable[[str], Opened]
) -> None:
    run, data = run_of("audio")
    view, inside, rows = truths(run_of("audio"), waveform=waveform)
    for place, (row, there) in enumerate(zip(rows, inside, strict=True)):
        first, samples, _ = data.table.index.truth[row]  # type: ignore[index]
        step = 80 if waveform else run.module.frontend.hop
        seen = np.flatnonzero(there if waveform else there.any(0)) * step
        assert abs(seen[0] - first) <= 200
        assert abs(seen[-1] - first - samples) <= 200
        if not waveform:
            loud = view.values[place, 0, :, int(first + samples / 2) // step]
            heard = there.any(1)
            assert 2 <= heard.sum() <= 8
            # clutter may be as loud at the same time
            assert loud[torch.as_tensor(heard)].max() > loud.median() + 1


def test_recordings_without_clutter_test_nothing() -> None:
    source = "leyden.data.sources.synthetic."
    assert not has_test({"_target_": f"{source}PlantedAudio"})
    assert has_test({"_target_": f"{source}PlantedAudio", "clutter": 2})
    assert has_test({"_target_": f"{source}PlantedText"})
    assert has_test({"_target_": f"{source}PlantedImages"})
    assert not has_test({"_target_": f"{source}PlantedImages", "clutter": 0})
    assert not has_test({"_target_": "leyden.data.sources.image.Digits"})


def test_an_untrained_net_has_other_weights_and_the_frontend_of_the_run(
    run_of: Callable[[str], Opened],
) -> None:
    run, _ = run_of("max")
    state = torch.get_rng_state()
    other = untrained(run)
    assert torch.equal(torch.get_rng_state(), state)
    own, new = run.module.state_dict(), other.module.state_dict()
    assert all(torch.equal(own[k], new[k]) for k in own if k.startswith("frontend."))
    weights = [k for k in own if k.startswith("net.") and own[k].ndim > 1]
    assert all(not torch.equal(own[k], new[k]) for k in weights)
    assert not other.module.training
    again = untrained(run).module.state_dict()
    assert all(torch.equal(new[k], again[k]) for k in new)


def test_the_untrained_net_s_map_stands_beside(run_of: Callable[[str], Opened]) -> None:
    run, data = run_of("max")
    view, inside, rows = truths(run_of("max"), 4)
    beside = Access(untrained(run), data).of_rows(rows, list(view.outputs))
    maps, others = ([a.values for a in explain(v, "integrated_gradients")] for v in (view, beside))
    tests = beside_untrained(assess_maps(view, maps), maps, others, inside)
    for test, one, other in zip(tests, maps, others, strict=True):
        assert test.untrained_similarity == similarity(one, other)
        assert test.untrained_pointing in (True, False)
    assert similarity(maps[0], maps[0]) == pytest.approx(1)
    assert similarity(maps[0], -maps[0]) == pytest.approx(-1)
    assert similarity(maps[0], np.zeros_like(maps[0])) == 0


def test_explanations_have_the_untrained_net_and_the_truth_beside_them(
    run_of: Callable[[str], Opened],
) -> None:
    run, data = run_of("max")
    rows = data.splits.test[:3].tolist()
    found = explain_samples(run, data, Request(rows=rows, method="integrated_gradients"))
    view = Access(run, data).of_rows(np.array(rows))
    inside = truth_of(data, np.array(rows), view)
    for one, there in zip(found, inside, strict=True):
        assert one.test is not None
        assert one.test.pointing == points_inside(one.attribution.values, there)
        assert one.test.mass == pytest.approx(mass_inside(one.attribution.values, there))
        assert one.test.untrained_similarity is not None
        assert -1 <= one.test.untrained_similarity < 0.95
        assert one.untrained is not None
        assert one.test.untrained_similarity == similarity(one.attribution.values, one.untrained)
        assert one.shown().heat.untrained is one.untrained
        assert one.test.untrained_pointing in (True, False)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_grad_cam_is_trusted_by_the_net(pooling: str, tmp_path: Path) -> None:
    """After max pooling the last convolution's maps tell where; after mean pooling of small maps they do not."""
    words = [*("experiment=planted_images", f"model.net.pooling={pooling}", f"runs={tmp_path}"), *QUICK]
    words += PICTURES[1:] if pooling == "max" else []
    found = planted.check_run(load(leyden.train(words).folder), rows=100)
    grad_cam = found.methods["grad_cam"]
    assert grad_cam.is_trusted == (pooling == "max")
    if pooling == "max":
        assert grad_cam.pointing.value >= 0.9
    else:
        assert "grad_cam is not to be trusted for this net: it points at" in found.remark("grad_cam")


def test_methods_find_the_planted_pattern(run_of: Callable[[str], Opened]) -> None:
    run, data = run_of("max")
    said: list[str] = []
    found = planted.check_run(run, data, rows=30, say=said.append)
    assert found.rows == 30
    assert found.accuracy > 0.95
    assert not said
    gradients, occlusion = found.methods["integrated_gradients"], found.methods["occlusion"]
    assert gradients.pointing.value >= 0.95
    assert gradients.mass >= 0.6
    assert occlusion.pointing.value >= 0.9
    assert occlusion.mass >= 0.4
    assert gradients.is_trusted
    assert gradients.untrained_pointing.value < 0.55


def test_a_net_that_has_not_learned_is_refused(run_of: Callable[[str], Opened]) -> None:
    with pytest.raises(UserError, match="of the planted rows rightly, too few to judge its maps by"):
        planted.check_run(*run_of("text"))


def test_a_method_that_there_is_not_is_refused() -> None:
    with pytest.raises(UserError, match="grad_cam"):
        planted.verify_methods(["gradcam"])


def share(value: float) -> Share:
    return Share(value=value)


def test_the_method_is_chosen_by_the_stored_test() -> None:
    def method(pointing: float, mass: float, trusted: bool = True) -> MethodCheck:
        numbers = {"pointing": share(pointing), "mass": mass, "untrained_pointing": share(0.2)}
        return MethodCheck(**numbers, untrained_mass=0.1, is_trusted=trusted)

    methods = {
        **{"integrated_gradients": method(0.98, 0.7), "occlusion": method(0.98, 0.8)},
        **{"grad_cam": method(1.0, 0.9, trusted=False)},
    }
    check = ExplainCheck(data="planted_images", rows=100, accuracy=1.0, methods=methods)
    choice = choose_method(None, check)  # type: ignore[arg-type]
    assert choice.method == "occlusion"
    assert (
        "occlusion: points at the planted signal of planted_images in 0.98 of rows, mass 0.80" in choice.why
    )


def test_the_method_is_chosen_by_truth_or_else_by_deletion(run_of: Callable[[str], Opened]) -> None:
    view, inside, _ = truths(run_of("max"), 6)
    by_truth = choose_method(view, inside=inside)
    assert by_truth.method == "integrated_gradients"
    assert "in 1.00 of these 6 samples" in by_truth.why
    by_deletion = choose_method(view)
    assert "standard errors better than random orders" in by_deletion.why
    assert by_deletion.method in by_deletion.why
    only = choose_method(view, candidates=["occlusion"])
    assert (only.method, only.why) == ("occlusion", "occlusion, the only one that this net allows")
