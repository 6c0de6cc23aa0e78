"""The first request after a start waits no longer than the others."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.conf import settings

ASK = """
import sys
from llmops_site.wsgi import application
loaded = set(sys.modules)
from django.urls import resolve
resolve("/accounts/login/"), resolve("/desk/"), resolve("/api/v1/summaries/")
print(sorted(name for name in set(sys.modules) - loaded if name.startswith(("models_app.", "reviews.", "allauth."))))
"""


@pytest.mark.slow
def test_what_answers_requests_is_imported_before_the_first_one_comes() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert asked.stdout.strip() == "[]"
