"""Columns on the device: the same batches, the same run, and what cannot lie there."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from leyden.data import placement
from leyden.data.loader import Loader
from leyden.data.placement import Placement
from leyden.data.sampler import EpochSampler
from leyden.data.sampling_policies import Instance
from leyden.data.table import Dense, Ragged
from leyden.training.job import train
from leyden.utils.errors import UserError
from leyden.utils.tensors import load

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 1, 4, 4), dtype=np.uint8)
LABELS = torch.arange(50) % 3


def test_batches_are_the_same_and_come_from_there() -> None:
    columns = {"image": Dense(IMAGES.copy())}
    placed = Placement("device")(columns, CPU)
    assert placed is not None
    order = EpochSampler(LABELS.numpy(), 3, Instance(), 1)
    here = list(Loader(columns, LABELS, np.arange(50), order, 8))
    columns["image"].values[:] = 0  # what lies on the device was copied
    there = list(Loader(placed, LABELS, np.arange(50), order, 8, device=CPU))
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a.input.values, b.input.values)
        assert torch.equal(a.rows, b.rows)
        assert torch.equal(a.targets, b.targets)


def test_a_column_is_placed_once_for_all_loaders() -> None:
    columns, place = {"image": Dense(IMAGES)}, Placement("device")
    assert place(columns, CPU) == place(columns, CPU)


def test_auto_asks_a_gpu_for_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    columns: dict[str, Any] = {"image": Dense(IMAGES)}
    assert Placement("auto")(columns, CPU) is None  # a processor gathers from memory anyway
    assert Placement("host")(columns, CPU) is None
    seen: list[int] = []
    monkeypatch.setattr(placement, "_has_room", lambda size, device: not seen.append(size))
    assert Placement("auto")(columns, CPU) is not None
    assert seen == [IMAGES.nbytes]
    ragged = {"text": Ragged(np.zeros(9, np.uint8), np.array([0, 4, 9]))}
    assert Placement("auto")(ragged, CPU) is None


@pytest.mark.parametrize(("free", "fits"), [(4 * 800, True), (4 * 800 - 4, False)])
def test_a_quarter_of_the_free_memory_is_room(free: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    assert placement._has_room(800, torch.device("cuda")) == fits
    assert not placement._has_room(800, CPU)


def test_a_run_is_the_same_wherever_its_data_lie(
    tiny: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered: list[int] = []
    original = placement.OnDevice.gather

    def counted(self: placement.OnDevice, rows: torch.Tensor) -> Any:
        gathered.append(len(rows))
        return original(self, rows)

    monkeypatch.setattr(placement.OnDevice, "gather", counted)
    runs = [train(tiny(f"data.placement={where}", f"runs={where}")) for where in ("host", "device")]
    assert 16 in gathered
    host, device = (load(run.folder / "checkpoints" / "best.ckpt")["state_dict"] for run in runs)
    assert all(torch.equal(host[name], device[name]) for name in host)
    here, there = (run.folder.name.rpartition("-")[2] for run in runs)
    assert here == there  # the fingerprint: it changes no batch


def test_what_cannot_lie_there_is_refused(tiny: Callable[..., list[str]]) -> None:
    words = [
        "data=planted_text",
        "model=lstm",
        "data.source.samples=60",
        "trainer=cpu",
        "data.placement=device",
    ]
    tiny()
    with pytest.raises(UserError, match=r"data\.placement=device: only inputs of one shape"):
        train(words)
