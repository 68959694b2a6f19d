"""Energy in joules from the counters of processors and GPUs, or the reason why none can be read.

A processor's counter (RAPL, Linux) covers the whole package, including other processes; an NVIDIA GPU's (NVML, Volta or
newer) the whole card. Both have a coarse resolution: measure for a second or more.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

RAPL = Path("/sys/class/powercap")


class Meter(Protocol):
    """An energy counter; `source` is "rapl" or "nvml"."""

    source: str

    def start(self) -> None:
        """Store the current value of the counter."""

    def joules(self) -> float:
        """Joules since `start`."""


class Rapl:
    """Counters of the processor packages, in microjoules. zones: folder -> maximum at which its counter wraps."""

    def __init__(self, zones: Mapping[Path, int]) -> None:
        self.source, self._zones = "rapl", zones
        self._began: dict[Path, int] = {}

    def start(self) -> None:
        """Store the current values of the counters."""
        self._began = {zone: _microjoules(zone) for zone in self._zones}

    def joules(self) -> float:
        """Joules since `start`, if no counter has wrapped more than once (about a minute at full load)."""
        differences = (
            (_microjoules(zone) - began) % (self._zones[zone] + 1) for zone, began in self._began.items()
        )
        return sum(differences) / 1e6


class Nvml:
    """Counter of a GPU. read: returns millijoules since the driver was loaded."""

    def __init__(self, read: Callable[[], int]) -> None:
        self.source, self._read, self._began = "nvml", read, 0

    def start(self) -> None:
        """Store the current value of the counter."""
        self._began = self._read()

    def joules(self) -> float:
        """Joules since `start`."""
        return (self._read() - self._began) / 1e3


def meter(device: torch.device, folder: Path = RAPL) -> tuple[Meter | None, str]:
    """(counter of a device, "") or (None, the reason why there is none)."""
    return _nvml(device) if device.type == "cuda" else _rapl(folder)


def _rapl(folder: Path) -> tuple[Meter | None, str]:
    packages = [p for p in sorted(folder.glob("*-rapl:*")) if p.name.count(":") == 1]
    if not packages:
        return None, f"this machine has no energy counter of its processor ({folder})"
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
        return (
            None,
            "reading the energy of a GPU needs cuda-bindings, which is not installed: pip install cuda-bindings",
        )
    library: Any = nvml
    try:
        library.init_v2()
        handle = library.device_get_handle_by_uuid(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        library.device_get_total_energy_consumption(handle)
    except library.NvmlError as error:
        return None, f"this GPU has no energy counter: {error}"
    return Nvml(lambda: int(library.device_get_total_energy_consumption(handle))), ""
