"""The page of a leakage check: finds by strength and place, both texts side by side, the clean subset beside all."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app.gates.clean_comparisons import clean_comparison
from models_app.gates.leakage_checks import check
from models_app.models import LeakageCheck
from tests.gates.test_leakage import ARTICLE, REFERENCE, learnt, with_texts
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def the() -> Scene:
    made = scenes.scene()
    with_texts(made)
    learnt(made, source=ARTICLE.upper(), target="<script>alert(1)</script>")
    half = " ".join(word if place % 6 else f"x{place}" for place, word in enumerate(ARTICLE.split()))
    learnt(made, position=100, document_hash="e" * 64, source=half)
    return made


def looked(the: Scene) -> LeakageCheck:
    found = check(release=the.candidate, evaluation_set=the.on)
    clean_comparison(comparison=the.comparison, check=found)
    return found


def page(the: Scene, address: str, **headers: Any) -> Any:
    client = Client()
    client.force_login(the.cast.approver)
    return client.get(address, **headers)


def test_the_page_says_how_many_were_learnt_and_names_both_rows(the: Scene) -> None:
    found = looked(the)
    text = markup(page(the, f"/leakage/{found.pk}/"))
    assert "1 of 40 test documents was learnt" in text
    assert "in row 99 of" in text
    assert f"snapshot {the.snapshot.pk}" in text
    assert "Old pier, part" in text
    assert "39 documents, 1 left out" in text


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", 2),
        ("share=blocks", 1),
        ("share=look", 1),
        ("in=rows", 2),
        ("in=prompts", 0),
        ("share=nonsense&in=x", 2),
    ],
)
def test_finds_are_filtered(the: Scene, query: str, rows: int) -> None:
    found = looked(the)
    answer = page(
        the, f"/leakage/{found.pk}/?{query}", headers={"HX-Request": "true", "HX-Target": "leakage-findings"}
    )
    assert answer.content.decode().count('class="chip') == rows


def test_both_texts_stand_side_by_side_with_what_they_have_in_common_marked(the: Scene) -> None:
    found = looked(the)
    text = page(the, f"/leakage/{found.pk}/0/").content.decode()
    assert f"<mark>{ARTICLE.split('.')[0]}" in text
    assert f"<mark>{ARTICLE.upper().split('.')[0]}" in text
    assert "100 % of one text is in the other" in " ".join(text.split())


def test_a_text_is_shown_and_never_run(the: Scene) -> None:
    with_texts(the, reference=REFERENCE)
    learnt(the, position=101, document_hash="d" * 64, target=f"<script>alert(1)</script> {REFERENCE}")
    found = looked(the)
    for position in range(found.findings.count()):
        assert "<script>alert(1)" not in page(the, f"/leakage/{found.pk}/{position}/").content.decode()


@pytest.mark.parametrize(
    "address", ["/leakage/999999/", "/leakage/{}/999/", "/leakage/{}/0/x", f"/leakage/{'9' * 30}/"]
)
def test_what_is_not_there_is_not_found(the: Scene, address: str) -> None:
    assert page(the, address.format(looked(the).pk)).status_code == 404


def test_a_check_without_a_find_says_so(db: None) -> None:
    the = scenes.scene()
    text = markup(page(the, f"/leakage/{check(release=the.candidate, evaluation_set=the.on).pk}/"))
    assert "Nothing of the test set was learnt" in text
    assert "none is known here" in text


def test_a_page_of_many_finds_takes_a_fixed_number_of_queries(
    the: Scene, django_assert_max_num_queries: Any
) -> None:
    for place in range(15):
        learnt(
            the, position=200 + place, document_hash=scenes.digest("many", place), source=f"{ARTICLE} {place}"
        )
    found = looked(the)
    client = Client()
    client.force_login(the.cast.approver)
    client.get(f"/leakage/{found.pk}/")
    with django_assert_max_num_queries(20):
        client.get(f"/leakage/{found.pk}/")


def test_a_release_that_is_blocked_for_it_shows_the_near_duplicates_where_the_plots_would_be(
    the: Scene,
) -> None:
    assert the.submitted().state == "blocked"
    shown = markup(page(the, f"/releases/{the.candidate.pk}/"))
    assert "1 test document the model has seen" in " ".join(shown.split())
    found = LeakageCheck.objects.latest("pk")
    assert f"/leakage/{found.pk}/0/" in shown
    assert f"snapshot {the.snapshot.pk}" in shown
    assert "What has to happen" in shown
    assert "Leave these documents out of the training data" in shown
    for plot in ("Document by document", "difference by slice"):
        assert plot not in shown
    assert "Leakage: " in shown
    assert "(fail)" not in shown[: shown.index("Read nine documents")], "in words, not in the gates' own"
