"""Files that torch has written, by a stranger: what is no tensor and no plain data is named, and never run."""

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from leyden.cli.main import main
from leyden.data.batch import Batch, Input
from leyden.health import step_snapshot
from leyden.health.step_snapshot import RecordedBatch, StepSnapshot
from leyden.training import resume, transfer
from leyden.utils import tensors
from leyden.utils.errors import UserError
from leyden.utils.trust import is_trusting, trusting


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


class State:
    """Something of a user's own."""


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A folder that is there once code has run."""
    return tmp_path / "executed"


def saved(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


PLACES: list[Callable[[Any], Any]] = [
    lambda evil: evil,
    lambda evil: {"state_dict": {}, "note": evil},
    lambda evil: {"state_dict": {"net.weight": evil}},
    lambda evil: OrderedDict(weight=[(evil,)]),
]


@pytest.mark.parametrize("place", PLACES, ids=range(len(PLACES)))
@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_runs_code_is_named_and_not_run(
    place: Callable[[Any], Any], legacy: bool, mark: Path, tmp_path: Path
) -> None:
    path = tmp_path / "stranger.ckpt"
    torch.save(place(Evil(mark)), path, _use_new_zipfile_serialization=not legacy)
    for read in (tensors.load, transfer.weights):
        with pytest.raises(UserError, match=r"stranger\.ckpt holds posix\.mkdir.*--trust"):
            read(path)
    assert not mark.exists()
    with trusting(True):
        tensors.load(path)
    assert mark.exists(), "the file runs code where it is trusted"
    assert not is_trusting()


@pytest.mark.parametrize("name", ["last", "previous", "best"])
def test_a_run_does_not_resume_from_it(name: str, mark: Path, tmp_path: Path) -> None:
    content = {**dict.fromkeys(resume._NEEDED), "state_dict": {}, "global_step": 4}
    callbacks = {"Checkpoint": {"best": {"step": 3, "epoch": 0}}}
    for each in ("last", "previous", "best"):
        evil = {"note": Evil(mark)} if each == name else {}
        saved(tmp_path / f"{each}.ckpt", {**content, "callbacks": callbacks, **evil})
    if name == "previous":
        (tmp_path / "last.ckpt").unlink()
    with pytest.raises(UserError, match=rf"{name}\.ckpt holds posix\.mkdir"):
        resume.find(tmp_path)
    assert not mark.exists()
    assert (tmp_path / f"{name}.ckpt").exists(), "what is refused is kept"


def test_a_step_snapshot_is_read_again_and_a_strangers_is_not(mark: Path, tmp_path: Path) -> None:
    batch = Batch({"image": Input(torch.zeros(2, 1))}, torch.ones(2), torch.arange(2), torch.arange(2))
    recorded = RecordedBatch(batch, 3, {"torch": torch.get_rng_state(), "cuda": []})
    step_snapshot.write(StepSnapshot(7, 1, (recorded,), {"w": torch.ones(1)}, "loss", 0), tmp_path)
    (found,) = step_snapshot.read(tmp_path)
    assert (found.step, found.what, found.batches[0].rows) == (7, "loss", [0, 1])
    assert torch.equal(found.batches[0].batch.input.values, torch.zeros(2, 1))
    saved(step_snapshot.path_of(tmp_path, 0), StepSnapshot(7, 1, (), {"w": Evil(mark)}, "loss", 0))
    with pytest.raises(UserError, match=r"rank0\.pt holds posix\.mkdir"):
        step_snapshot.read(tmp_path)
    assert not mark.exists()


def test_init_from_a_strangers_file_is_refused(mark: Path, tmp_path: Path, tiny: Any, capsys: Any) -> None:
    saved(tmp_path / "stranger.pt", {"weight": Evil(mark)})
    assert main(["train", *tiny("init.from=stranger.pt")]) == 2
    assert "stranger.pt holds posix.mkdir" in capsys.readouterr().err
    assert not mark.exists()
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "value",
    [State(), np.zeros(2), np.float64(1), {"deep": [(State(),)]}, {State}, {1: len}],
    ids=["object", "array", "numpy_scalar", "nested", "class", "function"],
)
def test_what_is_no_plain_data_is_stored_as_bytes(value: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ckpt", {"own": tensors.pack(value), "state_dict": {"w": torch.ones(1)}})
    read = tensors.load(path)
    assert tensors.is_packed(read["own"])
    with pytest.raises(UserError, match="the callback Mine holds"):
        tensors.unpack(read["own"], "the callback Mine")
    with trusting(True):
        assert type(tensors.unpack(read["own"], "")) is type(value)


def test_plain_data_is_stored_as_it_is(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    plain = [
        {"a": (1, 2.0, "c", b"d", None, {3})},
        module.state_dict(),
        optimizer.state_dict(),
        torch.Size([1]),
    ]
    assert all(tensors.pack(value) is value for value in plain)
    tensors.load(saved(tmp_path / "plain.pt", plain))


def test_the_best_weights_of_a_run_are_stored_without_code_and_taken_over(
    tiny: Any, tmp_path: Path, capsys: Any
) -> None:
    assert main(["train", *tiny()]) == 0
    (path,) = Path("runs").rglob("best.safetensors")
    best = tensors.load(path.with_name("best.ckpt"))["state_dict"]
    taken = transfer.weights(path)
    assert taken.keys() == best.keys()
    assert all(torch.equal(taken[name], best[name]) for name in best)
    path.with_name("cut.safetensors").write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"cut\.safetensors cannot be read as weights"):
        transfer.weights(path.with_name("cut.safetensors"))


def test_tensors_of_another_program_are_a_nets_own_names(tmp_path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.ones(2)}, tmp_path / "net.safetensors")
    assert list(transfer.weights(tmp_path / "net.safetensors")) == ["net.weight"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("other.pt")], ids=["pipe", "link"])
def test_a_pipe_or_a_link_in_a_runs_folder_is_not_opened(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    saved(tmp_path / "other.pt", {})
    make(tmp_path / "a.pt")
    with pytest.raises(OSError, match=r"it is (not a regular file|a symbolic link)"):
        tensors.load(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
def test_weights_that_were_typed_may_be_a_link(name: str, tmp_path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.ones(2)}, tmp_path / "net.safetensors")
    saved(tmp_path / "net.pt", {"weight": torch.ones(2)})
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / name).symlink_to(tmp_path / name)
    assert list(transfer.weights(transfer.weight_file(tmp_path / "cache" / name))) == ["net.weight"]
