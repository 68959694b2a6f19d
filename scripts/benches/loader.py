"""Batches of images beside torchvision's pipeline for single samples, without workers, both on one thread.

Loading, crop, flip and normalisation of CIFAR's shape, 256 at a time, and MNIST's shape by 32 without augmentation:
what a training loop waits for. Both read from memory; torchvision's as its data sets do, an image at a time. Then the
Keras lesson's steps with the next batch gathered by a thread meanwhile, as on a GPU, over those without.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benches.measure import Case, Given, in_process, per_call

BATCHES = 8


def cases(given: Given) -> Iterator[Case]:
    """CIFAR and MNIST."""
    for name, shape, size, augments in (
        ("256 of CIFAR, crop, flip, normalise", (3, 32, 32), 256, True),
        ("32 of MNIST, normalise", (1, 28, 28), 32, False),
    ):
        ways: dict[str, Callable[[], float]] = {
            kind: partial(in_process, milliseconds, kind, shape, size, augments, OMP_NUM_THREADS="1")
            for kind in ("torchvision, each sample", "leyden, whole batches")
        }
        yield Case(name, ways, "ms a batch")
    for threads in (1, 2):
        ways = {
            kind: partial(in_process, steps, kind == "gathered ahead", threads)
            for kind in ("gathered ahead", "gathered when asked for")
        }
        yield Case(f"steps of the Keras lesson on MNIST's shape, threads={threads}", ways, "s for 600")


def milliseconds(kind: str, shape: list[int], size: int, augments: bool) -> float:
    """Milliseconds a batch."""
    from leyden.utils.runtime import load_torch

    load_torch()
    import torch

    torch.set_num_threads(1)
    images = torch.randint(0, 256, (20_000, *shape), dtype=torch.uint8)
    make = whole if kind.startswith("leyden") else single
    batches = make(images, size, augments)
    return per_call(lambda: [next(batches) for _ in range(BATCHES)], 2.0) / BATCHES


def steps(ahead: bool, threads: int) -> float:
    """Seconds of 600 steps after 100."""
    from leyden.utils.runtime import load_torch

    load_torch()
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    images = torch.randint(0, 256, (700 * 32, 1, 28, 28), dtype=torch.uint8)
    net = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 26 * 26, 10))
    optimizer, loss_of = torch.optim.Adam(net.parameters(), fused=True), nn.CrossEntropyLoss()
    begun = 0.0
    for k, batch in enumerate(loader_of(images, 32, ahead)):
        if k == 100:
            begun = time.perf_counter()
        optimizer.zero_grad()
        loss_of(net(batch.input.values / 255), batch.targets).backward()
        optimizer.step()
    return time.perf_counter() - begun


def loader_of(images: Any, size: int, ahead: bool) -> Any:
    """Leyden's loader of images (N, ...), all of one class."""
    import numpy as np
    import torch

    from leyden.data.loader import Loader
    from leyden.data.sampler import EpochSampler
    from leyden.data.sampling_policies import Instance
    from leyden.data.table import Dense

    labels, rows = torch.zeros(len(images), dtype=torch.int64), np.arange(len(images))
    order = EpochSampler(labels.numpy(), 1, Instance(), 0, epochs=1000)
    return Loader({"image": Dense(images.numpy())}, labels, rows, order, size, ahead=ahead)


def whole(images: Any, size: int, augments: bool) -> Iterator[Any]:
    """Leyden's loader, transforms and frontend."""
    from leyden.data.batch import SampleRandom
    from leyden.data.transforms.image import HorizontalFlip, Normalize, RandomCrop

    loader = loader_of(images, size, False)
    transforms, frontend = [RandomCrop(4), HorizontalFlip()] if augments else [], Normalize(images.shape[1])
    while True:
        for batch in loader:
            given, draws = batch.input, SampleRandom(1, batch.epoch, batch.positions)
            for transform in transforms:
                given = transform(given, draws)
            yield frontend(given)


def single(images: Any, size: int, augments: bool) -> Iterator[Any]:
    """A data set, a DataLoader and torchvision's transforms."""
    from torch.utils.data import DataLoader

    data: Any = Single(images, augments)
    while True:
        yield from DataLoader(data, batch_size=size, shuffle=True, drop_last=True)


class Single:
    """As torchvision's data sets: an array, of which an item is made a picture and transformed."""

    def __init__(self, images: Any, augments: bool) -> None:
        from torchvision import transforms

        self.arrays = images.permute(0, 2, 3, 1).squeeze(-1).numpy()
        channels = images.shape[1]
        random = [transforms.RandomCrop(images.shape[-1], padding=4), transforms.RandomHorizontalFlip()]
        fixed = [transforms.ToTensor(), transforms.Normalize([0.5] * channels, [0.2] * channels)]
        self.transform = transforms.Compose([*(random if augments else []), *fixed])

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, place: int) -> Any:
        from PIL import Image

        return self.transform(Image.fromarray(self.arrays[place])), 0
