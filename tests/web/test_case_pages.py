"""Behavioural cases on their pages: written, edited, retired, begun from a complaint, run by releases."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import TooManyFieldsSent
from django.test import Client

from models_app.cases import queries
from models_app.cases.running import missing_runs, run_cases
from models_app.cases.writing import edit_case, retire_case
from models_app.evaluation.running import start_evaluation
from models_app.ml.engines import GenerationRequest
from models_app.models import CaseRun, CaseSet, CaseVersion, ClientFeedback, InferenceRequest, Job, Release
from models_app.releases.hands import involved
from reviews.models import FeedbackExample
from tests import make
from tests.cases import scene
from tests.pages import markup
from tests.releases import scene as release_scenes
from tests.releases.scene import evaluation_set

pytestmark = pytest.mark.django_db


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def mila(cast: make.Cast) -> Client:
    return signed_in(cast.ml_engineer)


def form(case_set: CaseSet | None, **fields: Any) -> dict[str, Any]:
    values = {
        "case_set": case_set.pk if case_set else "Acceptance",
        "title": "Old pier closes",
        "article": scene.ARTICLE,
        "domain": "news",
        "row": ["0", "1"],
        "a0-kind": "contains",
        "a0-text": "140",
        "a1-kind": "length",
        "a1-most": "60",
    }
    return {**values, **fields}


def evaluated(release: Release) -> None:
    run = start_evaluation(release=release, evaluation_set=evaluation_set(2), actor=None, deliver=False)
    assert make.carried_out(run.job).state == "succeeded"  # type: ignore[arg-type]


# ---------------------------------------------------------------- writing


def test_a_case_is_written_and_the_first_one_makes_its_set(mila: Client) -> None:
    assert "No cases yet" in markup(mila.get("/cases/"))
    page = markup(mila.get("/cases/new/"))
    assert "it is made with this case" in page
    answer = mila.post("/cases/new/", form(None, must_pass="on"))
    case = CaseVersion.objects.get()
    assert answer["Location"] == f"/cases/{case.set_version.case_set_id}/1/"
    assert (case.must_pass, case.title, str(case.set_version)) == (
        True,
        "Old pier closes",
        "Acceptance version 1",
    )
    assert case.assertions == [
        {"kind": "contains", "text": "140", "match_case": False},
        {"kind": "length", "most": 60},
    ]
    page = markup(mila.get(answer["Location"]))
    assert "contains “140”" in page
    assert "must pass" in page


def test_a_set_is_named_on_its_page(mila: Client) -> None:
    assert mila.post("/cases/sets/new/", {"name": "Robustness"}).status_code == 302
    again = mila.post("/cases/sets/new/", {"name": "Robustness"})
    assert again.status_code == 422
    assert "Another set has this name" in markup(again)


def test_rows_of_assertions_come_and_go_without_losing_what_was_typed(mila: Client) -> None:
    the = scene.case_set()
    asked = form(the, add="1", add_kind="golden answer", title="Half <written>")
    page = markup(mila.post("/cases/new/", asked))
    assert 'name="a2-answer"' in page
    assert "Half &lt;written&gt;" in page
    assert 'value="140"' in page
    assert "This field is required" not in page
    fragment = mila.post("/cases/new/", asked, headers={"HX-Request": "true"})
    assert markup(fragment).lstrip().startswith("<section")
    page = markup(mila.post("/cases/new/", form(the, remove="0")))
    assert 'name="a0-text"' not in page
    assert 'name="a1-most"' in page
    assert not CaseVersion.objects.exists()


def test_what_is_wrong_is_told_at_its_field(mila: Client) -> None:
    the = scene.case_set()
    answer = mila.post("/cases/new/", form(the, **{"a0-kind": "number", "a0-number": "141"}))
    assert answer.status_code == 422
    assert "The article does not have the number 141" in markup(answer)
    answer = mila.post("/cases/new/", form(the, article="Too short."))
    assert (answer.status_code, "an article has at least 20" in markup(answer)) == (422, True)
    answer = mila.post("/cases/new/", form(the, row=[]))
    assert (answer.status_code, "at least one assertion" in markup(answer)) == (422, True)
    assert not CaseVersion.objects.exists()


HOSTILE: list[dict[str, Any]] = [
    {"row": ["x"]},
    {"row": ["99999999999"]},
    {"row": ["-1"]},
    {"row": ["0"] * 500},
    {"a0-kind": "nothing"},
    {"a1-most": "9" * 400},
    {"a1-most": "NaN"},
    {"a1-most": "-1"},
    {"a0-text": "\0"},
    {"a0-text": "x" * 1_000_000},
    {"article": "\0" * 5000},
    {"case_set": "9" * 30},
    {"case_set": "\0"},
    {"title": "x" * 5000},
]


@pytest.mark.parametrize("fields", HOSTILE)
def test_hostile_forms_are_refused(mila: Client, fields: dict[str, Any]) -> None:
    answer = mila.post("/cases/new/", {**form(scene.case_set()), **fields})
    assert answer.status_code == 422
    assert not CaseVersion.objects.exists()


def test_what_no_text_contains_is_cleaned_away(mila: Client) -> None:
    the = scene.case_set()
    mila.post("/cases/new/", form(the, title="Old\0 \u200bpier", **{"a0-text": "1\u200b40"}))
    case = CaseVersion.objects.get()
    assert (case.title, case.assertions[0]["text"]) == ("Old pier", "140")


def test_a_forged_origin_is_dropped(mila: Client) -> None:
    the = scene.case_set()
    mila.post("/cases/new/", form(the, origin="javascript:alert(1)"))
    assert CaseVersion.objects.get().origin == ""


def test_too_many_fields_are_refused(mila: Client) -> None:
    answer = mila.post("/cases/new/", form(scene.case_set(), **{f"x{n}": "" for n in range(6000)}))
    assert answer.status_code == 400, TooManyFieldsSent


def test_an_edit_is_a_new_version_and_the_page_has_the_history(mila: Client) -> None:
    the = scene.case_set()
    case = scene.add(the)
    path = f"/cases/{the.pk}/1/edit/"
    assert 'value="140"' in markup(mila.get(path))
    sent = form(None, newest=case.pk, reason="Stricter.", **{"a1-most": "30"})
    assert mila.post(path, sent)["Location"] == f"/cases/{the.pk}/1/"
    page = markup(mila.get(f"/cases/{the.pk}/1/"))
    assert "“Stricter.”" in page
    assert "mila" in page
    stale = mila.post(path, {**sent, "a1-most": "20"})
    assert stale.status_code == 422
    assert "edited meanwhile" in markup(stale)
    without = mila.post(path, {**sent, "reason": ""})
    assert without.status_code == 422
    assert str(queries.version_of(the)) == "Acceptance version 2"
    first = markup(mila.get(f"/cases/{the.pk}/?version=1"))
    assert "not the newest" in first
    assert "at most 30 words" not in first
    assert "at most 30 words" in markup(mila.get(f"/cases/{the.pk}/"))
    assert mila.get(f"/cases/{the.pk}/?version=9").status_code == 422
    history = markup(mila.get(f"/cases/{the.pk}/history/"))
    assert "edited case 1" in history
    assert "Stricter." in history


def test_a_long_article_is_shown_without_marking_what_a_change_did(mila: Client) -> None:
    """Marking it would take a gigabyte for the longest."""
    the = scene.case_set()
    text = " ".join(f"word{n} and more" for n in range(16_000))
    scene.add(the, [{"kind": "upper case"}], article=text)
    page = markup(mila.get(f"/cases/{the.pk}/1/"))
    assert "WORD15999 AND MORE" in page
    assert "<ins>" not in page


def test_who_wrote_cases_has_no_hand_in_a_release_by_that() -> None:
    the = release_scenes.scene()
    writer = make.user("written", "ml engineer")
    signed_in(writer).post("/cases/new/", form(None))
    assert CaseVersion.objects.get().set_version.made_by == writer
    run_cases(
        release=the.candidate,
        versions=missing_runs(the.candidate),
        write=lambda articles: [GenerationRequest(text=text) for text, _, _ in articles],
        progress=lambda done, of: None,
    )
    assert CaseRun.objects.get().finished_at is not None
    assert writer.pk not in involved(the.candidate)


def test_a_case_is_retired_with_a_reason(mila: Client) -> None:
    the = scene.case_set("Acceptance", scene.draft(), scene.draft())
    for page in (f"/cases/{the.pk}/", f"/cases/{the.pk}/1/"):
        assert f'maxlength="{CaseSet.LONGEST_REASON}"' in markup(mila.get(page)), "what the box takes is kept"
    assert mila.post(f"/cases/{the.pk}/1/retire/", {"reason": ""}, follow=True).status_code == 200
    assert queries.version_of(the).cases == 2  # type: ignore[union-attr]
    mila.post(f"/cases/{the.pk}/1/retire/", {"reason": "Nobody needs it."})
    assert queries.version_of(the).cases == 1  # type: ignore[union-attr]
    page = markup(mila.get(f"/cases/{the.pk}/1/"))
    assert "retired" in page
    assert mila.get(f"/cases/{the.pk}/1/edit/").status_code == 409
    mila.post(f"/cases/{the.pk}/retire/", {"reason": "All of it."})
    assert "No cases in this version" in markup(mila.get(f"/cases/{the.pk}/"))


def test_others_look_and_do_not_write(cast: make.Cast) -> None:
    the = scene.case_set()
    case = scene.add(the)
    release = make.release()
    evaluated(release)
    run = CaseRun.objects.get()
    looking = ["/cases/", f"/cases/{the.pk}/", f"/cases/{the.pk}/history/", f"/cases/{the.pk}/1/",
               f"/cases/runs/{run.pk}/", f"/cases/releases/{release.pk}/"]  # fmt: skip
    writing = ["/cases/sets/new/", "/cases/new/", f"/cases/{the.pk}/retire/", f"/cases/{the.pk}/1/edit/",
               f"/cases/{the.pk}/1/retire/", f"/cases/releases/{release.pk}/run/"]  # fmt: skip
    for person, looks in (
        (cast.approver, 200),
        (cast.operator, 200),
        (cast.reviewer, 403),
        (cast.stranger, 403),
    ):
        client = signed_in(person)
        assert {client.get(path).status_code for path in looking} == {looks}
        assert {client.post(path, {"reason": "x"}).status_code for path in writing} == {403}
        if looks == 200:
            assert f"/cases/{the.pk}/1/edit/" not in markup(client.get(f"/cases/{the.pk}/1/"))
    assert queries.version_of(the).number == case.set_version.number  # type: ignore[union-attr]


# ---------------------------------------------------------------- begun with one button


def test_a_complaint_becomes_a_case_with_one_button(cast: make.Cast, mila: Client) -> None:
    request = InferenceRequest.objects.create(
        text=scene.ARTICLE, text_hash="x", summary="410 piles are rotten.", outcome="ok"
    )
    ClientFeedback.objects.create(
        request=request,
        stars=1,
        comment="The number of piles is wrong.",
        edited_summary="140 piles are rotten.",
    )
    document = make.document(scene.ARTICLE)
    summary = make.summary(document, "410 piles are rotten.", request_id=request.pk)
    item = make.queue_item(summary, note="The number of piles is wrong.")
    page = markup(mila.get(f"/queues/{item.queue.slug}/items/{item.pk}/"))
    button = f"/documents/{document.pk}/case/?item={item.pk}"
    assert button in page
    page = markup(mila.get(button))
    assert "Anna Berg, the mayor" in page
    assert f'value="queueitem:{item.pk}"' in page
    for field in ('name="a0-text" value="410"', 'name="a1-number" value="140"', "140 piles are rotten."):
        assert field in page
    sent = form(None, origin=f"queueitem:{item.pk}", **{"a0-kind": "lacks", "a0-text": "410"})
    assert mila.post("/cases/new/", sent).status_code == 302
    assert CaseVersion.objects.get().origin == f"queueitem:{item.pk}"


def test_a_summary_and_a_document_become_a_case(mila: Client) -> None:
    document = make.document(scene.ARTICLE)
    summary = make.summary(document, "Otto Kern closes 410 piers.")
    shown = markup(mila.get(f"/documents/{document.pk}/"))
    assert f"/documents/{document.pk}/case/?summary={summary.pk}" in shown
    page = markup(mila.get(f"/documents/{document.pk}/case/?summary={summary.pk}"))
    assert 'value="410"' in page
    assert "by heart" in page, "the document is of the training split"
    page = markup(mila.get(f"/documents/{document.pk}/case/"))
    assert 'value="answer"' in page
    other = make.summary(make.document())
    for wrong in (f"summary={other.pk}", "summary=x", "item=1", "example=999999999999999999999"):
        assert mila.get(f"/documents/{document.pk}/case/?{wrong}").status_code == 404


def test_a_feedback_example_becomes_a_case_with_its_golden_answer(mila: Client) -> None:
    document = make.document(scene.ARTICLE, split="validation")
    example = FeedbackExample.objects.create(
        document=document, summary=make.summary(document), target="140 piles are rotten.", kind="demonstration",
        origin="reference", state="approved",
    )  # fmt: skip
    button = f"/documents/{document.pk}/case/?example={example.pk}"
    assert button in markup(mila.get(f"/feedback/{example.pk}/"))
    page = markup(mila.get(button))
    assert "140 piles are rotten.</textarea>" in page
    assert "by heart" not in page


@pytest.mark.parametrize("who", ["reviewer", "approver", "operator", "stranger"])
def test_others_have_no_such_button(cast: make.Cast, who: str) -> None:
    document = make.document()
    client = signed_in(getattr(cast, who))
    assert client.get(f"/documents/{document.pk}/case/").status_code == 403
    if who != "stranger":
        assert "Make it a case" not in markup(client.get(f"/documents/{document.pk}/"))


# ---------------------------------------------------------------- results


def test_a_run_shows_article_output_and_what_failed_with_what_passed_before_first(mila: Client) -> None:
    the = scene.case_set()
    scene.add(the, scene.FAILS)
    scene.add(the)
    third = scene.add(the, [{"kind": "lacks", "text": "piles"}])
    live = make.put_live(make.release())
    evaluated(live)
    run = CaseRun.objects.get()
    page = markup(mila.get(f"/cases/runs/{run.pk}/"))
    assert "1 of 3 cases pass" in page
    assert "“northern quay” is missing." in page
    assert "Ferries to the islands" in page
    assert "140 of its piles are rotten." in page
    assert "Case 2" not in markup(mila.get(f"/cases/runs/{run.pk}/?show=failing"))
    assert page.index("Case 1") < page.index("Case 3") < page.index("Case 2"), "what fails comes first"
    retire_case(case=third, reason="Too hard.", actor=None)
    edited = markup(mila.get(f"/cases/runs/{run.pk}/"))
    assert "Case 3" in edited, "what was run stays"


def test_what_passed_before_and_fails_now_comes_first(mila: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from models_app.engines import ReleaseEngine

    the = scene.case_set("Acceptance", scene.draft(scene.FAILS), scene.draft())
    evaluated(make.put_live(make.release()))
    write = ReleaseEngine.write

    def worse(self: Any, articles: Any) -> Any:
        from dataclasses import replace

        return [replace(one, text=one.text.replace("140", "410")) for one in write(self, articles)]

    monkeypatch.setattr(ReleaseEngine, "write", worse)
    candidate = make.release()
    evaluated(candidate)
    page = markup(mila.get(f"/cases/runs/{CaseRun.objects.get(release=candidate).pk}/"))
    assert "1 case passed with" in page
    assert page.index("Case 2") < page.index("Case 1")
    assert "passed before" in page
    shown = markup(mila.get(f"/cases/{the.pk}/"))
    assert f"Release {candidate.pk}" in shown


def test_a_release_has_its_runs_on_a_page_and_what_is_missing(mila: Client) -> None:
    the = scene.case_set("Acceptance", scene.draft())
    release = make.release()
    path = f"/cases/releases/{release.pk}/"
    assert f'href="{path}"' in markup(mila.get(f"/releases/{release.pk}/"))
    page = markup(mila.get(path))
    assert "Not run on" in page
    assert mila.post(f"{path}run/").status_code == 302
    job = Job.objects.get(kind="run_cases")
    assert "being run" in markup(mila.get(path))
    make.carried_out(job)
    page = markup(mila.get(path))
    assert "1 of 1" in page
    assert "Not run on" not in page
    assert "newest version of every set" in markup(mila.post(f"{path}run/", follow=True))
    case = queries.cases_of(queries.version_of(the)).get()
    edit_case(case=case, draft=scene.draft(), reason="Changed.", actor=None)
    assert "Not run on" in markup(mila.get(path))


def test_lists_ask_the_same_number_of_questions(mila: Client, django_assert_num_queries: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    the = scene.case_set("Acceptance", scene.draft(), scene.draft())
    release = make.release()
    evaluated(release)
    run = CaseRun.objects.get()
    paths = ["/cases/", f"/cases/{the.pk}/", f"/cases/{the.pk}/history/", f"/cases/runs/{run.pk}/"]
    counts = []
    for path in paths:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            mila.get(path)
        counts.append(len(asked))
    for _ in range(6):
        scene.add(the)
    scene.case_set("Another", scene.draft())
    evaluated(release)
    newer = CaseRun.objects.filter(set_version__case_set=the).latest("pk")
    paths[-1] = f"/cases/runs/{newer.pk}/"
    for path, count in zip(paths, counts, strict=True):
        with django_assert_num_queries(count):
            mila.get(path)
