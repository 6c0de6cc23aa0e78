"""What every process of Galley pays for before it does anything."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.conf import settings

ASK = """
import sys
import django
from django.conf import settings
from django.utils.module_loading import import_string
django.setup()
import llmops_site.urls
for kind in settings.GALLEY_JOB_KINDS.values():
    import_string(kind.run)
print(sorted(name for name in ("torch", "transformers", "ctranslate2", "scipy", "pyarrow") if name in sys.modules))
"""


def test_neither_pages_nor_jobs_load_a_scientific_library_before_they_compute_with_it() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert asked.stdout.strip().splitlines()[-1] == "[]"


COMMAND = """
import sys
import manage
sys.argv = ["manage.py", *{words}]
try:
    manage.main()
except SystemExit as ended:
    print("ended", ended.code)
print(sorted(name for name in sys.modules if name in ("llmops_site.urls", "models_app.web.audit", "torch")))
"""


@pytest.mark.parametrize(("words", "code"), [(["run_job", "1"], 1), (["release", "show", "1", "--x"], 3)])
def test_a_job_and_a_pipelines_commands_load_no_page(words: list[str], code: int) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", COMMAND.format(words=words)],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert asked.stdout.splitlines()[-2:] == [f"ended {code}", "[]"]
