"""All of Galley on an empty data directory, as script/run starts it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmops_site import embedded
from llmops_site.supervisor.marked import Mark
from tests.process.programs import server_runs, wait_for
from tests.process.running import Run

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    Mark.new(home).kill_earlier_runs()
    embedded.stop(home)


def test_it_starts_on_nothing_stops_at_a_signal_and_leaves_no_process(home: Path, tmp_path: Path) -> None:
    first = Run(home, tmp_path / "first", fresh=True)
    first.wait_until_it_answers()
    assert first.get("/accounts/login/") == 200
    wait_for(
        lambda: (
            len({process.environ()["GALLEY_SUPERVISED"] for process in Mark.new(home).of_earlier_runs()}) == 4
        )
    )
    assert first.stop() < 15
    assert Mark.new(home).of_earlier_runs() == []
    assert not server_runs(home)

    text = first.output.read_text()
    shown = re.findall(r"│ admin +(\S{12,}) +administrator +│$", text, re.MULTILINE)
    assert len(shown) == 1
    before_the_box, box = text.split("┌")
    assert len(before_the_box.splitlines()) <= 12
    assert f"http://127.0.0.1:{first.port}" in box
    assert str(home / "logs") in box
    assert "level=info" not in text
    assert "[INFO]" not in text
    assert "/healthz" not in (home / "logs" / "web.log").read_text()
    assert not [log for log in (home / "logs").rglob("*.log") if shown[0] in log.read_text()]

    second = Run(home, tmp_path / "second")
    second.wait_until_it_answers()
    second.process.kill()
    third = Run(home, tmp_path / "third")
    third.wait_until_it_answers()
    assert third.stop() < 15
    text = second.output.read_text() + third.output.read_text()
    assert "administrator" not in text
    assert "brought up to date" not in text
    assert Mark.new(home).of_earlier_runs() == []
