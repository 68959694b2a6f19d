"""`leyden profile`: output, JSON, figure and errors."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from leyden.cli.main import main
from leyden.data.typical_batch import median_length_batch
from leyden.modules.standalone import preserved_state
from leyden.profiling import latency, profiler
from leyden.profiling.costs import forward_flops
from leyden.training.setup import open_session
from leyden.utils.errors import UserError

QUICK = ["trainer=cpu", "threads=1"]
SETS = {
    "image": ["data=planted_images", "data.source.samples=120", "model=cnn"],
    "text": ["data=planted_text", "data.source.samples=900", "model=lstm"],
    "audio": ["data=planted_audio", "data.source.samples=60", "model=crnn", "batch_size=16"],
}


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A few calls are enough here."""
    monkeypatch.setattr(latency.measure, "__defaults__", (0.0, 3))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("modality", SETS)
def test_every_cost_of_each_modality(modality: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *SETS[modality], *QUICK, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["flops"] == sum(layer["flops"] for layer in found["layers"])
    assert (
        found["parameters"]
        == sum(layer["parameters"] for layer in found["layers"])
        == found["trained_parameters"]
    )
    assert 2 < found["training_flops"] / found["flops"] < 4
    assert found["uncounted"] == []
    memory = found["memory"]
    assert memory["parameters"] == memory["gradients"] == 4 * found["parameters"]
    assert memory["optimizer"] == pytest.approx(2 * memory["parameters"], rel=0.01)  # Adam
    per_batch = memory["activations_per_sample"] * memory["batch_size"]
    assert per_batch == pytest.approx(memory["activations"], rel=0.2)
    for size in profiler.BATCHES:
        timing = found["latency"][str(size)]
        assert 0 < timing["p50"] <= timing["p95"]
    assert found["energy"]["joules_per_1000"] is not None or found["energy"]["reason"]


def test_tables_fit_into_80_columns(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "layers.png"
    assert main(["profile", "model=resnet56", *QUICK, "--picture", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines() if str(picture) not in line) <= 80
    assert all(
        word in printed
        for word in ("training step", "batch of 64", "p95", "Conv2d", "more layers (all with --json)")
    )
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--picture", "layers.gif"], "must end in .png, .svg or .pdf"),
        (["--picture", "nowhere/layers.png"], "--picture nowhere/layers.png: No such file"),
        (["model=resnet33"], "resnet"),
        (["--jsno"], "did you mean"),
        (
            ["batch_size=1"],
            "a training step of the model fails for a batch of 1: ValueError: Expected more than 1",
        ),
    ],
)
def test_mistakes(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *QUICK, *words]) == 2
    assert said in capsys.readouterr().err


def test_profiling_changes_neither_modes_nor_random_state() -> None:
    session = open_session([*SETS["text"], *QUICK])
    session.module.train()
    session.module.net.embedding.eval()
    modes = [part.training for part in session.module.modules()]
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    assert forward_flops(session.module, session.data) is not None
    with preserved_state(session.module, training=True):
        torch.rand(7)
    assert torch.equal(torch.rand(4), expected)
    assert [part.training for part in session.module.modules()] == modes


class View(nn.Module):
    """Returns a view of a parameter, on which the FLOP counter fails without gradients."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.prior = nn.Parameter(torch.zeros(classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.prior.expand(x.shape[0], -1)


class Crash(nn.Module):
    """Raises in forward."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("it broke [here]")


def test_a_view_of_a_parameter_is_counted() -> None:
    session = open_session([*SETS["image"], *QUICK])
    session.module.net = View(session.data.spec.num_outputs)
    found = forward_flops(session.module, session.data)
    assert found is not None
    assert (found.total, found.uncounted) == (0, ())


def test_a_failing_net_is_reported_and_hooks_are_removed() -> None:
    session = open_session([*SETS["image"], *QUICK])
    original, session.module.net = session.module.net, Crash()
    with pytest.raises(
        UserError, match=r"a forward pass of the model fails for a batch of 1: RuntimeError: it broke"
    ):
        forward_flops(session.module, session.data)
    session.module.net = original
    assert session.module(session.module.prepare(median_length_batch(session.data, 2))).requires_grad


def test_a_run_stores_the_flops_of_profile(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SETS["text"], *QUICK, "trainer.max_epochs=1", "logger=none"]
    assert main(["train", *words]) == 0
    (result,) = Path("runs").rglob("result.json")
    capsys.readouterr()
    assert main(["profile", *words, "init.from=last", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["flops"] == json.loads(result.read_text())["cost"]["flops"] > 0
    assert "tensors taken from" in printed.err
