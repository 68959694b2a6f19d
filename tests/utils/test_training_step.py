"""The direct training step does what Lightning's own does, hook by hook and bit by bit, and steps aside otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from leyden.utils.lightning_internals import install_loops
from leyden.utils.training_step import _MODULE_HOOKS, TRAINING_HOOKS, DirectStep

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


class Loader:
    """Five batches."""

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.arange(60.0).reshape(5, 4, 3).div(60))


class Module(LightningModule):
    """A small net that logs in its step."""

    def __init__(self, returns: str = "tensor", schedule: bool = True) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        self.returns, self.schedule, self.optimizer_name = returns, schedule, "Adam"

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        if self.returns == "none" and batch_idx == 1:
            return None
        loss = self.net(batch).square().mean()
        self.log("loss", loss, on_step=True, on_epoch=True, batch_size=len(batch))
        return {"loss": loss, "more": batch_idx} if self.returns == "mapping" else loss

    def configure_optimizers(self) -> Any:
        optimizer = getattr(torch.optim, self.optimizer_name)(self.parameters(), lr=0.1)
        if not self.schedule:
            return optimizer
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class Notes(Callback):
    """Writes down every hook of a step, what it was given, and the state of module and optimizer."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        for name in TRAINING_HOOKS:
            setattr(self, name, self._hook(name))

    def _hook(self, name: str) -> Any:
        def hook(trainer: Trainer, module: Any, *given: Any) -> None:
            module.log(f"from {name}", float(trainer.global_step), on_step=True)
            gradients = [p.grad is not None and p.grad.sum().item() for p in module.parameters()]
            self.seen.append((name, module._current_fx_name, [_plain(x) for x in given], gradients))
            self.seen.append(trainer.fit_loop.state_dict())

        return hook


def _plain(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.tolist()
    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    return x if isinstance(x, (int, str)) else type(x).__name__


@contextmanager
def as_lightning() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirectStep, "of", lambda trainer: None)
        yield


def fit(module: Module, **options: Any) -> tuple[list[Any], list[Tensor], dict[str, Any], Any]:
    """What the hooks saw, the weights at the end, what was logged, and whether the step was direct."""
    notes = Notes()
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = Trainer(max_epochs=2, accelerator="cpu", callbacks=[notes], **quiet, **options)
    install_loops(trainer)
    trainer.fit(module, Loader())
    weights = [p.detach().clone() for p in module.parameters()]
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    return notes.seen, weights, logged, trainer.fit_loop.epoch_loop._direct  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("made", "options"),
    [
        ({}, {}),
        ({"schedule": False}, {"gradient_clip_val": 0.01}),
        ({}, {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}),
        ({"returns": "mapping"}, {}),
        ({"returns": "none"}, {}),
        ({}, {"limit_train_batches": 3, "log_every_n_steps": 1}),
        ({}, {"precision": "bf16-mixed"}),
        ({}, {"max_steps": 7}),
    ],
)
@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step")
def test_it_is_lightnings_step(made: dict[str, Any], options: dict[str, Any]) -> None:
    seen, weights, logged, direct = fit(Module(**made), **options)
    assert isinstance(direct, DirectStep)
    assert len(seen) >= 2 * len(TRAINING_HOOKS)
    with as_lightning():
        others = fit(Module(**made), **options)
    assert others[3] is None
    assert seen == others[0]
    assert all(torch.equal(a, b) for a, b in zip(weights, others[1], strict=True))
    assert logged == others[2]


def test_it_serves_an_optimizer_that_calls_the_closure_several_times() -> None:
    def lbfgs() -> Module:
        module = Module(schedule=False)
        module.optimizer_name = "LBFGS"
        return module

    seen, weights, _, _ = fit(lbfgs())
    with as_lightning():
        others = fit(lbfgs())
    assert sum(isinstance(x, tuple) and x[0] == "on_before_backward" for x in seen) > 10
    assert seen == others[0]
    assert all(torch.equal(a, b) for a, b in zip(weights, others[1], strict=True))


class Backward(Module):
    """Changes a hook."""

    def on_after_backward(self) -> None:
        """Halve the gradients."""
        for p in self.parameters():
            assert p.grad is not None
            p.grad /= 2


class OnlyBatch(Module):
    """Its step takes no number."""

    def training_step(self, batch: Tensor) -> Any:  # type: ignore[override]
        return super().training_step(batch, 0)


class Manual(Module):
    """Steps itself."""

    def __init__(self) -> None:
        super().__init__(schedule=False)
        self.automatic_optimization = False

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.net(batch).square().mean())
        optimizer.step()


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (Backward, {}),
        (OnlyBatch, {}),
        (Manual, {}),
        (Module, {"accumulate_grad_batches": 2}),
        (Module, {"profiler": "simple"}),
        (Module, {"strategy": "ddp"}),
    ],
)
def test_whatever_asks_for_more_has_lightnings_step(cls: type[Module], options: dict[str, Any]) -> None:
    if "strategy" in options:
        trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **options)
        trainer.strategy._lightning_module = cls()
        trainer.strategy.optimizers = [torch.optim.SGD(nn.Linear(1, 1).parameters())]
        assert DirectStep.of(trainer) is None
        return
    _, weights, _, direct = fit(cls(), **options)
    assert direct is None
    assert not torch.equal(weights[0], next(iter(Module().parameters())))


@pytest.mark.parametrize("hook", _MODULE_HOOKS)
def test_a_module_that_changes_a_hook_has_lightnings_step(hook: str) -> None:
    original = getattr(LightningModule, hook)
    cls = type("Own", (Module,), {hook: lambda self, *given, **named: original(self, *given, **named)})
    assert fit(cls())[3] is None


def test_a_module_clips_by_itself_without_a_setting_of_the_trainer() -> None:
    class Clips(Module):
        """Sets every gradient to 0."""

        def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
            for p in self.parameters():
                assert p.grad is not None
                p.grad.zero_()

    weights = fit(Clips())[1]
    assert all(torch.equal(a, b) for a, b in zip(weights, Module().parameters(), strict=True))


def test_an_optimizer_that_forgets_gradients_in_its_own_way_has_lightnings_step() -> None:
    class Own(torch.optim.SGD):
        """Counts."""

        forgot = 0

        def zero_grad(self, set_to_none: bool = True) -> None:
            Own.forgot += 1
            super().zero_grad(set_to_none)

    module = Module(schedule=False)
    module.configure_optimizers = lambda: Own(module.parameters(), lr=0.1)  # type: ignore[method-assign]
    assert fit(module)[3] is None
    assert Own.forgot >= 10


@pytest.mark.parametrize("found", [{"no": "loss"}, 1.0])
def test_what_holds_no_loss_is_refused_as_lightning_does(found: Any) -> None:
    class Wrong(Module):
        """Returns something else."""

        def training_step(self, batch: Tensor, batch_idx: int) -> Any:
            return found

    with pytest.raises(MisconfigurationException, match=r"[Aa]utomatic.optimization"):
        fit(Wrong())


class Moves(LightningDataModule):
    """Does something to every batch."""

    def train_dataloader(self) -> Loader:
        """Five batches."""
        return Loader()

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> Tensor:
        """Negate it."""
        return -batch


def test_a_datamodule_that_changes_batches_has_lightnings_step() -> None:
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = Trainer(max_epochs=1, accelerator="cpu", **quiet)
    install_loops(trainer)
    trainer.fit(Module(), datamodule=Moves())
    assert trainer.fit_loop.epoch_loop._direct is None  # type: ignore[attr-defined]
