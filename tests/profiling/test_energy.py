"""Energy in joules from counters: a simulated processor and a simulated GPU."""

from pathlib import Path

import pytest
import torch

from leyden.profiling import energy
from leyden.profiling.energy import Nvml, meter

CPU = torch.device("cpu")


def zone(folder: Path, name: str, microjoules: int, most: int = 1_000_000_000) -> Path:
    place = folder / name
    place.mkdir(parents=True)
    (place / "energy_uj").write_text(f"{microjoules}\n")
    (place / "max_energy_range_uj").write_text(f"{most}\n")
    return place


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    """intel-rapl:0:0 is the cores of package 0, which includes them; a counter wraps at its maximum."""
    first, second = zone(tmp_path, "intel-rapl:0", 5_000_000), zone(tmp_path, "intel-rapl:1", 999_000_000)
    part = zone(tmp_path, "intel-rapl:0:0", 0)
    found, _ = meter(CPU, tmp_path)
    assert found is not None
    found.start()
    (first / "energy_uj").write_text("7000000\n")
    (second / "energy_uj").write_text("499999\n")
    (part / "energy_uj").write_text("1900000\n")
    assert found.source == "rapl"
    assert found.joules() == pytest.approx(2.0 + 1.5)


def test_a_machine_without_counters_gives_the_reason(tmp_path: Path) -> None:
    found, why = meter(CPU, tmp_path / "none")
    assert found is None
    assert "no energy counter" in why


def test_a_counter_readable_by_root_only_gives_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = zone(tmp_path, "intel-rapl:0", 0)

    def refuse(_: Path) -> int:
        raise PermissionError("denied")

    monkeypatch.setattr(energy, "_microjoules", refuse)
    found, why = meter(CPU, tmp_path)
    assert found is None
    assert f"only root may read {place / 'energy_uj'}" in why


def test_a_damaged_counter_gives_the_reason(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", 0) / "max_energy_range_uj").write_text("much")
    found, why = meter(CPU, tmp_path)
    assert found is None
    assert "cannot be read" in why


def test_millijoules_of_a_gpu() -> None:
    readings = iter((1_000, 3_500))
    counter = Nvml(lambda: next(readings))
    counter.start()
    assert counter.joules() == 2.5
