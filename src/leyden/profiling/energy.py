"""Joules, from the counters that processors and GPUs keep themselves; where none can be read, the reason.

A processor's (RAPL, Linux) is of the whole package, whatever else runs on it; an NVIDIA GPU's (NVML, from Volta on) of
the whole card. Both move in coarse steps: measure a second or more.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

RAPL = Path("/sys/class/powercap")


class Meter(Protocol):
    """A counter of energy."""

    source: str

    def start(self) -> None:
        """Note where it stands."""

    def joules(self) -> float:
        """Since `start`."""


class Rapl:
    """The processor packages' counters, in microjoules, which begin again at a maximum that they name."""

    def __init__(self, zones: Mapping[Path, int]) -> None:
        self.source, self._zones = "rapl", zones
        self._began: dict[Path, int] = {}

    def start(self) -> None:
        """Note where they stand."""
        self._began = {zone: _microjoules(zone) for zone in self._zones}

    def joules(self) -> float:
        """Since `start`, if no counter has gone round more than once (about a minute at full load)."""
        moved = (
            (_microjoules(zone) - began) % (self._zones[zone] + 1) for zone, began in self._began.items()
        )
        return sum(moved) / 1e6


class Nvml:
    """A GPU's counter. read: millijoules since the driver was loaded."""

    def __init__(self, read: Callable[[], int]) -> None:
        self.source, self._read, self._began = "nvml", read, 0

    def start(self) -> None:
        """Note where it stands."""
        self._began = self._read()

    def joules(self) -> float:
        """Since `start`."""
        return (self._read() - self._began) / 1e3


def meter(device: torch.device, folder: Path = RAPL) -> tuple[Meter | None, str]:
    """The counter of a device, or None and why there is none."""
    return _nvml(device) if device.type == "cuda" else _rapl(folder)


def _rapl(folder: Path) -> tuple[Meter | None, str]:
    packages = [p for p in sorted(folder.glob("*-rapl:*")) if p.name.count(":") == 1]
    if not packages:
        return None, f"this machine shows no energy counter of its processor ({folder})"
    try:
        zones = {zone: int((zone / "max_energy_range_uj").read_text()) for zone in packages}
        for zone in zones:
            _microjoules(zone)
    except PermissionError:
        return None, f"only root may read {packages[0] / 'energy_uj'}: chmod a+r it to allow it"
    except (OSError, ValueError) as error:
        return None, f"{packages[0]} cannot be read: {error}"
    return Rapl(zones), ""


def _microjoules(zone: Path) -> int:
    return int((zone / "energy_uj").read_text())


def _nvml(device: torch.device) -> tuple[Meter | None, str]:
    try:
        from cuda.bindings import nvml
    except ImportError:
        return None, "the energy of a GPU is read through cuda-bindings, which is not installed"
    library: Any = nvml
    try:
        library.init_v2()
        handle = library.device_get_handle_by_uuid(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        library.device_get_total_energy_consumption(handle)
    except library.NvmlError as error:
        return None, f"this GPU shows no energy counter: {error}"
    return Nvml(lambda: int(library.device_get_total_energy_consumption(handle))), ""
