"""Energy that the machine itself says its processors used. What it does not count nobody estimates.

Linux shows the counters of RAPL, which Intel's and AMD's processors have, as `/sys/class/powercap/intel-rapl:N`; most
systems let only root read them. They count all that the processors do, other programs included.
"""

from __future__ import annotations

from pathlib import Path

COUNTERS = Path("/sys/class/powercap")
JOULES_PER_KWH = 3.6e6


class EnergyMeter:
    """Counts from when it is made. Read it more often than the counters begin again, which they do after minutes."""

    def __init__(self, counters: Path = COUNTERS) -> None:
        self._packages = sorted(counters.glob("intel-rapl:[0-9]*"))
        self._packages = [
            path for path in self._packages if path.name.count(":") == 1
        ]  # not a package's own parts
        self._last = self._read()

    def joules(self) -> float | None:
        """Since it was read last; None where a counter cannot be read, or has not been before."""
        now, before = self._read(), self._last
        self._last = now
        if not now or not before:
            return None
        micro = 0
        for path, value in now.items():
            spent = value - before[path]
            micro += spent if spent >= 0 else spent + self._range(path)
        return micro / 1e6

    def _read(self) -> dict[Path, int]:
        try:
            return {path: int((path / "energy_uj").read_text(encoding="ascii")) for path in self._packages}
        except (OSError, ValueError):
            return {}

    def _range(self, path: Path) -> int:
        return int((path / "max_energy_range_uj").read_text(encoding="ascii"))
