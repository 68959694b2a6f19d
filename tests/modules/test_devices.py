"""A step on a GPU, of fake tensors: no tensor of the host is mixed in, and the host never waits for the device."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.data import batch as batches
from leyden.data.batch import Batch
from leyden.modules.standalone import fit_frontend, optimizer_of
from leyden.optim.gradients import gradient_norm
from leyden.training import build
from leyden.training.transfer import freeze

GPU = torch.device("cuda", 0)
IMAGE = ["data=planted_images", "data.source.size=12", "model=cnn"]
TEXT = ["data=planted_text", "model=lstm"]
AUDIO = ["data=planted_audio", "model=logmel_cnn"]
CASES = [
    *([*IMAGE, f"augment={name}"] for name in ("affine", "crop_flip", "erasing", "mixup", "remix")),
    [*IMAGE[:2], "model=resnet20", "loss=drw"],
    [*TEXT, "augment=token_dropout"],
    ["data=planted_tags", "model=lstm", "task=multilabel"],
    *([*AUDIO, f"augment={name}"] for name in ("audio_strong", "spec_augment")),
]


def on_a_gpu(test: Any) -> Any:
    """A test that needs a GPU."""
    return pytest.mark.gpu(
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")(test)
    )


class BlockingCopies(TorchDispatchMode):
    """Shapes of the tensors that are copied to the device while the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[torch.Size] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        is_copy = func is torch.ops.aten._to_copy.default and kwargs.get("device") is not None
        if is_copy and torch.device(kwargs["device"]).type != args[0].device.type:
            self.found += [] if kwargs.get("non_blocking") else [args[0].shape]
        return func(*args, **kwargs)


def on_gpu(value: Any) -> Any:
    """The same without content, on the fake device."""
    if not isinstance(value, Tensor):
        return value
    moved = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=GPU)
    return nn.Parameter(moved) if isinstance(value, nn.Parameter) else moved


def moved_parts(module: nn.Module) -> None:
    for part in module.modules():
        part._parameters = {name: on_gpu(value) for name, value in part._parameters.items()}
        part._buffers = {name: on_gpu(value) for name, value in part._buffers.items()}
        if isinstance(part, nn.RNNBase):
            part._init_flat_weights()


def built(words: list[str]) -> tuple[Any, Batch]:
    """A module and a batch of its training."""
    made = build.experiment(check(compose([*words, "data.source.samples=60", "batch_size=8", "trainer=cpu"])))
    module: Any = made.module()
    fit_frontend(module, made.data)
    return module, next(iter(made.data.training_loader(1)))


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("words", CASES, ids=" ".join)
def test_a_step_stays_on_the_device(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)  # its recurrent layers ask for a driver
    monkeypatch.setattr(
        batches, "_columns", batches._columns.__wrapped__
    )  # it keeps tensors of another test's mode
    module, batch = built(words)
    with torch.no_grad(), FakeTensorMode():
        moved_parts(module)
        batch = tree_map(on_gpu, batch)
        with BlockingCopies() as copies:  # fake tensors refuse mixed devices, and to be read
            loss = module.train().training_step(batch, 0)
            module.eval().validation_step(batch, 0)
    assert loss.device == GPU
    assert copies.found == []


def frozen_recurrent_layers() -> tuple[Any, Batch]:
    module, batch = built(TEXT)
    freeze(module, [name for name, _ in module.named_parameters() if "recurrent" in name])
    return module.train(), batch


def test_frozen_recurrent_layers_stay_in_training_mode() -> None:
    """cuDNN has no backward pass in evaluation mode, and the embedding before them is trained."""
    module, _ = frozen_recurrent_layers()
    assert all(part.training for part in module.modules() if isinstance(part, nn.RNNBase))
    assert not module.net.recurrent.training
    assert not any(part.training for part in module.eval().modules())


@on_a_gpu
def test_frozen_recurrent_layers_pass_gradients_on() -> None:
    module, batch = frozen_recurrent_layers()
    module.to(GPU).training_step(batch.to(GPU), 0).backward()
    assert module.net.embedding.weight.grad.any()


@on_a_gpu
@pytest.mark.parametrize("words", CASES, ids=" ".join)
def test_a_step_does_not_wait_for_the_device(words: list[str]) -> None:
    module, batch = built(words)
    module, batch = module.to(GPU), batch.to(GPU)
    optimizer = optimizer_of(module)
    module.train().training_step(batch, 0).backward()  # libraries are loaded, kernels chosen
    torch.cuda.set_sync_debug_mode("error")
    try:
        module.training_step(batch, 0).backward()
        gradient_norm(optimizer)
        optimizer.step()
        module.eval().validation_step(batch, 0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
