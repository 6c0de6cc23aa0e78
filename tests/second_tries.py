"""A browser test that fails is tried once more; nothing else is. What passed only then is named where a run ends.

A browser on a busy machine now and then misses a click or a frame. The second try keeps that from hiding what else a
run found; the name and what the first try said keep it from being forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_timeout import Settings

#: Of what the first try said, which ends in what is wrong and where.
LONGEST = 1500
TIME_LIMIT = pytest.StashKey[Settings]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Settings) -> None:
    item.stash[TIME_LIMIT] = settings


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """pytest-timeout stops its clock at the first failure: without this, the second try could hang for ever."""
    if getattr(item, "execution_count", 1) > 1 and TIME_LIMIT in item.stash:
        item.config.hook.pytest_timeout_set_timer(item=item, settings=item.stash[TIME_LIMIT])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Below everything else that the run says, where nobody overlooks it."""
    yield
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or hasattr(
        session.config, "workerinput"
    ):  # a worker's reports are its controller's to tell
        return
    tried_again = {report.nodeid: report for report in terminal.stats.get("rerun", [])}
    passed = {report.nodeid for report in terminal.stats.get("passed", [])}
    for name in sorted(tried_again.keys() & passed):
        said = " ".join(tried_again[name].longreprtext.split())[-LONGEST:]
        terminal.write_line(
            f"flaky: {name} passed only at its second try; the first ended in: {said}", red=True, bold=True
        )
