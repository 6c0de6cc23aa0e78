"""No prompt is tried, tuned or written on what judges; and no trial tells which model wrote what one judges."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app.foundation.errors import GalleyError, InvalidInput, Refused, Unavailable
from models_app.models import Job, Prompt, PromptVersion, Route
from models_app.serving import client as serving
from models_app.serving.client import ServedSummary
from reviews.desk import claims
from reviews.filling.drafts import draft_summaries
from reviews.ingest import twins
from reviews.loop.run import prompt_for
from reviews.models import Assignment, PromptSuggestion, PromptTrial, QueueItem, Review, SourceDocument
from reviews.prompts.suggestions import adopt_suggestion, save_prompt, save_version, suggest_prompt
from reviews.prompts.trials import Chosen, choose_articles, failing_articles, start_trial
from reviews.queues.items import Entry, put_in_queue, put_many
from tests import make
from tests.doors.test_near_duplicates import article, corrected_reference
from tests.pages import markup

pytestmark = pytest.mark.django_db
BETTER = "In brief: {text}"


@pytest.fixture
def people() -> make.Cast:
    return make.cast()


@pytest.fixture
def live(people: make.Cast) -> PromptVersion:
    prompt = PromptVersion.objects.select_related("prompt").get(prompt__name="news summary", number=1)
    Route.objects.update(release=make.release(state="live", prompt_version=prompt))
    return prompt


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the live model was asked to write; it writes the same summary, word for word."""
    calls: list[dict[str, Any]] = []

    def generate(**request: Any) -> ServedSummary:
        calls.append(request)
        return ServedSummary(
            text="The old pier closes.", release_id=1, model_version_id=1, prompt_version_id=None, latency_ms=1234.0,
            queue_ms=0.0, input_tokens=90, output_tokens=9, truncated=False, finish="stop", kept_text_tokens=80,
            total_text_tokens=80, confidence=0.5,
        )  # fmt: skip

    monkeypatch.setattr(serving, "generate", generate)
    return calls


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def item_of(document: SourceDocument, **queue: Any) -> QueueItem:
    return make.queue_item(make.summary(document, "The old pier closes."), make.queue(**queue))


def judges(*, compared: bool = True) -> dict[str, SourceDocument]:
    """A test document, and one that is nearly the same though it is in the training split. Where they were not
    compared yet, no pair of them is written down: they came in by SQL, or by two imports at the same moment."""
    text = article("judge")
    test = make.document(text, split="test")
    twin = make.document(text.replace(text.split()[40], "another", 1), split="train")
    if compared:
        twins.sketch_missing()
    return {"test": test, "twin": twin}


# ---------------------------------------------------------------- test documents, by every door


@pytest.mark.parametrize("which", ["test", "twin"])
@pytest.mark.parametrize("fragment", [False, True])
def test_the_desk_tries_no_prompt_on_what_judges(
    people: make.Cast, live: PromptVersion, asked: list[Any], which: str, fragment: bool
) -> None:
    item = item_of(judges()[which])
    rita = signed_in(people.reviewer)
    headers = {"HX-Request": "true"} if fragment else {}
    page = markup(rita.get(f"/desk/{item.queue.slug}/"))
    assert "data-try-open" not in page
    assert "no prompt trial: test document" in page
    for user in (people.reviewer, people.ml_engineer):
        client = signed_in(user)
        for act in ("try", "suggest"):
            values = {"based_on": live.pk, "template": BETTER}
            answer = client.post(f"/desk/item/{item.pk}/{act}/", values, headers=headers)
            assert answer.status_code in (403, 409), (user, act)
    assert rita.get(f"/desk/item/{item.pk}/try/").status_code == 409
    assert "judges releases" in markup(rita.get(f"/desk/item/{item.pk}/try/"))
    assert asked == []
    assert not PromptSuggestion.objects.exists()


@pytest.mark.parametrize("which", ["test", "twin"])
def test_the_playground_tries_no_prompt_on_what_judges(
    people: make.Cast, live: PromptVersion, which: str
) -> None:
    document = judges()[which]
    with pytest.raises(InvalidInput):
        choose_articles(words=str(document.pk), queue=None, count=5, actor=people.ml_engineer)
    with pytest.raises(InvalidInput):
        choose_articles(words="", queue=None, count=5, actor=people.ml_engineer)
    with pytest.raises(InvalidInput, match="judge releases"):
        start_trial(based_on=live, template=BETTER, articles=[Chosen(document)], actor=people.ml_engineer)
    item = item_of(document)
    Review.objects.create(
        item=item, summary=item.summary, reviewer=people.reviewer, rubric=item.queue.rubric, state="submitted",
        verdict="poor", stars=1, edited_text="Better words.", submitted_at=item.created_at,
    )  # fmt: skip
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    with pytest.raises(InvalidInput):
        failing_articles(queue=None, count=5, actor=people.ml_engineer)
    client = signed_in(people.ml_engineer)
    for which_ones in ("newest", "failing"):
        values = {
            "parent": live.pk, "template": BETTER, "which": which_ones, "count": 1, "article": str(document.pk),
            "note": "",
        }  # fmt: skip
        assert client.post("/prompts/playground/", values).status_code == 422
    assert not PromptTrial.objects.exists()


@pytest.mark.parametrize("which", ["test", "twin"])
def test_no_suggestion_is_made_on_what_judges(people: make.Cast, live: PromptVersion, which: str) -> None:
    with pytest.raises(Refused, match="judges releases"):
        suggest_prompt(document=judges()[which], based_on=live, template=BETTER, actor=people.reviewer)


def test_a_twin_that_nobody_has_compared_yet_is_refused_by_every_door(
    people: make.Cast, live: PromptVersion, asked: list[Any]
) -> None:
    twin = judges(compared=False)["twin"]
    with pytest.raises(InvalidInput, match="judge releases"):
        start_trial(based_on=live, template=BETTER, articles=[Chosen(twin)], actor=people.ml_engineer)
    client = signed_in(people.ml_engineer)
    values = {
        "parent": live.pk, "template": BETTER, "which": "newest", "count": 1, "article": str(twin.pk), "note": "",
    }  # fmt: skip
    assert client.post("/prompts/playground/", values).status_code == 422
    item = item_of(twin)
    claims.hold(item=item, reviewer=people.reviewer)
    assert try_it(people.reviewer, item, live).status_code == 409
    suggestion = {"based_on": live.pk, "template": BETTER}
    answer = signed_in(people.reviewer).post(f"/desk/item/{item.pk}/suggest/", suggestion)
    assert answer.status_code == 409
    with pytest.raises(Refused, match="judges releases"):
        suggest_prompt(document=twin, based_on=live, template=BETTER, actor=people.reviewer)
    assert asked == []
    assert not PromptTrial.objects.exists()
    assert not PromptSuggestion.objects.exists()


def test_queues_for_trying_prompts_take_no_test_document(people: make.Cast) -> None:
    queue = make.queue(kind="prompt trial")
    test, train = make.summary(make.document(split="test")), make.summary(make.document())
    with pytest.raises(Refused, match="no prompt is tried"):
        put_in_queue(summary=test, queue_slug=queue.slug, reason="new draft", actor=people.ml_engineer)
    entries = [Entry(test.pk), Entry(train.pk)]
    assert put_many(queue=queue, entries=entries, reason="random share", actor=None) == 1
    assert [item.summary for item in QueueItem.objects.filter(queue=queue)] == [train]


def test_drafting_into_such_a_queue_leaves_test_documents_out(people: make.Cast) -> None:
    queue = make.queue(kind="prompt trial")
    documents = [make.document(split="test"), make.document()]
    release = make.release(make.lead_model())
    draft_summaries(documents=documents, release=release, queue_slug=queue.slug)
    assert [item.summary.document for item in QueueItem.objects.filter(queue=queue)] == [documents[1]]


# ---------------------------------------------------------------- examples within a prompt


def quoting(people: make.Cast, live: PromptVersion, template: str) -> list[Any]:
    """Every way in which a prompt is kept or tried."""
    document = make.document(article("tried on"))
    suggestion = PromptSuggestion.objects.create(
        suggested_by=people.reviewer, document=document, based_on=live, template=BETTER
    )
    engineer = people.ml_engineer
    return [
        lambda: suggest_prompt(document=document, based_on=live, template=template, actor=people.reviewer),
        lambda: start_trial(based_on=live, template=template, articles=[Chosen(document)], actor=engineer),
        lambda: save_version(prompt=live.prompt, template=template, parent=live, actor=engineer),
        lambda: save_prompt(name="new", kind="chat", template=template, actor=engineer),
        lambda: adopt_suggestion(suggestion=suggestion, template=template, actor=engineer),
        lambda: prompt_for(make.lead_model(), template, engineer),
    ]


@pytest.mark.parametrize("what", ["article", "half", "reference", "another reference"])
def test_a_prompt_that_quotes_a_test_document_is_refused_by_every_door(
    people: make.Cast, live: PromptVersion, what: str
) -> None:
    test = make.document(article("quoted", 400), split="test")
    words = {
        "article": test.text.upper(),
        "half": " ".join(test.text.split()[:200]),
        "reference": test.reference.replace(".", "!"),
        "another reference": corrected_reference(test).upper(),
    }[what]
    template = f"Write like this. Example: {words} Now the article: {{text}}"
    for way in quoting(people, live, template):
        with pytest.raises(InvalidInput, match=f"test document {test.pk}") as refused:
            way()
        assert "template" in refused.value.fields
    assert not Prompt.objects.filter(name__startswith="loop").exists()
    versions = PromptVersion.objects.count()
    values = {
        "template": template,
        "system": "",
        "note": "",
        "parent": live.pk,
        "name": "new",
        "kind": "chat",
    }
    client = signed_in(people.ml_engineer)
    for page in (f"/prompts/{live.prompt_id}/new-version/", "/prompts/new/"):
        answer = client.post(page, values)
        assert answer.status_code == 422
        assert f"test document {test.pk}" in markup(answer)
    assert PromptVersion.objects.count() == versions


def test_a_prompt_may_quote_a_training_article(people: make.Cast, live: PromptVersion) -> None:
    make.document(article("quoted", 400), split="test")
    words = make.document(article("to learn from", 400)).text
    for way in quoting(people, live, f"Write like this. Example: {words} Now the article: {{text}}"):
        way()


# ---------------------------------------------------------------- blind queues


def try_it(user: Any, item: QueueItem, live: PromptVersion, template: str = BETTER) -> Any:
    values = {"based_on": live.pk, "template": template}
    return signed_in(user).post(f"/desk/item/{item.pk}/try/", values, headers={"HX-Request": "true"})


def test_a_trial_needs_the_item_at_hand(people: make.Cast, live: PromptVersion, asked: list[Any]) -> None:
    item = item_of(make.document(), reviews_per_item=2)
    assert try_it(people.reviewer, item, live).status_code == 409, "nobody holds it"
    claims.hold(item=item, reviewer=people.another_reviewer)
    assert try_it(people.reviewer, item, live).status_code == 409, "somebody else holds it"
    values = {"based_on": live.pk, "template": BETTER}
    answer = signed_in(people.reviewer).post(f"/desk/item/{item.pk}/suggest/", values)
    assert answer.status_code == 409
    assert signed_in(people.reviewer).get(f"/desk/item/{item.pk}/try/").status_code == 409
    assert asked == []
    claims.hold(item=item, reviewer=people.reviewer)
    assert try_it(people.reviewer, item, live).status_code == 200
    mine = Assignment.objects.filter(item=item, reviewer=people.reviewer)
    mine.update(state="free", reviewer=None, lease_token=None, lease_until=None)
    assert try_it(people.reviewer, item, live).status_code == 409, "the lease ran out and was given away"


def test_in_a_blind_queue_a_trial_does_not_say_that_it_wrote_the_summary(
    people: make.Cast, live: PromptVersion, asked: list[Any]
) -> None:
    item = item_of(make.document())
    claims.hold(item=item, reviewer=people.reviewer)
    answer = try_it(people.reviewer, item, live)
    page = markup(answer)
    assert "The old pier closes." in page
    assert "Word for word" not in page
    assert 'class="diff"' not in page
    assert "1.2 s" not in page, "how long it took tells models apart"
    assert "X-Release" not in answer
    assert "ETag" not in answer


def test_in_a_blind_queue_the_live_prompt_as_it_is_is_not_tried(
    people: make.Cast, live: PromptVersion, asked: list[Any]
) -> None:
    item = item_of(make.document())
    claims.hold(item=item, reviewer=people.reviewer)
    for words in (live.template, f"{live.template}\n", f" {live.template}"):
        assert try_it(people.reviewer, item, live, words).status_code == 422
    assert asked == []


def test_where_the_model_is_no_secret_a_trial_says_what_it_has_in_common(
    people: make.Cast, live: PromptVersion, asked: list[Any]
) -> None:
    item = item_of(make.document(), blind_to_model=False)
    claims.hold(item=item, reviewer=people.reviewer)
    assert "Word for word the same as the summary" in markup(try_it(people.reviewer, item, live))


def test_the_playground_of_reviewers_waits_until_a_blind_item_is_done(
    people: make.Cast, live: PromptVersion
) -> None:
    item = item_of(make.document(), reviews_per_item=2)
    Review.objects.create(
        item=item, summary=item.summary, reviewer=people.reviewer, rubric=item.queue.rubric, state="submitted",
        verdict="poor", stars=1, edited_text="Better words.", submitted_at=item.created_at,
    )  # fmt: skip
    with pytest.raises(GalleyError, match="you reviewed"):
        choose_articles(words="", queue=None, count=1, actor=people.reviewer)
    assert try_it(people.reviewer, item, live).status_code == 409
    QueueItem.objects.filter(pk=item.pk).update(state="done")
    (chosen,) = choose_articles(words="", queue=None, count=1, actor=people.reviewer)
    assert chosen.document == item.summary.document


# ---------------------------------------------------------------- what nobody has compared yet


def test_while_many_texts_are_compared_nothing_is_tried_and_the_queue_compares_them(
    people: make.Cast, live: PromptVersion, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """People who wait for a page do not wait for ten thousand documents that were put in by SQL."""
    monkeypatch.setattr(twins, "_AT_ONCE", 3)
    for number in range(12):
        make.document(article(f"by SQL {number}"))
    twin = judges(compared=False)["twin"]
    item = item_of(twin)
    claims.hold(item=item, reviewer=people.reviewer)
    answer = try_it(people.reviewer, item, live)
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert signed_in(people.reviewer).get(f"/desk/{item.queue.slug}/").status_code == 200
    for way in (
        lambda: start_trial(
            based_on=live, template=BETTER, articles=[Chosen(twin)], actor=people.ml_engineer
        ),
        lambda: save_version(
            prompt=live.prompt, template=f"{article('any')} {{text}}", parent=live, actor=None
        ),
    ):
        with pytest.raises(Unavailable, match="Try again in a minute"):
            way()
    (job,) = Job.objects.filter(kind="compare_documents")
    assert make.carried_out(job).state == "succeeded"
    assert not SourceDocument.objects.filter(sketch=None).exists()
    assert twins.start_comparing() is None
    assert try_it(people.reviewer, item, live).status_code == 409
    save_version(prompt=live.prompt, template=f"{article('any')} {{text}}", parent=live, actor=None)
    assert asked == []
