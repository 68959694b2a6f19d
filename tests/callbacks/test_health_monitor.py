"""The health monitor between backward pass and step: adaptive clipping, and values that are read some steps later."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from leyden.callbacks import health_monitor
from leyden.callbacks.health_monitor import HealthMonitor
from leyden.config.compose import compose
from leyden.health.settings import DiagnosticsSettings
from leyden.training.job import attempt
from leyden.utils.lightning_internals import only_own_hooks
from planting import NETS, modules_of, planted

QUICK = [
    *("data.source.samples=600", "trainer=cpu", "trainer.max_epochs=2", "batch_size=16", "threads=1"),
    "logger=none",
]


def stepped(norms: list[float], settings: DiagnosticsSettings, tmp_path: Path) -> list[float]:
    """Norms of gradients after the health monitor has clipped them, one step after another."""
    parameter = torch.nn.Parameter(torch.zeros(4))
    optimizer, monitor = torch.optim.SGD([parameter], lr=0.1), HealthMonitor(settings, tmp_path)
    left = []
    for norm in norms:
        parameter.grad = torch.full((4,), norm / 2)
        if monitor._clip is not None:
            monitor._clip(optimizer, norm)
        left.append(float(parameter.grad.norm()))
    return left


def test_a_gradient_far_above_its_history_is_scaled_down(tmp_path: Path) -> None:
    """ZClip: to mean + z_max^2 / z deviations; the further out, the nearer to the mean."""
    history = [1.0 + 0.1 * (-1) ** i for i in range(60)]
    calm = stepped(history, DiagnosticsSettings(adaptive_clip=2.5), tmp_path)
    assert calm == pytest.approx(history)
    far, further = (
        stepped([*history, out], DiagnosticsSettings(adaptive_clip=2.5), tmp_path)[-1]
        for out in (10.0, 1000.0)
    )
    assert 0.99 <= further < far < 1.3


def test_no_clipping_during_warm_up_or_by_default(tmp_path: Path) -> None:
    assert stepped([1.0, 1.1, 0.9, 50.0], DiagnosticsSettings(adaptive_clip=2.5), tmp_path)[
        -1
    ] == pytest.approx(50)
    assert stepped([*[1.0, 1.1] * 30, 50.0], DiagnosticsSettings(), tmp_path)[-1] == pytest.approx(50)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The health monitor reads values some steps later, as on a GPU."""
    monkeypatch.chdir(tmp_path)
    start = HealthMonitor.on_train_start

    def delayed(self: HealthMonitor, trainer: Any, pl_module: Any) -> None:
        start(self, trainer, pl_module)
        self.exact = (
            self._force_exact or self.settings.skips_bad_steps or self.settings.adaptive_clip is not None
        )

    monkeypatch.setattr(HealthMonitor, "on_train_start", delayed)


@pytest.mark.parametrize("step", [2, 15, 16, 20, 25])
def test_a_value_read_late_is_found_at_its_own_step(step: int, as_on_a_gpu: None) -> None:
    """Within the first sixteen steps, at their end, in the next, and in those before a validation."""
    words = [*NETS["image"], *QUICK]
    outcome = attempt(planted(words, [step], modules_of(words)[2]), ["leyden", "train"])
    assert outcome.status == "failed"
    (finding,) = outcome.result["doctor"]
    assert (finding["id"], finding["step"]) == ("non_finite", step)
    assert finding["where"].endswith(modules_of(words)[2])


def test_delayed_reading_records_the_same_values(as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses and norms by step, whether each is read at once or sixteen at a time."""
    recorded: dict[bool, list[tuple[int, float, float]]] = {True: [], False: []}
    record = HealthMonitor._record

    def keep(self: HealthMonitor, module: Any, step: int, loss: float, norm: float) -> None:
        recorded[self.exact].append((step, loss, norm))
        record(self, module, step, loss, norm)

    monkeypatch.setattr(HealthMonitor, "_record", keep)
    words = [*NETS["text"], *QUICK]
    assert attempt(compose(words), ["leyden", "train"]).status == "complete"
    monkeypatch.setattr(health_monitor, "_MAX_OVERHEAD", math.inf)  # check every step
    exact = attempt(compose([*words, "health.adaptive_clip=1000.0"]), ["leyden", "train"])
    assert exact.status == "complete"
    assert [step for step, _, _ in recorded[False]] == list(range(len(recorded[True])))
    for delayed, immediate in zip(recorded[False], recorded[True], strict=True):
        assert delayed == pytest.approx(immediate, rel=1e-4)


def test_reactions_need_every_step_checked(tmp_path: Path) -> None:
    """Clipping or skipping cannot be delayed."""

    class Gpu:
        type = "cuda"

    class Strategy:
        root_device = Gpu()

    class Trainer:
        strategy = Strategy()

    for settings, every in (
        (DiagnosticsSettings(), False),
        (DiagnosticsSettings(adaptive_clip=2.5), True),
        (DiagnosticsSettings(on_bad="skip"), True),
        (DiagnosticsSettings(on_bad="roll_back"), True),
    ):
        monitor = HealthMonitor(settings, tmp_path)
        monitor.on_train_start(Trainer(), torch.nn.Linear(1, 1))  # type: ignore[arg-type]
        assert monitor.exact is every


def test_inherited_empty_hooks_are_removed() -> None:
    @only_own_hooks
    class Own(Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            """Something."""

    own = Own()
    assert callable(own.on_train_batch_end)
    assert own.on_train_batch_start is None  # type: ignore[comparison-overlap]
    assert callable(own.on_train_epoch_end)  # not called at every batch: left as it is
    assert callable(Callback().on_train_batch_start)
