from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import Client

from models_app.evidence.envelope import check
from models_app.evidence.keys import public_key
from models_app.models import Approval, Job, Release
from models_app.models.releases import Environment
from models_app.prompts.versions import create_version
from models_app.releases.composing import compose_release, lead_release, withdraw_release
from models_app.releases.deploying import go_live, roll_back
from tests import make
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene, scene

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_rates_from_other_tests() -> None:
    cache.clear()


@pytest.fixture
def the(request: pytest.FixtureRequest) -> Scene:
    return scenes.waiting() if "waiting" in request.fixturenames else scene()


@pytest.fixture
def waiting(the: Scene) -> Scene:
    return the


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(user: Any, path: str) -> str:
    answer = signed_in(user).get(path)
    assert answer.status_code == 200, answer.status_code
    return markup(answer)


def decide(the: Scene, user: Any, **values: Any) -> Any:
    digest = Release.objects.values_list("evidence_digest", flat=True).get(pk=the.candidate.pk)
    data = {
        "decision": "approve",
        "reason": "Clear gain.",
        "password": make.PASSWORD,
        "evidence_digest": digest,
    }
    return signed_in(user).post(f"/releases/{the.candidate.pk}/decide/", {**data, **values})


def state(the: Scene) -> str:
    return Release.objects.values_list("state", flat=True).get(pk=the.candidate.pk)


# ---------------------------------------------------------------- who sees what


@pytest.mark.parametrize(
    ("who", "sees"),
    [("ml_engineer", True), ("approver", True), ("operator", True), ("administrator", True),
     ("reviewer", False), ("stranger", False)],
)  # fmt: skip
def test_releases_are_for_those_who_see_models(waiting: Scene, who: str, sees: bool) -> None:
    client = signed_in(getattr(waiting.cast, who))
    for path in (
        "/releases/",
        f"/releases/{waiting.candidate.pk}/",
        f"/releases/{waiting.candidate.pk}/evidence.json",
    ):
        assert client.get(path).status_code == (200 if sees else 403), path


@pytest.mark.parametrize("who", ["approver", "operator", "reviewer", "stranger"])
def test_only_engineers_compose_and_withdraw(the: Scene, who: str) -> None:
    client = signed_in(getattr(the.cast, who))
    assert client.get("/releases/new/").status_code == 403
    assert client.post("/releases/new/", {}).status_code == 403
    assert client.post(f"/releases/{the.candidate.pk}/withdraw/", {"reason": "x"}).status_code == 403
    assert state(the) == "draft"


@pytest.mark.parametrize("who", ["ml_engineer", "operator", "reviewer", "stranger"])
def test_only_approvers_decide(waiting: Scene, who: str) -> None:
    assert decide(waiting, getattr(waiting.cast, who)).status_code == 403
    assert state(waiting) == "awaiting approval"


def test_nothing_is_shown_without_signing_in(waiting: Scene) -> None:
    for path in ("/releases/", f"/releases/{waiting.candidate.pk}/"):
        assert Client().get(path).status_code == 302
    assert Client().post(f"/releases/{waiting.candidate.pk}/decide/").status_code == 302


# ---------------------------------------------------------------- the list


def test_what_waits_comes_first(waiting: Scene) -> None:
    newer = compose_release(
        model_version=waiting.model, prompt_version=scenes.chat_prompt(), decoding={"beams": 4}, origin="decoding",
        actor=waiting.cast.ml_engineer,
    )  # fmt: skip
    lead = lead_release()
    listed = page(waiting.cast.approver, "/releases/")
    order = [listed.index(f"Release {pk}<") for pk in (waiting.candidate.pk, waiting.live.pk, newer.pk)]
    assert order == sorted(order)
    assert f"Release {lead.pk}<" not in listed
    assert f"Release {lead.pk}<" in page(waiting.cast.approver, "/releases/?show=all")
    assert "0 of 1" in listed


def test_the_list_asks_a_fixed_number_of_questions(the: Scene, django_assert_max_num_queries: Any) -> None:
    for beams in range(2, 14):
        compose_release(
            model_version=the.model, prompt_version=scenes.chat_prompt(), decoding={"beams": beams}, origin="decoding",
            actor=the.cast.ml_engineer,
        )  # fmt: skip
    client = signed_in(the.cast.approver)
    with django_assert_max_num_queries(11):
        client.get("/releases/")


# ---------------------------------------------------------------- a release


def test_the_page_shows_what_a_decision_stands_on(waiting: Scene) -> None:
    shown = page(waiting.cast.approver, f"/releases/{waiting.candidate.pk}/")
    for words in (
        "waits for approval", "improved", "ROUGE-2", f"Training {waiting.model.training_run_id}", "0 of 1",
        "You did not request, train, register or evaluate it", "news summary v1, unchanged",
         "mila asked for approval", "Learnt from 3 corrections.",
    ):  # fmt: skip
        assert words in shown, words
    assert Release.objects.get(pk=waiting.candidate.pk).evidence_digest in shown


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("operator", "Your role does not approve releases."),
        ("ml_engineer", "Your role does not approve releases."),
    ],
)
def test_those_who_may_not_decide_are_told_why_and_get_no_form(waiting: Scene, who: str, why: str) -> None:
    shown = page(getattr(waiting.cast, who), f"/releases/{waiting.candidate.pk}/")
    assert why in shown
    assert 'value="approve"' not in shown


def test_an_approver_who_had_a_hand_in_it_is_told_which(waiting: Scene) -> None:
    waiting.cast.reviewer.groups.add(Group.objects.get(name="approver"))
    shown = page(waiting.cast.reviewer, f"/releases/{waiting.candidate.pk}/")
    assert "You curated its data, so somebody else has to decide." in shown
    assert decide(waiting, waiting.cast.reviewer).status_code == 403


def test_the_questions_a_page_asks_do_not_grow_with_its_history(
    waiting: Scene, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(waiting.cast.approver)
    with django_assert_max_num_queries(44):
        client.get(f"/releases/{waiting.candidate.pk}/")


def test_a_new_prompt_is_shown_as_a_word_difference(the: Scene) -> None:
    first = scenes.chat_prompt()
    version = create_version(
        prompt=first.prompt,
        template=first.template.replace("three", "two"),
        parent=first,
        actor=the.cast.ml_engineer,
    )
    release = compose_release(
        model_version=the.live.model_version, prompt_version=version, decoding={"max_words": 45}, origin="prompt",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    shown = page(the.cast.approver, f"/releases/{release.pk}/")
    assert "<del>three</del>" in shown
    assert "<ins>two</ins>" in shown
    assert 'Words asked for: <del class="num">60</del> <ins class="num">45</ins>' in shown
    assert "unchanged" in shown, "the weights"
    assert "news summary v2" in shown


def test_article_text_and_reasons_are_never_markup(waiting: Scene) -> None:
    decide(waiting, waiting.cast.approver, decision="reject", reason="<script>alert(1)</script>")
    shown = page(waiting.cast.approver, f"/releases/{waiting.candidate.pk}/")
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_the_evidence_is_a_file_that_says_whether_it_holds(waiting: Scene) -> None:
    answer = signed_in(waiting.cast.approver).get(f"/releases/{waiting.candidate.pk}/evidence.json")
    assert "attachment" in answer["Content-Disposition"]
    decision = check(answer.content, key=public_key()).document["decision"]
    assert (decision["holds"], decision["evidence"]["comparison"]["verdict"]) == (True, "improved")


def test_a_missing_release_is_not_found(the: Scene) -> None:
    assert signed_in(the.cast.approver).get("/releases/999999/").status_code == 404


# ---------------------------------------------------------------- composing


def form(the: Scene, **values: Any) -> dict[str, Any]:
    return {
        "model_version": the.model.pk, "prompt_version": scenes.chat_prompt().pk, "max_words": 50,
        "max_new_tokens": 96, "min_new_tokens": 0, "max_input_tokens": 420, "beams": 1, "length_penalty": 1.0,
        "repetition_penalty": 1.1, "no_repeat_ngram": 0, "note": "Shorter.", **values,
    }  # fmt: skip


def test_the_form_starts_from_the_newest_model_and_what_is_live(the: Scene) -> None:
    answer = signed_in(the.cast.ml_engineer).get("/releases/new/")
    initial = answer.context["form"].initial
    assert (initial["model_version"], initial["prompt_version"]) == (the.model.pk, scenes.chat_prompt().pk)
    assert (initial["max_input_tokens"], initial["beams"]) == (420, 1)


def test_choosing_another_model_brings_its_defaults(the: Scene) -> None:
    client = signed_in(the.cast.ml_engineer)
    answer = client.get(
        f"/releases/new/?model_version={the.live.model_version_id}", headers={"HX-Request": "true"}
    )
    assert answer.context["form"].initial["max_input_tokens"] == 512
    assert "<html" not in markup(answer)
    assert 'id="release-fields"' in markup(answer)


def test_composing_makes_a_draft_and_leads_on_to_the_comparison(the: Scene) -> None:
    client = signed_in(the.cast.ml_engineer)
    answer = client.post("/releases/new/", form(the, evaluate="1"))
    release = Release.objects.latest("pk")
    assert (answer.status_code, answer["Location"]) == (302, f"/comparisons/new/?candidate={release.pk}")
    assert (release.state, release.note, release.created_by, release.origin) == (
        "draft",
        "Shorter.",
        the.cast.ml_engineer,
        "retraining",
    )
    assert release.decoding["max_words"] == 50
    again = client.post("/releases/new/", form(the))
    assert again["Location"] == f"/releases/{release.pk}/"


def test_what_is_live_already_is_said_instead_of_made(the: Scene) -> None:
    values = {**form(the), **the.live.decoding, "model_version": the.live.model_version_id}
    answer = signed_in(the.cast.ml_engineer).post("/releases/new/", values, follow=True)
    assert answer.redirect_chain[-1][0] == f"/releases/{the.live.pk}/"
    assert "is exactly this already; it is live" in markup(answer)


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_words", "2"), ("beams", "0"), ("repetition_penalty", "nan"), ("model_version", "0"), ("note", "x" * 301),
     ("max_new_tokens", ""), ("prompt_version", "'; DROP TABLE")],
)  # fmt: skip
def test_mistakes_in_the_form_are_shown_at_their_field(the: Scene, field: str, value: str) -> None:
    before = Release.objects.count()
    answer = signed_in(the.cast.ml_engineer).post("/releases/new/", form(the, **{field: value}))
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert Release.objects.count() == before


def test_an_ended_release_can_be_started_again_as_a_new_one(the: Scene) -> None:
    withdraw_release(release=the.candidate, actor=the.cast.ml_engineer, reason="Too early.")
    shown = page(the.cast.ml_engineer, f"/releases/{the.candidate.pk}/")
    assert f"/releases/new/?from={the.candidate.pk}" in shown
    assert "Too early." in shown
    answer = signed_in(the.cast.ml_engineer).get(f"/releases/new/?from={the.candidate.pk}")
    assert answer.context["form"].initial["model_version"] == the.model.pk
    assert f"?from={the.candidate.pk}" not in page(the.cast.approver, f"/releases/{the.candidate.pk}/")


# ---------------------------------------------------------------- drafts: what to do next


def test_a_draft_that_was_not_compared_is_sent_to_be(the: Scene) -> None:
    release = compose_release(
        model_version=the.model, prompt_version=scenes.chat_prompt(), decoding={"beams": 3}, origin="decoding",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    shown = page(the.cast.ml_engineer, f"/releases/{release.pk}/")
    assert f"/comparisons/new/?candidate={release.pk}" in shown
    assert "Submit for approval" not in shown
    Job.objects.create(kind="compare", subject=f"release:{release.pk}", phase="waiting for the evaluations")
    shown = page(the.cast.ml_engineer, f"/releases/{release.pk}/")
    assert "waiting for the evaluations" in shown
    assert 'hx-trigger="every 2s"' in shown


def test_a_draft_that_was_compared_can_be_submitted_from_its_page(the: Scene) -> None:
    client = signed_in(the.cast.ml_engineer)
    shown = markup(client.get(f"/releases/{the.candidate.pk}/"))
    assert f'action="/comparisons/{the.comparison.pk}/submit/"' in shown
    assert "every 2s" not in shown
    answer = client.post(f"/comparisons/{the.comparison.pk}/submit/", {"reason": "Numbers are right now."})
    assert answer["Location"] == f"/releases/{the.candidate.pk}/"
    assert state(the) == "evaluating"
    scenes.gates_done(the.candidate)
    assert state(the) == "awaiting approval"


def test_a_waiting_release_is_withdrawn_with_a_reason(waiting: Scene) -> None:
    client = signed_in(waiting.cast.ml_engineer)
    client.post(f"/releases/{waiting.candidate.pk}/withdraw/", {"reason": "A better one comes."})
    assert state(waiting) == "withdrawn"
    assert "A better one comes." in page(waiting.cast.approver, f"/releases/{waiting.candidate.pk}/")


# ---------------------------------------------------------------- deciding


def test_approving_on_the_page_starts_the_deployment(waiting: Scene) -> None:
    answer = decide(waiting, waiting.cast.approver)
    assert (answer.status_code, answer["Location"]) == (302, f"/releases/{waiting.candidate.pk}/#main")
    assert state(waiting) == "warming"
    shown = page(waiting.cast.approver, f"/releases/{waiting.candidate.pk}/")
    assert "is warming up" in shown
    assert 'hx-trigger="every 2s"' in shown
    go_live(release=Release.objects.get(pk=waiting.candidate.pk))
    shown = page(waiting.cast.approver, f"/releases/{waiting.candidate.pk}/")
    assert "live now" in shown
    assert "every 2s" not in shown, "nothing moves any more"


def test_rejecting_on_the_page_ends_it(waiting: Scene) -> None:
    decide(waiting, waiting.cast.approver, decision="reject", reason="Invents names.")
    assert state(waiting) == "rejected"
    shown = page(waiting.cast.ml_engineer, f"/releases/{waiting.candidate.pk}/")
    assert "Invents names." in shown
    assert "Start again as a new release" in shown


@pytest.mark.parametrize(
    ("values", "field"),
    [({"password": "wrong"}, "password"), ({"password": ""}, "password"), ({"reason": "  "}, "reason"),
     ({"reason": "x" * 2001}, "reason")],
)  # fmt: skip
def test_mistakes_are_shown_at_their_field_and_what_was_typed_stays(
    waiting: Scene, values: dict[str, str], field: str
) -> None:
    answer = decide(waiting, waiting.cast.approver, **values)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    shown = markup(answer)
    assert values.get("reason", "Clear gain.").strip() in shown
    assert make.PASSWORD not in shown
    assert (state(waiting), Approval.objects.count()) == ("awaiting approval", 0)


def test_a_decision_on_evidence_that_changed_is_refused_with_the_page_as_it_is_now(waiting: Scene) -> None:
    answer = decide(waiting, waiting.cast.approver, evidence_digest="0" * 64)
    assert answer.status_code == 409
    shown = markup(answer)
    assert "The evidence has changed since you opened this page" in shown
    assert "Clear gain." in shown
    assert answer.context["form"]["evidence_digest"].value() == waiting.candidate.evidence_digest


def test_when_something_else_went_live_the_page_says_what_to_do(waiting: Scene) -> None:
    newer = scenes.made_live(
        compose_release(
            model_version=waiting.live.model_version, prompt_version=scenes.chat_prompt(), decoding={"beams": 4},
            origin="decoding", actor=None,
        )
    )  # fmt: skip
    shown = page(waiting.cast.approver, f"/releases/{waiting.candidate.pk}/")
    assert f"Release {newer.pk} went live after" in shown
    assert 'value="approve" disabled' in shown
    assert decide(waiting, waiting.cast.approver).status_code == 409
    engineer = page(waiting.cast.ml_engineer, f"/releases/{waiting.candidate.pk}/")
    assert f"/comparisons/new/?candidate={waiting.candidate.pk}&amp;baseline={newer.pk}" in engineer
    release = Release.objects.get(pk=waiting.candidate.pk)
    comparison = scenes.compared(release, newer, waiting.on)
    assert "Submit again" in page(waiting.cast.ml_engineer, f"/releases/{waiting.candidate.pk}/")
    assert f"/comparisons/{comparison.pk}/submit/" in page(
        waiting.cast.ml_engineer, f"/comparisons/{comparison.pk}/"
    )
    signed_in(waiting.cast.ml_engineer).post(
        f"/comparisons/{comparison.pk}/submit/", {"reason": "Compared again."}
    )
    scenes.gates_done(release)
    assert decide(waiting, waiting.cast.approver).status_code == 302
    assert state(waiting) == "warming"


def test_the_first_of_two_approvals_is_shown(waiting: Scene) -> None:
    waiting.approvers_needed(2)
    decide(waiting, waiting.cast.approver, reason="Numbers are right now.")
    shown = page(waiting.cast.another_approver, f"/releases/{waiting.candidate.pk}/")
    assert "1 of 2 approvals" in shown
    assert "Numbers are right now." in shown
    assert "You have decided already" in page(waiting.cast.approver, f"/releases/{waiting.candidate.pk}/")
    decide(waiting, waiting.cast.another_approver)
    assert state(waiting) == "warming"


@pytest.mark.slow
def test_a_password_cannot_be_guessed_on_the_page(waiting: Scene) -> None:
    statuses = [decide(waiting, waiting.cast.approver, password="guess").status_code for _ in range(12)]
    assert statuses[:8] == [422] * 8
    assert statuses[-1] == 429
    assert decide(waiting, waiting.cast.approver).status_code == 429, "even the right one waits now"
    assert decide(waiting, waiting.cast.another_approver).status_code == 302


def test_a_word_that_is_no_decision_is_refused(waiting: Scene) -> None:
    assert decide(waiting, waiting.cast.approver, decision="maybe").status_code == 422
    assert state(waiting) == "awaiting approval"


def test_a_rolled_back_release_says_why(waiting: Scene) -> None:
    decide(waiting, waiting.cast.approver)
    go_live(release=Release.objects.get(pk=waiting.candidate.pk))
    roll_back(
        environment=Environment.objects.get(name="production"),
        actor=waiting.cast.operator,
        reason="Names are wrong.",
    )
    shown = page(waiting.cast.operator, f"/releases/{waiting.candidate.pk}/")
    assert "was rolled back" in shown
    assert "Names are wrong." in shown


@pytest.mark.parametrize("raw", ["²", "-1", "0", "9" * 5000, "1e3", "x"])
def test_numbers_that_are_none_break_no_page(the: Scene, raw: str) -> None:
    engineer, auditor = signed_in(the.cast.ml_engineer), signed_in(the.cast.operator)
    assert engineer.get("/releases/", {"page": raw}).status_code == 422
    for path, names in (
        ("/releases/new/", ["from", "model_version", "prompt_version"]),
        ("/prompts/playground/", ["version", "parent", "document"]),
    ):
        for name in names:
            assert engineer.get(path, {name: raw}).status_code == 200, (path, name)
    assert auditor.get("/audit/", {"before": raw}).status_code == 200
