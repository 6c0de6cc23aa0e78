"""axe on every page, light on a desktop and dark on a phone, with a fortnight of made-up history behind them."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core.cache import cache

from script.demo_data import Demo, heartbeat
from script.take_screenshots import EXPECTED, PAGES, places
from tests import make
from tests.browser.conftest import SETTLED, Enter

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(900),
]


@pytest.fixture
def cast(transactional_db: None, settings: Any) -> None:
    """The people of the made-up history instead of the tests' own."""
    settings.GALLEY_SPLIT_SHARES = (45, 8, 47)
    settings.GALLEY_MIN_TRAINING_EXAMPLES = 15
    cache.clear()
    make.seeded()
    Demo().build()
    heartbeat()


def test_no_page_has_a_violation_or_hangs_over(enter: Enter) -> None:
    found, wrong = places(), []
    for theme, width, height in (("light", 1440, 900), ("dark", 390, 844)):
        pages = {
            who: enter(who, theme=theme, width=width, height=height)
            for who in {who for who, _ in PAGES.values()}
        }
        for name, (who, path) in PAGES.items():
            page = pages[who]
            answer = page.goto(path.format(**found))
            here = f"{name}, {theme}, {width}"
            if answer is None or answer.status != EXPECTED.get(name, 200):
                wrong.append(f"{here}: answers {answer and answer.status}")
                continue
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wrong.append(f"{here}: wider than the screen")
            page.evaluate(SETTLED)
            for violation in Axe().run(page).response["violations"]:
                targets = ", ".join(str(node["target"]) for node in violation["nodes"][:3])
                wrong.append(f"{here}: {violation['id']} at {targets}")
        for page in pages.values():
            page.context.close()
    assert wrong == [], "\n".join(wrong)
