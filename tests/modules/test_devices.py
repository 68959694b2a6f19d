"""A step on a GPU, of fake tensors: no tensor of the host is mixed in, and nothing makes the host wait for the device."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.modules.standalone import fit_frontend
from leyden.training import build

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


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("words", CASES, ids=" ".join)
def test_a_step_stays_on_the_device(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)  # its recurrent layers ask for a driver
    made = build.experiment(check(compose([*words, "data.source.samples=60", "batch_size=8", "trainer=cpu"])))
    module: Any = made.module()
    fit_frontend(module, made.data)
    batch = next(iter(made.data.training_loader(1)))
    with torch.no_grad(), FakeTensorMode():
        moved_parts(module)
        batch = tree_map(on_gpu, batch)
        with BlockingCopies() as copies:  # fake tensors refuse mixed devices, and to be read
            loss = module.train().training_step(batch, 0)
            module.eval().validation_step(batch, 0)
    assert loss.device == GPU
    assert copies.found == []
