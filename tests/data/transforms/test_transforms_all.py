"""What holds for every transform and every option of `augment`: found by looking, not listed.

A sample is augmented alike whatever stands beside it in the batch, in whatever order, and however padded.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from leyden.config.instantiate import instantiate_with_facts
from leyden.data import transforms
from leyden.data.batch import Batch, Input, SampleRandom
from leyden.data.transforms import audio, image, mixup, named, text

CONF = Path(__file__).parents[3] / "conf" / "augment"
MODULES = [
    importlib.import_module(f"{transforms.__name__}.{m.name}")
    for m in pkgutil.iter_modules(transforms.__path__)
]
CLASSES = [
    c
    for module in MODULES
    for _, c in inspect.getmembers(module, inspect.isclass)
    if issubclass(c, nn.Module) and c.__module__ == module.__name__ and hasattr(c, "modality")
]
TRANSFORMS = [c for c in CLASSES if hasattr(c, "stage") and c is not named.ModalityDropout]  # test_named.py
FRONTENDS = [c for c in CLASSES if not hasattr(c, "stage")]
OPTIONS = sorted(p.stem for p in CONF.glob("*.yaml"))
FLOATING = {"atol": 1e-6, "rtol": 1e-5}


def batch_of(modality: str, stage: str = "inputs", n: int = 12) -> Input:
    """A batch as it stands at that stage: a quarter of the ragged clips is as long as the batch is wide."""
    generator = torch.Generator().manual_seed(1)
    if modality in ("image", "any"):
        x = torch.randint(0, 256, (n, 3, 10, 8), generator=generator).to(torch.uint8)
        batch = Input(x)
        return batch if stage == "inputs" else image.Normalize(3)(batch)
    width = 12 if modality == "text" else 900
    lengths = torch.randint(2, width, (n,), generator=generator)
    lengths[::4] = width
    inside = torch.arange(width) < lengths[:, None]
    x = torch.randint(2, 4000, (n, width), generator=generator) * inside
    batch = Input(x if modality == "text" else x.to(torch.int16), lengths)
    return batch if stage == "inputs" or modality == "text" else audio.LogMel(8000, n_mels=20)(batch)


def take(x: Input, index: torch.Tensor) -> Input:
    """The samples at `index`, padded as they were."""
    return x.map(lambda part: part[index])


def augment(
    transform: nn.Module, x: Input, seed: int = 0, epoch: int = 0, positions: torch.Tensor | None = None
) -> Input:
    """As a module applies it: at stage "batch" to the whole batch, else to its input."""
    rows = torch.arange(len(x.values))
    positions = rows * 5 + 2 if positions is None else positions
    random = SampleRandom(seed, epoch, positions)
    if transform.stage == "batch":
        return transform(Batch({"any": x}, rows % 3, rows, positions), random).input
    return transform(x, random)


def test_there_are_transforms_frontends_and_options() -> None:
    assert len(TRANSFORMS) >= 11
    assert {"Normalize", "Tokens", "LogMel", "Waveform"} <= {c.__name__ for c in FRONTENDS}
    assert len(OPTIONS) >= 8
    for c in CLASSES:
        assert getattr(c, "stage", "inputs") in ("inputs", "features", "batch")
        assert c.modality in ("image", "text", "audio", "table", "any")


@pytest.mark.parametrize("cls", [c for c in TRANSFORMS if c.modality != "any"])
def test_a_sample_is_augmented_alike_whatever_else_is_in_the_batch(cls: type[nn.Module]) -> None:
    batch = batch_of(cls.modality, cls.stage)  # type: ignore[arg-type]
    whole = augment(cls(), batch)
    for index in (torch.arange(6), torch.arange(6, 12), torch.tensor([7]), torch.tensor([11, 0, 5, 3])):
        part = augment(cls(), take(batch, index), positions=index * 5 + 2)
        expected = take(whole, index)
        assert torch.equal(part.values, expected.values)
        assert batch.lengths is None or torch.equal(part.lengths, expected.lengths)


@pytest.mark.parametrize("cls", [c for c in TRANSFORMS if c.modality in ("text", "audio")])
def test_a_sample_is_augmented_alike_however_far_it_is_padded(cls: type[nn.Module]) -> None:
    batch = batch_of(cls.modality, cls.stage)  # type: ignore[arg-type]
    padded = batch._replace(values=nn.functional.pad(batch.values, (0, 37)))
    out, far = augment(cls(), batch), augment(cls(), padded)
    width = out.values.shape[-1]
    assert torch.equal(out.lengths, far.lengths)
    assert torch.allclose(out.values.double(), far.values[..., :width].double(), **FLOATING)
    assert not far.values[..., width:].any()


def made(cls: type[nn.Module]) -> nn.Module:
    return cls((5, 3, 1)) if cls is mixup.Remix else cls()


@pytest.mark.parametrize("cls", TRANSFORMS)
def test_draws_change_with_epoch_and_seed_and_with_nothing_else(cls: type[nn.Module]) -> None:
    batch = batch_of(cls.modality, cls.stage)  # type: ignore[arg-type]
    before = batch.values.clone()
    first = augment(made(cls), batch)
    torch.manual_seed(5)
    assert torch.equal(augment(made(cls), batch).values, first.values)
    assert torch.equal(batch.values, before)  # never in place: the columns are shared
    for seed, epoch in ((0, 1), (1, 0)):
        assert not torch.equal(augment(made(cls), batch, seed, epoch).values, first.values)
    assert not list(made(cls).parameters())
    assert not made(cls).state_dict()


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_says_what_it_is_and_runs(option: str) -> None:
    lines = (CONF / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    nodes = yaml.safe_load("\n".join(lines)) or {}
    transforms = {
        name: instantiate_with_facts(name, node, {"class_counts": (5, 3, 1)}) for name, node in nodes.items()
    }
    modalities = {t.modality for t in transforms.values()} - {"any"} or {"image"}
    assert len(modalities) == 1
    modality = modalities.pop()
    frontend = {
        "image": lambda: image.Normalize(3),
        "text": text.Tokens,
        "audio": lambda: audio.LogMel(8000),
    }[modality]()
    batch = batch_of(modality)
    for t in (t for t in transforms.values() if t.stage == "inputs"):
        batch = augment(t, batch)
    batch = frontend(batch)
    plain = batch.values.clone()
    for t in (t for t in transforms.values() if t.stage != "inputs"):
        batch = augment(t, batch)
    assert batch.values.shape == plain.shape
    assert bool(batch.values.isfinite().all())
    assert (option == "none") == (not transforms)
