"""Free cores by the kernel's counters, from files of the test's own: its own use is not taken for that of others."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from leyden.utils import cpu_load


class Machine:
    """Two cores, whose counters the test sets."""

    def __init__(self, stat: Path) -> None:
        self.stat, self.now, self.own = stat, 100.0, 0.0
        self.passes(0, busy=0)

    def passes(self, seconds: float, busy: float, own: float = 0.0) -> None:
        """So many seconds, in which both cores together were busy for `busy`, of which `own` by this process."""
        self.now += seconds
        self.own += own
        before = int(self.stat.read_text().split()[-1]) if self.stat.exists() else 0
        ticks = before + round(busy * os.sysconf("SC_CLK_TCK"))
        idle = "7 8 9"  # idle, iowait; and irq, which is busy
        self.stat.write_text(f"cpu 1 2 3\ncpu0 0 0 0 {idle} 0 0\ncpu1 0 0 0 0 0 0 0 {ticks}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path / "stat")
    monkeypatch.setattr(cpu_load, "_STAT", made.stat)
    monkeypatch.setattr(cpu_load, "_cores", lambda: {0, 1})
    monkeypatch.setattr(cpu_load, "_readings", [])
    monkeypatch.setattr(cpu_load, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(cpu_load.os, "times", lambda: (made.own, 0.0, 0.0, 0.0, made.now))
    return made


@pytest.mark.parametrize(
    ("busy", "own", "free"), [(0, 0, 2.0), (4, 0, 1.0), (4, 4, 2.0), (6, 2, 1.0), (9, 0, 0.0), (0, 1, 2.0)]
)
def test_free_cores_are_those_that_others_leave(
    machine: Machine, busy: float, own: float, free: float
) -> None:
    cpu_load.look()
    machine.passes(4, busy, own)
    assert cpu_load.free_cores() == pytest.approx(free)


def test_the_newest_reading_that_is_old_enough_counts(machine: Machine) -> None:
    cpu_load.look()
    machine.passes(10, busy=20)
    cpu_load.look()
    machine.passes(0.1, busy=0)
    assert cpu_load.free_cores() == pytest.approx(2 - 20 / 10.1)
    machine.passes(0.9, busy=0)
    assert cpu_load.free_cores() == pytest.approx(2.0)


def test_what_cannot_be_known_is_none(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpu_load.free_cores() is None  # never looked
    cpu_load.look()
    machine.passes(0.1, busy=0)
    assert cpu_load.free_cores() is None  # just now
    machine.passes(5, busy=0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        assert cpu_load.free_cores() is None  # the reading of the process that this was forked from
    assert cpu_load.free_cores() == pytest.approx(2.0)
    machine.stat.unlink()
    assert cpu_load.free_cores() is None  # no such file: another system


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="counters of Linux")
def test_this_machine_has_between_none_and_all_cores_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_load, "_LEAST", 0.0)
    cpu_load.look()
    free = cpu_load.free_cores()
    assert free is not None
    assert 0 <= free <= len(os.sched_getaffinity(0))
