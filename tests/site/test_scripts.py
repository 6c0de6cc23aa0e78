"""Modules under names that browsers keep for ever, and the hints that pages give to what a script imports."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.files.storage import FileSystemStorage
from django.template import engines

from llmops_site.static_files import ModuleStorage
from models_app.foundation.scripts import IMPORT, imports_of

SOURCES = Path(settings.BASE_DIR) / "static"
SCRIPTS = sorted(path.relative_to(SOURCES).as_posix() for path in (SOURCES / "js").rglob("*.js"))
# It runs before the first paint, which a module never does.
CLASSIC = "js/theme.js"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> ModuleStorage:
    """Our scripts as they are served."""
    kept = ModuleStorage(location=tmp_path_factory.mktemp("static"), base_url="/static/")
    sources = FileSystemStorage(location=SOURCES)
    for name in SCRIPTS:
        kept.save(name, sources.open(name))
    for name, _, processed in kept.post_process({name: (kept, name) for name in SCRIPTS}):
        assert not isinstance(processed, Exception), (name, processed)
    return kept


def test_every_import_names_a_file_that_is_kept_for_ever(kept: ModuleStorage) -> None:
    names = set(kept.hashed_files.values())
    imported = set()
    for name in names:
        for address in IMPORT.findall(Path(kept.path(name)).read_text()):
            imported.add(posixpath.normpath(posixpath.join(posixpath.dirname(name), address)))
    assert imported
    assert imported <= names


def test_a_script_that_changes_changes_the_names_of_all_that_import_it(
    kept: ModuleStorage, tmp_path: Path
) -> None:
    changed = ModuleStorage(location=tmp_path, base_url="/static/")
    for name in SCRIPTS:
        text = (SOURCES / name).read_text()
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n// changed\n" if name == "js/desk/requests.js" else text)
    list(changed.post_process({name: (changed, name) for name in SCRIPTS}))
    new = {name for name in SCRIPTS if changed.hashed_files[name] != kept.hashed_files[name]}
    assert new == {name for name in SCRIPTS if "js/desk/requests.js" in (name, *imports_of(name))}
    assert {"js/desk/review.js", "js/desk/pairwise.js"} <= new


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_leaves_no_name_in_the_window(name: str) -> None:
    text = (SOURCES / name).read_text()
    assert not re.search(r"\b(?:window|globalThis|self)\.\w+\s*=[^=]|Object\.assign\(\s*window", text)
    assert (name == CLASSIC) == ('"use strict"' in text), "a module is strict by itself"


def test_a_page_hints_at_everything_that_its_script_imports() -> None:
    html = engines["django"].from_string("{% module 'js/desk/pairwise.js' %}").render()
    hinted = re.findall(r'<link rel="modulepreload" href="([^"]+)">', html)
    assert sorted(hinted) == sorted(
        staticfiles_storage.url(name) for name in imports_of("js/desk/pairwise.js")
    )
    assert "/static/js/desk/local-drafts.js" in hinted, "imported by what it imports"
    assert html.endswith('<script type="module" src="/static/js/desk/pairwise.js"></script>')


def test_a_script_that_is_not_there_is_an_error_of_the_page() -> None:
    template = engines["django"].from_string("{% module 'js/gone.js' %}")
    with pytest.raises(LookupError, match=re.escape("There is no script js/gone.js.")):
        template.render()


def test_every_script_is_used_by_a_page_or_another_script() -> None:
    pages = "".join(path.read_text() for path in (Path(settings.BASE_DIR) / "templates").rglob("*.html"))
    named = set(re.findall(r"""\{% (?:module|static) ['"](js/[^'"]+)['"] %\}""", pages))
    used: set[Any] = named | {one for name in named for one in imports_of(name)}
    assert sorted(used) == SCRIPTS
