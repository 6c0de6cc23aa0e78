from __future__ import annotations

from pathlib import Path

import pytest

from models_app.ml.energy import EnergyMeter


def counter(root: Path, name: str, value: int, limit: int = 1_000_000) -> Path:
    path = root / name
    path.mkdir(exist_ok=True)
    (path / "energy_uj").write_text(f"{value}\n")
    (path / "max_energy_range_uj").write_text(f"{limit}\n")
    return path


def test_packages_are_added_up_since_they_were_read_last_and_their_parts_are_not(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:0", 100)
    counter(tmp_path, "intel-rapl:1", 500)
    counter(tmp_path, "intel-rapl:0:0", 0)
    meter = EnergyMeter(tmp_path)
    counter(tmp_path, "intel-rapl:0", 300_100)
    counter(tmp_path, "intel-rapl:1", 200_500)
    counter(tmp_path, "intel-rapl:0:0", 999_999)
    assert meter.joules() == pytest.approx(0.5)
    assert meter.joules() == 0


def test_a_counter_that_began_again_goes_on(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:0", 900_000)
    meter = EnergyMeter(tmp_path)
    counter(tmp_path, "intel-rapl:0", 100_000)
    assert meter.joules() == pytest.approx(0.2)


def test_what_no_machine_tells_is_not_known(tmp_path: Path) -> None:
    assert EnergyMeter(tmp_path).joules() is None
    path = counter(tmp_path, "intel-rapl:0", 1)
    meter = EnergyMeter(tmp_path)
    (path / "energy_uj").unlink()
    assert meter.joules() is None
    counter(tmp_path, "intel-rapl:0", 5)
    assert meter.joules() is None, "not counted meanwhile"
    assert meter.joules() == 0
