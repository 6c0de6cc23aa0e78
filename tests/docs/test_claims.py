"""Numbers in the documentation are those of the code."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from llmops_site.supervisor import availability as probe
from llmops_site.supervisor import output, supervise
from models_app.api.pagination import Pages
from models_app.evaluation.metrics import METRICS
from models_app.foundation import tries, turns
from models_app.people import links
from reviews.api.ingest import MOST_DOCUMENTS
from reviews.desk import claims
from reviews.discussion import visibility
from reviews.loop import sample_workspace
from reviews.quality import agreement_report
from reviews.queues import settings

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [path for app in ("reviews", "models_app") for path in sorted((ROOT / app).rglob("__init__.py"))]
DOCS = {path.name: path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
DOCS |= {str(path.parent.relative_to(ROOT)): path.read_text() for path in PACKAGES}


def articles() -> int:
    return len((ROOT / "reviews" / "loop" / "sample" / "articles.jsonl").read_text().splitlines())


# (document, what it says, whether that is so)
CLAIMS: list[tuple[str, str, Callable[[], bool]]] = [
    ("README.md", "a sample workspace of 66 articles", lambda: articles() == 66),
    ("architecture.md", "asks `/readyz` every ten seconds", lambda: probe.PAUSE_SECONDS == 10),
    ("operations.md", "rows older than 400 days go", lambda: probe.KEEP_DAYS == 400),
    ("architecture.md", "nobody waits for a turn longer than half a second", lambda: turns.requests.patience == 0.5),
    (
        "reviews/quality",
        "Up to 2,000 reviews in the window the page computes them itself",
        lambda: agreement_report.INLINE == 2000,
    ),
    ("reviews/queues", "With more than 5,000 items the queue's worker does it", lambda: settings.AT_ONCE == 5000),
    (
        "models_app/evaluation",
        "The margin is 1.0 for ROUGE (points) and repeated trigrams (percentage points), 0.05 a summary for numbers "
        "and names that the source lacks",
        lambda: {key: metric.margin for key, metric in METRICS.items() if metric.margin}
        == {
            **dict.fromkeys(("rouge1", "rouge2", "rougeL", "rougeLsum", "repetition"), 1.0),
            "unsupported_numbers": 0.05,
            "unsupported_names": 0.05,
        },
    ),
    ("reviewing.md", "it comes back to you in two hours", lambda: timedelta(hours=2) == claims.SNOOZED),
    ("api.md", "A comment is changed within 15 minutes", lambda: timedelta(minutes=15) == visibility.EDITABLE),
    ("api.md", "a list of up to 500 with 207", lambda: MOST_DOCUMENTS == 500),
    ("api.md", "(at most 200)", lambda: Pages.max_page_size == 200),
    ("operations.md", "A link is good once and for 48 hours", lambda: timedelta(hours=48) == links.LASTS),
    (
        "operations.md",
        "After eight wrong passwords within a quarter of an hour",
        lambda: tries.Limit(8, timedelta(minutes=15)) == tries.FROM_ONE_ADDRESS,
    ),
    (
        "operations.md",
        "A log of 10 MB is moved to `NAME.log.1`; five are kept",
        lambda: (output.LOG_BYTES, output.KEPT_LOGS) == (10 * 1024**2, 5),
    ),
    ("operations.md", "stops all of it within 15 seconds", lambda: supervise.GRACE_SECONDS < 15),
    (
        "operations.md",
        "The queue looks every hour for files, every day for notifications",
        lambda: [
            sample_workspace.REGULAR_WORK[name][1]
            for name in ("forget files left behind", "forget old notifications")
        ]
        == [60, 24 * 60],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("document", "words", "is_so"), CLAIMS, ids=[words[:50] for _, words, _ in CLAIMS])
def test_what_the_documentation_says_is_so(document: str, words: str, is_so: Callable[[], bool]) -> None:
    said = " ".join(DOCS[document].split())
    assert words in said, "the documentation says it in other words now: change the claim here too"
    assert is_so()


@pytest.mark.parametrize(
    "package",
    sorted(path.parent for app in ("reviews", "models_app") for path in (ROOT / app).glob("*/__init__.py")),
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_every_package_says_what_it_knows_and_what_it_does_not(package: Path) -> None:
    if package.name == "migrations":
        return
    said = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    assert re.search(r"^Knows nothing of .+\.$", said, re.M), f"{package} has no docstring that says so"


def test_the_architecture_is_read_in_ten_minutes() -> None:
    assert len(DOCS["architecture.md"].split()) <= 2500, (
        "at 250 words a minute; details go into package docstrings"
    )


def test_import_contracts_leave_nothing_out_that_the_architecture_claims() -> None:
    """`docs/architecture.md` says what `lint-imports` holds."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert not linter.get("exclude_type_checking_imports", False)
    kinds = {contract["name"]: contract["type"] for contract in linter["contracts"]}
    assert kinds["Only doors, and what composes them, import doors"] == "protected"
    assert kinds["llmops_site stands on reviews, reviews on models_app; never upwards"] == "layers"
    ignored = {each for contract in linter["contracts"] for each in contract.get("ignore_imports", [])}
    assert ignored == {"models_app.ml.** -> *"}, "only ml's own use of the learning libraries"
