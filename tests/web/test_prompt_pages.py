from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app.models import Job, Prompt, PromptVersion, Release
from models_app.prompts.versions import create_version
from models_app.releases.composing import compose_release
from reviews.models import PromptSuggestion, PromptTrial, SourceDocument
from reviews.prompts.suggestions import suggest_prompt
from tests import make
from tests.pages import markup
from tests.releases import scene as scenes

pytestmark = pytest.mark.django_db

BETTER = "Summarize in three sentences and keep every number.\n\n{text}"


@pytest.fixture
def first(cast: make.Cast) -> PromptVersion:
    return PromptVersion.objects.select_related("prompt").get(prompt__name="news summary", number=1)


@pytest.fixture
def suggestion(cast: make.Cast, first: PromptVersion) -> PromptSuggestion:
    return suggest_prompt(
        document=make.document(), based_on=first, template=BETTER, output="140 piles are rotten.",
        note="Numbers went missing.", actor=cast.reviewer,
    )  # fmt: skip


@pytest.fixture
def live(cast: make.Cast, first: PromptVersion) -> Release:
    return scenes.made_live(
        compose_release(
            model_version=scenes.base_model(), prompt_version=first, decoding={"max_words": 55}, origin="initial",
            actor=None,
        )
    )  # fmt: skip


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(user: Any, path: str) -> str:
    answer = signed_in(user).get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return markup(answer)


# ---------------------------------------------------------------- who


@pytest.mark.parametrize(
    ("who", "status"),
    [("reviewer", 200), ("ml_engineer", 200), ("approver", 200), ("operator", 200), ("administrator", 200),
     ("stranger", 403)],
)  # fmt: skip
def test_prompts_are_shown_to_those_who_work_with_them(
    cast: make.Cast, first: PromptVersion, suggestion: PromptSuggestion, who: str, status: int
) -> None:
    client = signed_in(getattr(cast, who))
    for path in (
        "/prompts/",
        "/prompts/?show=suggestions",
        "/prompts/?show=decided",
        f"/prompts/{first.prompt_id}/",
    ):
        assert client.get(path).status_code == status, path


@pytest.mark.parametrize("who", ["reviewer", "approver", "operator", "stranger"])
def test_others_do_not_write_or_decide(
    cast: make.Cast, first: PromptVersion, suggestion: PromptSuggestion, who: str
) -> None:
    client = signed_in(getattr(cast, who))
    for path in (
        "/prompts/new/", f"/prompts/{first.prompt_id}/new-version/",
        f"/prompts/suggestions/{suggestion.pk}/adopt/", f"/prompts/suggestions/{suggestion.pk}/decline/",
    ):  # fmt: skip
        assert client.post(path, {"template": "{text}", "reason": "x"}).status_code == 403, path
    shown = page(cast.reviewer, "/prompts/?show=suggestions")
    assert "Adopt" not in shown
    assert PromptVersion.objects.count() == 2


# ---------------------------------------------------------------- lists and history


def test_the_list_says_which_version_is_live_where(cast: make.Cast, live: Release) -> None:
    newer = create_version(
        prompt=live.prompt_version.prompt, template=BETTER, parent=live.prompt_version, actor=cast.ml_engineer
    )
    shown = page(cast.ml_engineer, "/prompts/")
    assert f"v1 · release {live.pk}, live" in shown
    assert "keep every number" in shown
    assert f"v{newer.number}, mila" in shown
    assert f'href="/releases/{live.pk}/"' not in page(cast.reviewer, "/prompts/"), (
        "reviewers can't open releases"
    )


def test_the_history_shows_each_change_by_words_with_its_credit(
    cast: make.Cast, first: PromptVersion, suggestion: PromptSuggestion
) -> None:
    signed_in(cast.ml_engineer).post(f"/prompts/suggestions/{suggestion.pk}/adopt/")
    shown = page(cast.ml_engineer, f"/prompts/{first.prompt_id}/")
    assert shown.index("Version 2") < shown.index("Version 1")
    assert "<ins>keep every number.</ins>" in shown.replace("  ", " ") or "<ins>" in shown
    assert "suggested by rita" in shown


def test_pages_ask_a_fixed_number_of_questions(
    cast: make.Cast, first: PromptVersion, live: Release, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        suggest_prompt(
            document=make.document(), based_on=first, template=f"{BETTER} {number}", actor=cast.reviewer
        )
        create_version(
            prompt=first.prompt, template=f"{number} {{text}}", parent=first, actor=cast.ml_engineer
        )
    client = signed_in(cast.ml_engineer)
    for path in ("/prompts/", "/prompts/?show=suggestions", f"/prompts/{first.prompt_id}/"):
        with django_assert_max_num_queries(14):
            client.get(path)


def test_a_version_has_an_address_of_its_own(cast: make.Cast, first: PromptVersion) -> None:
    answer = signed_in(cast.reviewer).get(f"/prompts/versions/{first.pk}/")
    assert answer["Location"] == f"/prompts/{first.prompt_id}/?page=1#v1"
    for number in range(25):
        create_version(
            prompt=first.prompt, template=f"{number} {{text}}", parent=first, actor=cast.ml_engineer
        )
    answer = signed_in(cast.reviewer).get(f"/prompts/versions/{first.pk}/")
    assert answer["Location"] == f"/prompts/{first.prompt_id}/?page=2#v1"


# ---------------------------------------------------------------- writing


def test_a_new_prompt_and_a_new_version(cast: make.Cast) -> None:
    client = signed_in(cast.ml_engineer)
    answer = client.post(
        "/prompts/new/",
        {"name": "ticker", "kind": "chat", "template": "One line:\r\n{text}", "note": "For screens."},
    )
    prompt = Prompt.objects.get(name="ticker")
    assert answer["Location"] == f"/prompts/{prompt.pk}/"
    first = prompt.versions.get()
    assert (first.template, first.note) == ("One line:\n{text}", "For screens.")
    client.post(
        f"/prompts/{prompt.pk}/new-version/",
        {"parent": first.pk, "template": "One short line:\r\n{text}", "system": "", "note": "Shorter."},
    )
    second = prompt.versions.get(number=2)
    assert (second.parent, second.created_by) == (first, cast.ml_engineer)
    again = client.post(
        f"/prompts/{prompt.pk}/new-version/",
        {"parent": second.pk, "template": "One line:\r\n{text}"},
        follow=True,
    )
    assert "These words are ticker v1 already." in markup(again)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"template": "no article"}, "template"),
        ({"template": "{text} {reader}"}, "template"),
        ({"template": ""}, "template"),
        ({"template": "x" * 8001}, "template"),
        ({"system": "about {text}"}, "system"),
        ({"note": "x" * 301}, "note"),
        ({"name": ""}, "name"),
        ({"name": "news summary"}, "name"),
        ({"kind": "riddle"}, "kind"),
    ],
)
def test_mistakes_are_shown_at_their_field(cast: make.Cast, values: dict[str, str], field: str) -> None:
    asked = {"name": "ticker", "kind": "chat", "template": "{text}", "system": "", "note": "", **values}
    answer = signed_in(cast.ml_engineer).post("/prompts/new/", asked)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert not Prompt.objects.filter(name="ticker").exists()


def test_variables_are_checked_while_one_types(cast: make.Cast) -> None:
    client = signed_in(cast.ml_engineer)
    right = client.post("/prompts/check/", {"kind": "chat", "template": "{max_words} words: {text}"})
    assert "{text}</code>, <code>{max_words}" in markup(right)
    wrong = client.post("/prompts/check/", {"kind": "chat", "template": "{text} for {reader}"})
    assert "Unknown variable" in markup(wrong)


# ---------------------------------------------------------------- suggestions


def test_a_suggestion_is_shown_with_who_where_what_and_what_came_of_it(
    cast: make.Cast, suggestion: PromptSuggestion
) -> None:
    shown = page(cast.ml_engineer, "/prompts/?show=suggestions")
    for words in (
        "rita",
        str(suggestion.document),
        "140 piles are rotten.",
        "Numbers went missing.",
        "<ins>",
    ):
        assert words in shown, words


def test_adopting_leads_to_the_version(cast: make.Cast, suggestion: PromptSuggestion) -> None:
    answer = signed_in(cast.ml_engineer).post(f"/prompts/suggestions/{suggestion.pk}/adopt/")
    suggestion.refresh_from_db()
    assert suggestion.adopted_as is not None
    assert answer["Location"] == f"/prompts/versions/{suggestion.adopted_as.pk}/"
    again = signed_in(cast.administrator).post(f"/prompts/suggestions/{suggestion.pk}/adopt/", follow=True)
    assert "decided already" in markup(again)
    assert "Adopted as" in page(cast.ml_engineer, "/prompts/?show=decided")


def test_declining_says_why(cast: make.Cast, suggestion: PromptSuggestion) -> None:
    client = signed_in(cast.ml_engineer)
    refused = client.post(f"/prompts/suggestions/{suggestion.pk}/decline/", {"reason": " "}, follow=True)
    assert "The reviewer is shown it." in markup(refused)
    client.post(f"/prompts/suggestions/{suggestion.pk}/decline/", {"reason": "Too long."})
    suggestion.refresh_from_db()
    assert (suggestion.state, suggestion.reason) == ("declined", "Too long.")


def test_what_people_wrote_is_never_markup(cast: make.Cast, first: PromptVersion) -> None:
    evil = "<img src=x onerror=alert(1)>"
    made = suggest_prompt(
        document=make.document(title=evil), based_on=first, template=f"{evil} {{text}}", output=evil, note=evil,
        actor=cast.reviewer,
    )  # fmt: skip
    assert evil not in page(cast.ml_engineer, "/prompts/?show=suggestions")
    signed_in(cast.ml_engineer).post(f"/prompts/suggestions/{made.pk}/adopt/")
    assert evil not in page(cast.ml_engineer, f"/prompts/{first.prompt_id}/")


# ---------------------------------------------------------------- the playground, with no model up


def play(cast: make.Cast, first: PromptVersion, **values: Any) -> Any:
    asked = {
        "parent": first.pk,
        "system": "",
        "template": BETTER,
        "article": "",
        "queue": "",
        "count": "3",
        "which": "newest",
        "note": "",
    }
    headers = values.pop("headers", {})
    return signed_in(cast.ml_engineer).post("/prompts/playground/", {**asked, **values}, headers=headers)


def test_it_starts_from_the_live_prompt_a_version_or_a_suggestion(
    cast: make.Cast, live: Release, suggestion: PromptSuggestion
) -> None:
    client = signed_in(cast.ml_engineer)
    assert client.get("/prompts/playground/").context["form"].initial["parent"] == live.prompt_version_id
    other = Prompt.objects.get(name="summarize").versions.get()
    assert (
        client.get(f"/prompts/playground/?version={other.pk}").context["form"].initial["parent"] == other.pk
    )
    initial = client.get(f"/prompts/playground/?suggestion={suggestion.pk}").context["form"].initial
    assert (initial["template"], initial["article"]) == (BETTER, str(suggestion.document_id))
    fragment = markup(client.get(f"/prompts/playground/?parent={other.pk}", headers={"HX-Request": "true"}))
    assert "summarize: {text}" in fragment
    assert "<html" not in fragment
    assert client.post("/prompts/playground/", {"parent": "\u0000", "run": "1"}).status_code == 422


def test_the_page_works_where_nothing_is_live(cast: make.Cast, first: PromptVersion) -> None:
    assert "Nothing is live" in page(cast.ml_engineer, "/prompts/playground/")
    make.document()
    answer = play(cast, first, run="1")
    assert answer.status_code == 422
    assert "no model to try the prompt with" in markup(answer)


def test_a_run_is_a_job_and_the_page_goes_to_its_trial(
    cast: make.Cast, first: PromptVersion, live: Release
) -> None:
    documents = [make.document() for _ in range(4)]
    answer = play(cast, first, run="1", headers={"HX-Request": "true"})
    trial = PromptTrial.objects.get()
    assert answer["HX-Redirect"] == f"/prompts/playground/?trial={trial.pk}"
    assert (trial.release, trial.based_on, trial.template) == (live, first, BETTER)
    assert [result.document for result in trial.results.all()] == documents[:0:-1], "the newest three"
    job = trial.job
    assert job is not None
    assert (job.kind, job.payload, job.requested_by) == ("try_prompt", {"trial": trial.pk}, cast.ml_engineer)
    client = signed_in(cast.ml_engineer)
    shown = markup(client.get(answer["HX-Redirect"]))
    assert "0 of 3" in shown
    assert 'hx-trigger="every 2s"' in shown
    assert BETTER.split("\n")[0] in shown, "the form goes on from it"
    client.post(f"/prompts/trials/{trial.pk}/cancel/")
    fragment = markup(client.get(f"/prompts/trials/{trial.pk}/", headers={"HX-Request": "true"}))
    assert "Cancelled after 0 of 3." in fragment
    assert "every 2s" not in fragment
    assert client.get(f"/prompts/trials/{trial.pk}/")["Location"] == answer["HX-Redirect"]


def test_prompts_are_not_tuned_on_test_documents(
    cast: make.Cast, first: PromptVersion, live: Release
) -> None:
    judge = make.document(split="test", title="Only for judging")
    answer = play(cast, first, run="1", article=str(judge.pk))
    assert answer.status_code == 422
    assert "no prompt is tuned on it" in markup(answer)
    assert play(cast, first, run="1", article="Only for judging").status_code == 422
    assert PromptTrial.objects.count() == 0


def test_articles_are_found_by_number_title_and_queue(
    cast: make.Cast, first: PromptVersion, live: Release
) -> None:
    ferries = make.document(title="Ferries moved")
    waiting = make.queue_item(make.summary(make.document(title="Piles counted")))

    def found(**values: Any) -> list[SourceDocument]:
        answer = play(cast, first, run="1", **values)
        assert answer.status_code == 302, markup(answer)
        trial = PromptTrial.objects.latest("pk")
        Job.objects.filter(pk=trial.job_id or 0).update(state="succeeded")
        return [result.document for result in trial.results.all()]

    assert found(article=str(ferries.pk)) == [ferries]
    assert found(article="ferries") == [ferries]
    assert found(queue=str(waiting.queue_id)) == [waiting.summary.document]
    assert len(found(count="2")) == 2
    assert play(cast, first, run="1", article="nothing like it").status_code == 422
    for values in ({"count": "21"}, {"count": "51", "which": "failing"}, {"count": "0"}):
        answer = play(cast, first, run="1", **values)
        assert (answer.status_code, list(answer.context["form"].errors)) == (422, ["count"])


def test_only_so_many_trials_of_one_person_are_under_way(
    cast: make.Cast, first: PromptVersion, live: Release
) -> None:
    make.document()
    for _ in range(2):
        assert play(cast, first, run="1").status_code == 302
    answer = play(cast, first, run="1")
    assert answer.status_code == 422
    assert "2 of your trials are under way" in markup(answer)


def test_a_prompt_that_cannot_work_is_not_run(cast: make.Cast, first: PromptVersion, live: Release) -> None:
    make.document()
    answer = play(cast, first, run="1", template="no article here")
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["template"]


def test_it_can_be_saved_as_a_version(cast: make.Cast, first: PromptVersion) -> None:
    answer = play(cast, first, save="1", note="Keeps numbers.")
    version = first.prompt.versions.get(number=2)
    assert answer["Location"] == f"/prompts/versions/{version.pk}/"
    assert (version.template, version.note, version.parent) == (BETTER, "Keeps numbers.", first)


def test_saving_a_suggestion_adopts_it_with_its_credit(
    cast: make.Cast, first: PromptVersion, suggestion: PromptSuggestion
) -> None:
    play(cast, first, save="1", suggestion=suggestion.pk, template=BETTER + " Briefly.")
    suggestion.refresh_from_db()
    assert suggestion.state == "adopted"
    assert suggestion.adopted_as is not None
    assert suggestion.adopted_as.authors == [cast.reviewer.pk]
    assert suggestion.adopted_as.template.endswith("Briefly.")


def test_a_release_of_the_live_model_with_it_goes_on_to_a_comparison(
    cast: make.Cast, first: PromptVersion, live: Release
) -> None:
    answer = play(cast, first, compose="1", note="Keeps numbers.")
    release = Release.objects.latest("pk")
    assert answer["Location"] == f"/comparisons/new/?candidate={release.pk}"
    assert (release.model_version, release.decoding, release.origin, release.state) == (
        live.model_version,
        live.decoding,
        "prompt",
        "draft",
    )
    assert release.prompt_version.template == BETTER
    unchanged = play(cast, first, compose="1", template=first.template)
    assert unchanged["Location"] == f"/releases/{live.pk}/", "that is what is live"
    by_script = play(cast, first, compose="1", headers={"HX-Request": "true"})
    assert by_script["HX-Redirect"] == f"/comparisons/new/?candidate={release.pk}"


def test_composing_needs_something_live(cast: make.Cast, first: PromptVersion) -> None:
    assert play(cast, first, compose="1").status_code == 422
    assert first.prompt.versions.count() == 1
