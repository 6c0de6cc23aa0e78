"""The evidence of a release on its page: verdict, gates, nine documents, what changes, where it comes from."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from models_app.evidence.envelope import fingerprint
from models_app.evidence.keys import public_key
from models_app.gates.results import Result, Verdict
from models_app.gates.running import Finding
from models_app.models import EvaluationExample, ExampleScore, GateResult
from models_app.web.releases import gates_at_a_glance, nine_documents
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def the(request: pytest.FixtureRequest) -> Scene:
    cache.clear()
    return scenes.waiting() if "waiting" in request.fixturenames else scene()


@pytest.fixture
def waiting(the: Scene) -> Scene:
    return the


def page(user: Any, the: Scene) -> str:
    answer: Any = signed_in(user).get(f"/releases/{the.candidate.pk}/")
    assert answer.status_code == 200
    return markup(answer)


def words(shown: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", shown).split())


def test_the_page_says_first_what_is_asked_and_what_the_evidence_says(waiting: Scene) -> None:
    said = words(page(waiting.cast.approver, waiting))
    for one in (
        "Improved. Closer to the references.", "mila asks for it", "Learnt from 3 corrections.",
        "Weigh before you sign", "Gates", "Slices", "Document by document", "Read nine documents", "What changes",
        "Decide", "Where it comes from", "Who did what", "Take it with you",
    ):  # fmt: skip
        assert one in said, one
    order = [
        "Weigh before you sign",
        "Read nine documents",
        "What changes",
        "Where it comes from",
        "Who did what",
    ]
    assert sorted(order, key=said.index) == order


def test_nine_documents_stand_in_three_groups_in_clean_text(waiting: Scene) -> None:
    shown = page(waiting.cast.approver, waiting)
    assert len(re.findall(r'<article class="ev-doc"', shown)) == 9
    assert "drawn from the middle third, seed 7" in shown
    assert shown.count(scenes.WRITTEN) >= 18


def flagged(example: EvaluationExample, old: str, new: str) -> tuple[str, str]:
    then, now = (nine_documents.Lacking.of(example.source, text) for text in (old, new))
    return nine_documents._flag(example, old, new, then, now)


def marked(source: str, summary: str) -> str:
    return nine_documents._with_what_is_new(summary, nine_documents.Lacking.of(source, summary))


def test_a_number_that_the_article_lacks_is_flagged_marked_and_weighed(the: Scene) -> None:
    document = the.comparison.reading["documents"][0][1]
    example = ExampleScore.objects.get(run=the.comparison.candidate, example=document).example
    flag, tone = flagged(example, "The pier closes.", "Some 4,711 piles are rotten.")
    assert (flag, tone) == ("New number that the article lacks: 4,711", "bad")
    assert 'class="sus">4,711' in marked(example.source, "Some 4,711 piles are rotten.")
    assert flagged(example, "Some 4,711 piles.", "The pier closes.")[1] == "ok"
    assert flagged(example, "The pier closes.", " ") == ("No summary at all", "bad")


def test_texts_are_never_markup(the: Scene) -> None:
    example = ExampleScore.objects.filter(run=the.comparison.candidate).first().example  # type: ignore[union-attr]
    example.source = "<script>alert(1)</script> 12 piles. " * 40
    for made in (
        nine_documents._article(example, "12 <b>piles", "<i>none"), marked("x", "<b>99</b>"),
        nine_documents._difference("<b>one", "<i>two"),
    ):  # fmt: skip
        assert not re.search(r"<(?!/?(?:mark|ins|del|span)\b)", made), made


def test_the_public_key_is_on_the_page(waiting: Scene) -> None:
    shown = page(waiting.cast.approver, waiting)
    assert public_key() in shown
    assert fingerprint(public_key()) in shown


def test_a_draft_that_nobody_compared_has_a_page_too(the: Scene) -> None:
    assert signed_in(the.cast.approver).get(f"/releases/{the.live.pk}/").status_code == 200


def test_what_it_waits_for_stands_beside_the_verdict(the: Scene) -> None:
    scenes.small_policy(guards={"least_documents": 100})
    the.submitted()
    said = words(page(the.cast.ml_engineer, the))
    first = said[: said.index("Gates policy")]
    assert "What stands in the way Guard metrics: ROUGE-1 is inconclusive" in first
    assert "Run the gates again" in first
    assert "Weigh before you sign" not in said


def test_only_who_decides_is_asked_to_weigh(waiting: Scene) -> None:
    assert "Weigh before you sign" in page(waiting.cast.approver, waiting)
    assert "What speaks against it" in page(waiting.cast.ml_engineer, waiting)


def test_a_loss_that_stands_in_the_table_is_told_once() -> None:
    worse = scene(before=0.16, after=0.10)
    worse.submitted()
    said = words(page(worse.cast.approver, worse))
    beside = said[said.index("What stands in the way") : said.index("Gates policy")]
    assert beside.count("ROUGE-2") == 1
    assert "fell by" in said[: said.index("What stands in the way")], "the comparison's own sentence"
    assert "Primary metric: ROUGE-2 fell" not in said[: said.index("Gates policy")]


def test_on_paper_there_is_an_address_for_the_paths_beside_links(waiting: Scene) -> None:
    shown = page(waiting.cast.approver, waiting)
    assert f"http://testserver/releases/{waiting.candidate.pk}/, as ada saw it on" in " ".join(shown.split())
    assert re.search(r"<button[^>]*data-print hidden", shown), "which does nothing without script"


def test_more_documents_ask_no_more_statements(waiting: Scene) -> None:
    """How long it takes for 11,490 documents is in benchmarks/evidence_page_speed.py."""
    with CaptureQueriesContext(connection) as caught:
        page(waiting.cast.approver, waiting)
    texts = [one["sql"] for one in caught if '"models_app_examplescore"' in one["sql"]]
    assert len(texts) == 1, "the nine documents, by their numbers"


# ---------------------------------------------------------------- gates at a glance


def finding(gate: str, verdict: str, **fields: Any) -> Finding:
    result = Result(gate, fields.pop("name", ""), Verdict(verdict), "Words.", "a need", "counted", **fields)
    return Finding(GateResult(position=fields.pop("position", 0), **result.as_json()), None, None, "")


def test_what_does_not_pass_comes_first_and_passes_are_told_by_their_worst_row() -> None:
    rows = gates_at_a_glance.gate_rows(
        [
            finding("integrity", "pass"),
            finding("guards", "pass", name="rouge1", estimate=2.0, low=1.0, high=3.0, threshold=-1.0),
            finding("guards", "pass", name="repetition", estimate=0.5, low=0.0, high=0.9, threshold=1.0),
            finding(
                "slices",
                "inconclusive",
                name="domain: news",
                estimate=-0.4,
                low=-2.1,
                high=1.3,
                threshold=-1.5,
            ),
            finding("leakage", "fail"),
            finding("cases", "error"),
        ],
        release=1,
    )
    assert [row.state for row in rows] == ["fail", "error", "inconclusive", "pass", "pass"]
    assert rows[-1].label == "guards, worst of 2"
    assert rows[-1].needs == "under 1"
    assert rows[2].needs == "over −1.5"
    assert rows[2].note == "Words."
    assert not rows[0].bar, "what is counted has no picture"


@pytest.mark.parametrize(
    ("low", "high", "threshold"), [(0.0, 0.0, 0.0), (-1e12, 1e12, 0.0), (1.0, 2.0, -50.0)]
)
def test_a_bar_stays_within_its_cell(low: float, high: float, threshold: float) -> None:
    row = gates_at_a_glance.gate_rows(
        [
            finding(
                "primary",
                "pass",
                name="rouge2",
                estimate=(low + high) / 2,
                low=low,
                high=high,
                threshold=threshold,
            )
        ],
        release=1,
    )[0]
    places = [float(place) for place in re.findall(r'="(-?[\d.]+)%"', str(row.bar))]
    assert places
    assert all(0 <= place <= 100 for place in places)


def test_a_difference_on_the_clean_subset_is_not_what_leakage_is_told_by() -> None:
    clean = {"estimate": 6.0, "low": 5.0, "high": 7.0, "threshold": 0.0, "unit": "points"}
    passing = [finding("leakage", "pass"), finding("leakage", "pass", name="clean", **clean)]
    row = gates_at_a_glance.gate_rows(passing, release=1)[0]
    assert (row.words, row.bar) == ("all 2 rows pass", "")
    open_row = gates_at_a_glance.gate_rows(
        [finding("leakage", "inconclusive", name="clean", **clean)], release=1
    )[0]
    assert open_row.needs == "over 0"
