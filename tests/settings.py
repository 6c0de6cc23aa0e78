"""The settings of a test run: its own data directory, its own database on a server shared by the runs of this user.

Processes that a test starts inherit the environment made here and with it the same directory and database.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from llmops_site import embedded

# Short, because the path of a Unix socket must be.
ROOT = Path(tempfile.gettempdir()).resolve() / f"galley-tests-{os.getuid()}"

if "GALLEY_TEST_SUFFIX" not in os.environ or "GALLEY_TEST_RUN" not in os.environ:
    # The developer's own Galley and its settings are not the tests'.
    for name in [
        name for name in os.environ if name.startswith("GALLEY_") and not name.startswith("GALLEY_TEST_")
    ]:
        del os.environ[name]
    os.environ.setdefault("GALLEY_TEST_SUFFIX", str(os.getpid()))
    os.environ["GALLEY_TEST_RUN"] = str(os.getpid())
    os.environ["DATABASE_URL"] = os.environ.get("GALLEY_TEST_DATABASE_URL") or embedded.database_url(ROOT)

SUFFIX = re.sub(r"\W", "_", os.environ["GALLEY_TEST_SUFFIX"]).lower()
HOME = ROOT / "homes" / (SUFFIX + os.environ.get("PYTEST_XDIST_WORKER", ""))
os.environ["GALLEY_HOME"] = str(HOME)
(HOME / "static").mkdir(parents=True, exist_ok=True)
# Playwright's synchronous interface keeps an event loop running in the tests' thread from its first use to the end of
# the run; Django would refuse every query beside it, in whatever test comes later.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

from llmops_site.settings import *  # noqa: E402
from models_app.foundation.job_kinds import JobKind  # noqa: E402

DATABASES["default"]["CONN_MAX_AGE"] = 0
DATABASES["default"]["TEST"] = {"NAME": f"test_galley_{SUFFIX}"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Tests of one second ask more often than a program of a minute; those of the limit set it.
REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = {"token": "1000000/minute"}
# No manifest: nothing is collected before a test.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
# Work for the tests of jobs themselves; a child process finds it by these settings too.
GALLEY_JOB_KINDS = {
    **GALLEY_JOB_KINDS,
    "test_work": JobKind(run="tests.foundation.work.work", ended="tests.foundation.work.ended"),
    "test_long_work": JobKind(
        run="tests.foundation.work.work", ended="tests.foundation.work.ended", long=True
    ),
}
