"""Transforms of a batch of 256 CIFAR images beside torchvision's of one at a time, both on one thread."""

from collections.abc import Callable, Iterator
from functools import partial

from benches.measure import Case, Given, in_process, per_call

SIZE = 256
TRANSFORMS = ("crop", "flip", "affine", "erasing")


def cases(given: Given) -> Iterator[Case]:
    """One for each transform that both have."""
    for name in TRANSFORMS:
        ways: dict[str, Callable[[], float]] = {
            kind: partial(in_process, milliseconds, kind, name, OMP_NUM_THREADS="1")
            for kind in ("torchvision, each sample", "leyden, whole batches")
        }
        yield Case(name, ways, f"ms for {SIZE}")


def milliseconds(kind: str, name: str) -> float:
    """Milliseconds a batch."""
    import torch
    from torchvision import transforms as theirs

    from leyden.data.batch import Input, SampleRandom
    from leyden.data.transforms import image as ours

    torch.set_num_threads(1)
    images = torch.randint(0, 256, (SIZE, 3, 32, 32), dtype=torch.uint8)
    if kind.startswith("leyden"):
        chosen = {
            "crop": ours.RandomCrop(4),
            "flip": ours.HorizontalFlip(),
            "affine": ours.Affine(),
            "erasing": ours.Erasing(),
        }[name]
        given = Input(images.float() if name == "erasing" else images)
        return per_call(lambda: chosen(given, SampleRandom(0, 0, torch.arange(SIZE))), 1.0)
    single = {
        "crop": theirs.RandomCrop(32, padding=4),
        "flip": theirs.RandomHorizontalFlip(),
        "affine": theirs.RandomAffine(
            10, (0.1, 0.1), (0.9, 1.1), interpolation=theirs.InterpolationMode.BILINEAR
        ),
        "erasing": theirs.RandomErasing(),
    }[name]
    to_picture, floats = theirs.ToPILImage(), images.float()
    items = list(floats) if name == "erasing" else [to_picture(image) for image in images]
    return per_call(lambda: [single(item) for item in items], 1.0)
