"""Documentation under test: what it names is there, and what is there is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.core.management import get_commands
from drf_spectacular.generators import SchemaGenerator

from llmops_site.env import settings_table
from reviews.loop.report import markdown, sentence

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS]
# carried out by other processes, not by people
INTERNAL_COMMANDS = {"run_job", "serve_slots", "serve_slot"}


def test_the_table_of_settings_is_the_one_the_code_reads() -> None:
    assert settings_table() in (ROOT / "docs" / "settings.md").read_text()


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text()
    own = {
        name for name, app in get_commands().items() if app in ("reviews", "models_app")
    } - INTERNAL_COMMANDS
    assert own, "no command was found"
    assert [name for name in sorted(own) if f"`{name}" not in text] == []


def test_every_path_of_the_api_is_documented() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    assert paths, "the schema has no paths"
    assert [path for path in sorted(paths) if path.replace("{id}", "{id}") not in text] == []


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_links_and_pictures_of_the_documentation_are_there(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_scripts_named_in_the_documentation_are_there(document: Path) -> None:
    named = set(re.findall(r"(?<![\w/.-])((?:script|benchmarks)/[\w./-]+\w)", document.read_text()))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("report", sorted((ROOT / "docs" / "reports").glob("*/report.json")), ids=str)
def test_the_words_of_a_published_report_are_the_codes_own(report: Path) -> None:
    facts = json.loads(report.read_text())
    assert report.with_name("report.md").read_text() == markdown(facts) + "\n", (
        "render it: script/render_report.py"
    )
    assert facts["comparison"]["sentence"] == sentence(facts)


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_tests_named_in_the_documentation_are_there(document: Path) -> None:
    """A name that ends in … stands for all that begin so."""
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    functions = set(re.findall(r"def (test_\w+)", tests))
    named = set(re.findall(r"(?<![\w/])(test_\w+)(…?)(?!\w*\.py)", document.read_text()))
    missing = [
        name
        for name, more in sorted(named)
        if not (any(function.startswith(name) for function in functions) if more else name in functions)
    ]
    assert missing == []


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_files_of_tests_named_in_the_documentation_are_there(document: Path) -> None:
    named = set(re.findall(r"tests/[\w/]+\.py", document.read_text()))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_files_of_code_named_in_the_first_documents_are_there(document: Path) -> None:
    packages = "llmops_site|models_app|reviews|templates|tests|script|docs|benchmarks|static"
    named = set(re.findall(rf"(?<![\w./-])((?:{packages})/[\w./-]*)", document.read_text()))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_names_of_code_in_contributing_stand_in_the_file_that_it_names_beside_them() -> None:
    """`NAME` in or of `file`: a recipe that nobody followed lately is found out."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    pairs = re.findall(r"`([\w.]+)`(?: and `(\w+)`)? (?:in|of) `([\w/]+\.py)`", text)
    assert len(pairs) >= 10
    missing = [
        (name, file)
        for *names, file in pairs
        for name in names
        if name and not re.search(rf"\b{name.rpartition('.')[2]}\b", (ROOT / file).read_text())
    ]
    assert missing == []
