"""The loader by itself. T1, T3, ...: traps of samplers, ranks and resume, reproduced in other loaders."""

import threading
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from leyden.data import loader as loaders
from leyden.data.batch import Batch, Input
from leyden.data.loader import Loader
from leyden.data.sampler import BucketedOrder, EpochSampler, Order, Sequential
from leyden.data.sampling_policies import Instance, Power, SamplingPolicy
from leyden.utils.errors import UserError

N, TABLE = 130, 200  # training rows; rows of the table
BATCH = 8  # 16 whole batches and 2 samples over
GATHERING: list[dict[str, Any]] = [{}, {"workers": 2}, {"ahead": True}]


class Columns:
    """Inputs that are their row's number."""

    def gather(self, rows: Tensor) -> Input:
        return Input(rows * 10)


class Lengths:
    """Ragged inputs: row i is i + 1 times the number i."""

    def gather(self, rows: Tensor) -> Input:
        lengths = rows + 1
        kept = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
        return Input(rows[:, None] * kept, lengths)


class Broken:
    def gather(self, rows: Tensor) -> Input:
        raise UserError("clip_17.wav: no sound in it")


LABELS = torch.from_numpy(np.random.default_rng(0).choice(4, TABLE, p=[0.7, 0.2, 0.08, 0.02]))
ROWS = np.sort(np.random.default_rng(1).permutation(TABLE)[:N])


def plan(policy: SamplingPolicy | None = None, seed: int = 5) -> EpochSampler:
    return EpochSampler(LABELS.numpy()[ROWS], 4, policy or Instance(), seed)


def training(order: Order | None = None, batch_size: int = BATCH, **options: Any) -> Loader:
    return Loader({"x": Columns()}, LABELS, ROWS, order or plan(), batch_size, **options)


def rows_of(loader: Loader) -> list[list[int]]:
    return [batch.rows.tolist() for batch in loader]


def pairs(batch: Batch) -> list[tuple[int, int]]:
    """(position, row) of each sample."""
    return list(zip(batch.positions.tolist(), batch.rows.tolist(), strict=True))


def test_a_batch_is_its_slice_of_the_plan() -> None:
    loader, order = training(), plan()
    assert len(loader) == 16
    for epoch in range(3):
        batches = list(loader)
        assert len(batches) == 16
        for t, batch in enumerate(batches):
            positions = np.arange(t * BATCH, (t + 1) * BATCH)
            rows = ROWS[order.epoch(epoch)[positions]]
            assert batch.rows.tolist() == rows.tolist()
            assert batch.positions.tolist() == positions.tolist()
            assert torch.equal(batch.input.values, batch.rows * 10)
            assert torch.equal(batch.targets, LABELS[batch.rows])
            assert batch.epoch == epoch
            assert batch.input.lengths is None
            assert {x.dtype for x in (batch.targets, batch.rows, batch.positions)} == {torch.int64}


def test_ragged_inputs_come_with_lengths() -> None:
    for batch in Loader({"x": Lengths()}, LABELS, ROWS, plan(), BATCH):
        assert batch.input.lengths is not None
        assert batch.input.values.shape == (BATCH, int(batch.input.lengths.max()))
        assert torch.equal(batch.input.lengths, batch.rows + 1)


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (4, 1), (1, 4), (2, 2), (4, 2)])
@pytest.mark.parametrize("policy", [Instance(), Power(0.0)])
def test_ranks_and_accumulation_divide_the_same_global_batches(
    world: int, accumulate: int, policy: SamplingPolicy
) -> None:
    order = plan(policy)
    ranks = [training(order, rank=r, world=world, accumulate=accumulate) for r in range(world)]
    for epoch in range(2):
        whole = ROWS[order.epoch(epoch)[: 16 * BATCH]].reshape(16, BATCH)
        handed = [list(loader) for loader in ranks]
        assert {len(batches) for batches in handed} == {len(ranks[0])} == {16 * accumulate}
        for t in range(16):
            step = [b for r in handed for b in r[t * accumulate : (t + 1) * accumulate]]
            assert {len(b.rows) for b in step} == {BATCH // world // accumulate}
            placed = sorted(chain(*map(pairs, step)))
            assert [p for p, _ in placed] == list(range(t * BATCH, (t + 1) * BATCH))
            assert [row for _, row in placed] == whole[t].tolist()


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [4, 12, 13, 130])
def test_evaluation_sees_each_sample_once(world: int, n: int) -> None:
    """T11: no rank's share is padded with repeats."""
    ranks = [
        Loader({"x": Columns()}, LABELS, ROWS[:n], Sequential(n), 12, training=False, rank=r, world=world)
        for r in range(world)
    ]
    handed = [list(loader) for loader in ranks]
    assert sorted(row for batches in handed for b in batches for row in b.rows.tolist()) == ROWS[:n].tolist()
    for r, (loader, batches) in enumerate(zip(ranks, handed, strict=True)):
        assert len(loader) == len(batches) == -(-len(range(r, n, world)) // (12 // world))
        assert list(chain(*(b.rows.tolist() for b in batches))) == ROWS[:n][r::world].tolist()
        assert rows_of(loader) == [b.rows.tolist() for b in batches], "a second pass differs"
        assert {b.epoch for b in loader} == {0}


def test_evaluation_starts_anew_after_a_pass_that_was_broken_off() -> None:
    loader = Loader({"x": Columns()}, LABELS, ROWS, Sequential(N), BATCH, training=False)
    first = next(iter(loader))
    loader.set_epoch(0)
    assert torch.equal(next(iter(loader)).rows, first.rows)


def test_the_number_of_workers_changes_nothing() -> None:
    """T13, and the global generator, from which torch's DataLoader draws, stays where it was."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    for inputs in (Columns(), Lengths()):
        here, there = (
            Loader({"x": inputs}, LABELS, ROWS, plan(Power(0.0)), BATCH, workers=w) for w in (0, 2)
        )
        for _ in range(2):
            for a, b in zip(here, there, strict=True):
                assert a.inputs.keys() == b.inputs.keys() == {"x"}
                for x, y in zip((*a.input, *a[1:]), (*b.input, *b[1:]), strict=True):
                    assert torch.equal(x, y) if isinstance(x, Tensor) else x == y
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("how", GATHERING)
def test_blocks_of_batches_change_nothing(how: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the next batch, gathered ahead, is of another block; and after a resume within one."""
    whole = training()
    want = [[pairs(batch) for batch in whole] for _ in range(2)]
    monkeypatch.setattr(loaders, "BLOCK", 3 * BATCH + 1)
    pieces = training(**how)
    assert [pairs(batch) for batch in pieces] == want[0]
    pieces.epoch, pieces.batch = 1, 4
    assert [pairs(batch) for batch in pieces] == want[1][4:]


def test_the_next_batch_is_gathered_meanwhile_and_no_further() -> None:
    asked: list[list[int]] = []

    class Watched:
        def gather(self, rows: Tensor) -> Input:
            asked.append(rows.tolist())
            return Input(rows)

    loader = Loader({"x": Watched()}, LABELS, ROWS, plan(), BATCH, ahead=True)
    batches = iter(loader)
    first = next(batches)
    while len(asked) < 2:  # by the thread
        time.sleep(0.001)
    assert asked[0] == first.rows.tolist()
    assert loader.state_dict()["batch"] == 1
    batches.close()  # type: ignore[attr-defined]
    assert len(asked) == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gather")]


@pytest.mark.parametrize("how", GATHERING)
def test_a_bad_file_is_told_without_a_traceback(how: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^clip_17\.wav: no sound in it$"):
        list(Loader({"x": Broken()}, LABELS, ROWS, plan(), BATCH, **how))


@pytest.mark.parametrize("how", GATHERING)
def test_epoch_and_position_are_read_at_the_first_next(how: dict[str, Any]) -> None:
    """T3: Lightning calls `iter` before `set_epoch`."""
    loader = training(**how)
    batches = iter(loader)
    loader.sampler.set_epoch(2)
    assert next(batches).rows.tolist() == ROWS[plan().epoch(2)[:BATCH]].tolist()


ORDERS: dict[str, Callable[[], Order]] = {
    "instance": plan,
    "balanced": lambda: plan(Power(0.0)),
    "bucketed": lambda: BucketedOrder(plan(Power(0.5)), ROWS, BATCH, 5, seed=5),
}


STOPS = [(1, 5), (0, 16), (0, 1), (0, 15), (1, 16), (2, 9)]  # (epoch, batches handed out)


def resumed(state: dict[str, Any], order: Order, **options: Any) -> Loader:
    loader = training(order, **options)
    loader.load_state_dict(state)
    return loader


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("how", GATHERING)
def test_resume_is_exact_wherever_it_stops(name: str, how: dict[str, Any]) -> None:
    """T4, T5, T6 and T10: no batch twice, none lost, for any order; counted where they are consumed."""
    order = ORDERS[name]()
    straight = training(order)
    want = [rows_of(straight) for _ in range(3)]
    for epoch, stop in STOPS[: 2 if "workers" in how else None]:
        loader = training(order, **how)
        loader.set_epoch(epoch)
        batches = iter(loader)
        for _ in range(stop):
            next(batches)
        state = loader.state_dict()
        assert (state["epoch"], state["batch"]) == ((epoch, stop) if stop < 16 else (epoch + 1, 0))
        again = resumed(state, ORDERS[name](), **how)
        assert len(again) == 16
        again.set_epoch(state["epoch"])
        rest = [rows_of(again) for _ in range(3 - state["epoch"])]
        if stop < 16:
            assert rest == [want[epoch][stop:], *want[epoch + 1 :]]
        else:
            assert rest == want[epoch + 1 :]


def test_three_kills_in_one_epoch() -> None:
    """T7: the second resume does not count from 0 again."""
    straight = training()
    want = list(chain(*(rows_of(straight) for _ in range(3))))
    seen: list[list[int]] = []
    state = training().state_dict()
    for kill in (18, 21, 25, 48):
        loader = resumed(state, plan())
        while len(seen) < kill:
            for batch in loader:
                seen.append(batch.rows.tolist())
                state = loader.state_dict()
                if len(seen) == kill:
                    break
    assert seen == want


def test_a_run_may_be_resumed_on_another_number_of_ranks() -> None:
    first = training(world=2, rank=0)
    batches = iter(first)
    for _ in range(5):
        next(batches)
    assert first.state_dict() == {**training(world=2, rank=1).state_dict(), "batch": 5}
    assert rows_of(resumed(first.state_dict(), plan())) == rows_of(training())[5:]


def test_another_epoch_starts_at_its_first_batch() -> None:
    """An epoch cut short (limit_train_batches) must not shift the next."""
    loader = training()
    next(iter(loader))
    loader.set_epoch(1)
    assert len(list(loader)) == 16


CHANGED: dict[str, Callable[[], Loader]] = {
    "seed": lambda: training(plan(seed=6)),
    "sampling": lambda: training(plan(Power(0.0))),
    "batch_size": lambda: training(batch_size=4),
    "accumulate": lambda: training(accumulate=2),
    "length": lambda: training(EpochSampler(LABELS.numpy()[ROWS], 4, Instance(), 5, length=64)),
    "window": lambda: training(BucketedOrder(plan(), ROWS, BATCH, 5, seed=5)),
    "checksum of rows and targets": lambda: Loader({"x": Columns()}, LABELS.roll(1), ROWS, plan(), BATCH),
}


@pytest.mark.parametrize("field", CHANGED)
def test_a_changed_setting_is_refused_by_name(field: str) -> None:
    loader = CHANGED[field]()
    with pytest.raises(UserError, match=rf"cannot resume: {field} is .* and was "):
        loader.load_state_dict(training().state_dict())


def test_batch_sizes_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(UserError, match=r"batch_size=30 .* 4 ranks x 2 .* multiple of 8, such as 32"):
        training(batch_size=30, world=4, accumulate=2)
    with pytest.raises(UserError, match=r"130 training samples cannot be divided among 40 ranks x 4"):
        training(batch_size=320, world=40, accumulate=4)


@pytest.mark.parametrize("world", [1, 2])
def test_a_set_smaller_than_one_batch_makes_one(world: int) -> None:
    handed = [rows_of(training(batch_size=256, world=world, rank=r)) for r in range(world)]
    assert [len(batches) for batches in handed] == [1] * world
    assert sorted(row for batches in handed for row in batches[0]) == ROWS.tolist()


def test_a_batch_that_is_cut_can_still_be_divided() -> None:
    handed = [rows_of(training(batch_size=256, world=4, rank=r)) for r in range(4)]
    assert [[len(rows) for rows in batches] for batches in handed] == [[32]] * 4
    assert len({row for batches in handed for row in batches[0]}) == 128


def test_a_small_batch_costs_little() -> None:
    """MNIST by 32: 15 to 40 us a batch where it was written; the limit leaves room for a slow machine."""
    images = torch.zeros(20_000, 1, 28, 28, dtype=torch.uint8)

    class Images:
        def gather(self, rows: Tensor) -> Input:
            return Input(images.index_select(0, rows))

    labels = torch.zeros(20_000, dtype=torch.int64)
    rows = np.arange(20_000)
    loader = Loader({"x": Images()}, labels, rows, EpochSampler(labels.numpy(), 1, Instance(), 0), 32)
    cost = []
    for _ in range(4):
        start = time.process_time()
        taken = sum(1 for _ in loader)
        cost.append((time.process_time() - start) / taken)
    assert min(cost) < 60e-6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("workers", [0, 2])
def test_pinned_batches(workers: int) -> None:
    for batch in Loader({"x": Lengths()}, LABELS, ROWS, plan(), BATCH, workers=workers, pin=True):
        assert all(x.is_pinned() for x in (*batch, *batch.input) if isinstance(x, Tensor))
        assert batch.to(torch.device("cuda"), non_blocking=True).rows.tolist() == batch.rows.tolist()


def _rank(rank: int, world: int, folder: Path) -> None:
    """One of `world` processes whose global generators differ, as after dropout or random augmentation."""
    torch.manual_seed(rank)
    np.random.seed(rank)  # noqa: NPY002
    store = dist.FileStore(str(folder / "store"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    try:
        share = {"rank": rank, "world": world}
        train = training(plan(Power(0.0)), workers=rank, **share)
        held_out = Loader({"x": Columns()}, LABELS, ROWS[:13], Sequential(13), 4, training=False, **share)
        mine = [list(chain(*map(pairs, loader))) for loader in (train, held_out)]
        gathered: list[Any] = [None] * world
        dist.all_gather_object(gathered, mine)
        if rank == 0:
            torch.save(gathered, folder / "gathered.pt")
    finally:
        dist.destroy_process_group()


def test_two_processes_share_an_epoch(tmp_path: Path) -> None:
    """T1 and T11 with real processes: nothing seen twice, nothing skipped."""
    mp.spawn(_rank, args=(2, tmp_path), nprocs=2)
    ranks = torch.load(tmp_path / "gathered.pt")
    order = plan(Power(0.0)).epoch(0)
    placed = sorted(chain(*(train for train, _ in ranks)))
    assert placed == [(p, int(ROWS[order[p]])) for p in range(16 * BATCH)]
    assert sorted(row for _, evaluated in ranks for _, row in evaluated) == ROWS[:13].tolist()
