"""What TensorBoard shows of a finished run, read back from its event files and the projector's."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from leyden.callbacks import cpu_budget, tensorboard_projector, tensorboard_results
from leyden.callbacks.cpu_budget import CpuBudget
from leyden.tasks.classification import Classification
from leyden.training.job import train

Tiny = Callable[..., list[str]]
FULL = ("logger=tensorboard", "logger.tensorboard.detail=full")
CARD = 700  # pixels: twice the width at which TensorBoard shows an image


class Shown:
    """What a run's event files hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events = EventAccumulator(str(folder), size_guidance={"images": 0, "audio": 0, "tensors": 0})
        self.events.Reload()
        self.result = json.loads((folder / "result.json").read_text())

    def tags(self, kind: str) -> set[str]:
        return set(self.events.Tags()[kind])

    def text(self, tag: str) -> str:
        (event,) = self.events.Tensors(f"{tag}/text_summary")
        found: str = event.tensor_proto.string_val[0].decode()
        return found

    def image(self, tag: str) -> Image.Image:
        (event,) = self.events.Images(tag)
        image = Image.open(io.BytesIO(event.encoded_image_string))
        assert image.size == (event.width, event.height)
        return image

    def stored(self, split: str) -> dict[str, np.ndarray]:
        return dict(np.load(self.folder / "predictions" / f"{split}.npz"))


@pytest.fixture
def shown(tiny: Tiny) -> Callable[..., Shown]:
    """A tiny run's; of pictures unless other data are named."""

    def run(*more: str) -> Shown:
        words = tiny(*FULL, *more)
        named = any(word.startswith(("data=", "experiment=")) for word in more)
        own = [w for w in words if w in more or not w.startswith(("data", "model"))] if named else words
        return Shown(train(own).folder)

    return run


def wrong_of(stored: dict[str, np.ndarray], c: int) -> np.ndarray:
    """Places of the errors of a true class, the most confident first."""
    places = np.flatnonzero((stored["labels"] == c) & (stored["predicted"] != c))
    p = stored["probabilities"][places, stored["predicted"][places]]
    return places[np.argsort(-p, kind="stable")]


def test_errors_of_each_true_class_are_pictures_of_a_cards_width(shown: Callable[..., Shown]) -> None:
    run = shown("trainer.max_epochs=1")
    stored = run.stored("test")
    wrong = {str(c) for c in np.unique(stored["labels"]) if len(wrong_of(stored, c))}
    errors = {tag.split("/")[2] for tag in run.tags("images") if tag.startswith("test/errors/")}
    names = json.loads((run.folder / "spec.json").read_text())["target_names"]
    assert errors == {names[int(c)] for c in wrong}
    for tag in run.tags("images"):
        assert run.image(tag).width == CARD, tag
    most = max(wrong, key=lambda c: len(wrong_of(stored, int(c))))
    assert f"| {names[int(most)]} | {len(wrong_of(stored, int(most)))} |" in run.text("test/errors")


def test_recordings_of_errors_are_named_played_and_drawn(shown: Callable[..., Shown]) -> None:
    run = shown("data=planted_audio", "model=logmel_cnn", "trainer.max_epochs=1", "data.source.samples=120")
    stored, tags = run.stored("test"), run.tags("audio")
    names = json.loads((run.folder / "spec.json").read_text())["target_names"]
    expected = set()
    for c, name in enumerate(names):
        for place, row in enumerate(wrong_of(stored, c)[:3], 1):
            answer = names[stored["predicted"][row]]
            expected.add(f"test/errors/{name} as {answer}/{place} recording {stored['rows'][row]}")
    assert expected
    assert {tag for tag in tags if tag.startswith("test/")} == expected
    (clip,) = run.events.Audio(min(expected))
    assert clip.encoded_audio_string[:4] == b"RIFF"
    rate = json.loads((run.folder / "spec.json").read_text())["sample_rate"]
    assert clip.sample_rate == rate
    drawn = {f"test/errors/{tag.split('/')[2].split(' as ')[0]}" for tag in expected}
    assert drawn <= run.tags("images")
    colours = np.asarray(run.image(min(drawn))).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 100, "a spectrogram, not a line"


def test_texts_of_errors_are_a_table_for_each_class(shown: Callable[..., Shown]) -> None:
    run = shown("data=planted_text", "model=lstm", "trainer.max_epochs=1", "data.source.samples=200")
    stored = run.stored("test")
    names = json.loads((run.folder / "spec.json").read_text())["target_names"]
    c = int(stored["labels"][stored["labels"] != stored["predicted"]][0])
    lines = run.text(f"test/errors/{names[c]}").splitlines()[2:]
    worst = wrong_of(stored, c)[:6]
    assert len(lines) == len(worst)
    for line, place in zip(lines, worst, strict=True):
        answer = stored["predicted"][place]
        assert line.startswith(f"| sentence {stored['rows'][place]} | {names[answer]} ")
        assert f"{stored['probabilities'][place, answer]:.2f} |" in line


def test_multilabel_errors_are_those_of_each_label(shown: Callable[..., Shown]) -> None:
    run = shown("experiment=planted_tags", "data.source.samples=200", "trainer.max_epochs=1")
    stored = run.stored("test")
    names = json.loads((run.folder / "spec.json").read_text())["target_names"]
    wrong = (stored["targets"] != stored["predicted"]).sum(axis=0)
    assert wrong.any()
    table = run.text("test/errors")
    for name, n in zip(names, wrong, strict=True):
        assert (f"| {name} | {n} |" in table) == (n > 0)


def test_regression_errors_are_the_largest_residuals(shown: Callable[..., Shown], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["path,label"]
    (tmp_path / "pictures").mkdir()
    for i in range(120):
        values = rng.integers(0, 255, (8, 8), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / "pictures" / f"p{i}.png")
        lines.append(f"pictures/p{i}.png,{values.mean():.3f}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    run = shown(
        *("data=image_manifest", "task=regression", f"data.source.csv={tmp_path / 'table.csv'}"),
        *("data.source.size=8", "trainer.max_epochs=1"),
    )
    stored = run.stored("test")
    worst = np.argmax(np.abs(stored["targets"] - stored["values"])[:, 0])
    assert f"label {stored['values'][worst, 0]:.4g}, true" in run.text("test/errors")
    assert "test/errors/label" in run.tags("images")


def test_the_projector_has_features_names_and_pictures(shown: Callable[..., Shown]) -> None:
    run = shown()
    config = text_format.Parse((run.folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    features = np.loadtxt(run.folder / embedding.tensor_path, delimiter="\t")
    lines = [line.split("\t") for line in (run.folder / embedding.metadata_path).read_text().splitlines()]
    stored = run.stored("val")
    assert len(features) == len(lines) - 1 == len(stored["rows"])
    assert features.std(axis=0).max() > 0
    columns = dict(zip(lines[0], zip(*lines[1:], strict=True), strict=True))
    assert columns["row"] == tuple(f"picture {row}" for row in stored["rows"])
    right = stored["labels"] == stored["predicted"]
    assert columns["result"] == tuple("right" if r else "wrong" for r in right)
    sprite = np.asarray(Image.open(run.folder / embedding.sprite.image_path))
    side = int(np.ceil(np.sqrt(len(features))))
    assert sprite.shape == (side * 32, side * 32, 3)
    assert list(embedding.sprite.single_image_dim) == [32, 32]


def test_features_are_in_the_order_of_the_rows(
    shown: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of texts, which are batched by length: the head on the features gives the stored answers."""
    heads: list[Any] = []
    original = tensorboard_results.write_projector

    def noted(folder: Path, module: Any, *given: Any) -> int:
        heads.append(module.net.head)
        return original(folder, module, *given)

    monkeypatch.setattr(tensorboard_results, "write_projector", noted)
    run = shown("data=planted_text", "model=lstm", "data.source.samples=200", "model.net.hidden=16")
    features = np.loadtxt(run.folder / "projector" / "features.tsv", delimiter="\t")
    with torch.no_grad():
        p = heads[0](torch.from_numpy(features).float()).softmax(1).numpy()
    np.testing.assert_allclose(p, run.stored("val")["probabilities"], atol=0.02)


def test_the_net_is_a_graph_and_a_table(shown: Callable[..., Shown]) -> None:
    run = shown("trainer.max_epochs=1")
    nodes = [node.name for node in run.events.Graph().node]
    assert any("Linear" in name for name in nodes)
    table = run.text("model")
    assert f"| (all) | MLP | {run.result['cost']['parameters']:,} |" in table
    assert "missing" not in table


OWN = """
import torch
from lightning.pytorch import LightningModule
from torch import nn


class Own(LightningModule):
    def __init__(self, num_outputs: int, in_channels: int, image_size: tuple[int, int], odd: bool = False) -> None:
        super().__init__()
        self.odd = odd
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_outputs))

    def forward(self, batch):
        if self.odd and torch.jit.is_tracing():
            raise RuntimeError("not to be traced")
        return self.body(batch.input.values / 255)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch), batch.targets)

    def validation_step(self, batch, batch_idx):
        self.log("val/hits", (self(batch).argmax(1) == batch.targets).float().mean())

    def test_step(self, batch, batch_idx):
        self.log("test/hits", (self(batch).argmax(1) == batch.targets).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""


@pytest.mark.parametrize("odd", [False, True])
def test_a_module_of_ones_own_is_shown_too(
    shown: Callable[..., Shown], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: bool
) -> None:
    """Where its net cannot be traced by a table alone, which says why."""
    (tmp_path / f"own_{odd}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    run = shown(
        *(f"model.module._target_=own_{odd}.Own", "monitor=val/hits", "trainer.max_epochs=1"),
        *(["model.module.odd=true"] if odd else []),
    )
    table = run.text("model")
    assert "| module.body.1 | Linear |" in table
    assert run.events.Tags()["graph"] is not odd
    assert ("The graph is missing: RuntimeError: not to be traced" in table) == odd
    assert not (run.folder / "projector").exists()


def test_hparams_have_the_watched_metric_beside_the_test_metrics(shown: Callable[..., Shown]) -> None:
    run = shown("monitor=val/macro_f1")
    named = HParamsPluginData.FromString(
        run.events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    )
    found = [info.name.tag for info in named.experiment.metric_infos]
    values = run.result["metrics"]["test"]["values"]
    assert found == ["result/val/macro_f1", *(f"result/test/{name}" for name in values)]
    (watched,) = run.events.Scalars("result/val/macro_f1")
    assert watched.value == pytest.approx(run.result["best"]["value"])


def test_what_the_budget_leaves_out_is_named(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, spending = set(), CpuBudget.spending
    monkeypatch.setattr(cpu_budget, "SECONDS", 0.0)
    monkeypatch.setattr(CpuBudget, "spending", lambda self, view: counted.add(view) or spending(self, view))
    run = Shown(train(tiny("logger=tensorboard", "trainer.max_epochs=1")).folder)
    assert counted >= {"curves", "charts", "tables"}, "what is always written counts, too"
    assert not {tag for tag in run.tags("images") if tag.startswith(("test/", "val/"))}
    left = run.text("left out")
    assert left.startswith("Not drawn, to stay within the budget: test/errors/")
    assert "logger.tensorboard.detail=full" in left
    assert not run.events.Tags()["graph"]
    assert "accuracy" in run.text("test/metrics"), "tables are always there"


def test_the_projector_takes_what_is_left(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows as many samples as there is time for, so it need not be known what all of them cost."""
    monkeypatch.setattr(CpuBudget, "allows", lambda *given: False)
    run = Shown(train(tiny("logger=tensorboard", "trainer.max_epochs=1")).folder)
    assert (run.folder / "projector" / "features.tsv").exists()
    assert "the projector" not in run.text("left out")


def test_light_shows_figures_but_no_samples(tiny: Tiny) -> None:
    run = Shown(train(tiny("logger=tensorboard", "logger.tensorboard.detail=light")).folder)
    assert {"test/confusion", "val/reliability"} <= run.tags("images")
    assert not {tag for tag in run.tags("images") if "/errors/" in tag}
    assert not run.events.Tags()["graph"]
    assert not (run.folder / "projector_config.pbtxt").exists()
    assert "left out/text_summary" not in run.tags("tensors")


def test_a_forced_run_leaves_nothing_of_the_former_projector(shown: Callable[..., Shown], tiny: Tiny) -> None:
    folder = shown().folder
    assert (folder / "projector" / "features.tsv").exists()
    again = train(tiny("logger=none", "force=true"))
    assert again.folder == folder
    assert not (folder / "projector").exists()
    assert not (folder / "projector_config.pbtxt").exists()


def test_of_many_classes_those_with_the_most_errors_come_first() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 40, 4000)
    p = rng.dirichlet(np.ones(40), 4000).astype(np.float32)
    predicted = np.where(rng.random(4000) < 0.5, labels, p.argmax(1))
    stored = {"labels": labels, "predicted": predicted, "probabilities": p}
    spec: Any = type("Spec", (), {"target_names": [f"k{i}" for i in range(40)]})
    groups = Classification().errors(stored, spec, 3)
    totals = np.bincount(labels[labels != predicted], minlength=40)
    assert [g.total for g in groups] == sorted(totals, reverse=True)
    for g in groups:
        c = int(g.name[1:])
        assert g.total == totals[c]
        np.testing.assert_array_equal(g.places, wrong_of(stored, c)[:3])
        assert g.kinds[0] == f"k{c} as k{predicted[g.places[0]]}"


def test_main_components_of_more_features_than_samples() -> None:
    """By the samples' products where these are fewer: a Conv2D-Flatten net has 21,632 features."""
    features = np.random.default_rng(1).normal(size=(90, 80)) * np.linspace(1, 9, 80)
    many = np.pad(features, ((0, 0), (0, 40_000)))
    one, other = (tensorboard_projector._main_components(given) for given in (features, many))
    assert one.shape == other.shape == (90, 64)
    np.testing.assert_allclose(abs(one), abs(other), atol=1e-6)
