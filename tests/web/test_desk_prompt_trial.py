"""Another prompt tried on the article at the desk, and sent to engineers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import signing
from django.test import Client

from models_app.foundation.errors import InvalidInput, Unavailable
from models_app.ml.prompting import PromptSpec
from models_app.models import PromptVersion
from models_app.serving import client as serving
from models_app.serving.client import ServedSummary
from reviews.models import (
    PromptSuggestion,
    QueueItem,
)
from reviews.web.desk.prompt_trial import TRIAL_SALT
from tests.pages import markup


def served(text: str = "Nordhaven closes its pier.") -> ServedSummary:
    return ServedSummary(
        text=text, release_id=1, model_version_id=1, prompt_version_id=None, latency_ms=1234.0, queue_ms=0.0,
        input_tokens=90, output_tokens=9, truncated=False, finish="stop", kept_text_tokens=80, total_text_tokens=80,
        confidence=0.5,
    )  # fmt: skip


def test_trying_a_prompt_asks_the_live_model_with_it(
    rita: Client, item: QueueItem, live: PromptVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def generate(**request: Any) -> ServedSummary:
        asked.append(request)
        return served()

    monkeypatch.setattr(serving, "generate", generate)
    rita.get("/desk/new-drafts/")
    values = {"based_on": live.pk, "template": "In brief:\r\n{text}", "system": ""}
    answer = rita.post(f"/desk/item/{item.pk}/try/", values, headers={"HX-Request": "true"})
    page = markup(answer)
    assert answer.status_code == 200
    assert page.lstrip().startswith('<div class="trial" id="trial">')
    assert "<ins>" not in page, "the queue is blind: what is the same as the summary is not marked"
    assert "Save as a suggestion" in page
    document = item.summary.document
    assert asked == [
        {
            "text": document.text,
            "title": document.title,
            "domain": document.domain,
            "prompt": PromptSpec("chat", "", "In brief:\n{text}"),
        }
    ]
    trial = re.findall(r'name="trial" value="([^"]+)"', page)[0]
    kept = rita.post(f"/desk/item/{item.pk}/suggest/", {**values, "trial": trial, "note": "Shorter."})
    assert "Kept as your suggestion" in markup(kept)
    suggestion = PromptSuggestion.objects.get()
    assert (suggestion.template, suggestion.output, suggestion.note) == (
        "In brief:\n{text}", "Nordhaven closes its pier.", "Shorter.",
    )  # fmt: skip


def test_what_the_model_wrote_cannot_be_made_up(rita: Client, item: QueueItem, live: PromptVersion) -> None:
    rita.get("/desk/new-drafts/")
    forged = signing.dumps([item.pk, "In brief: {text}", "", "Made up."], salt="another")
    other_prompt = signing.dumps([item.pk, "Other: {text}", "", "Other."], salt=TRIAL_SALT, compress=True)
    for trial in (forged, other_prompt, "nonsense"):
        PromptSuggestion.objects.all().delete()
        values = {"based_on": live.pk, "template": "In brief: {text}", "trial": trial}
        rita.post(f"/desk/item/{item.pk}/suggest/", values)
        assert PromptSuggestion.objects.get().output == ""


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (Unavailable("The live model is being loaded.", retry_after=2), 503, "is being loaded"),
        (Unavailable("Too many wait.", code="overloaded", retry_after=3), 503, "Too many wait."),
        (InvalidInput("The prompt alone fills the input."), 422, "fills the input"),
    ],
)
def test_a_model_that_cannot_answer_says_why_and_the_prompt_stays(
    rita: Client,
    item: QueueItem,
    live: PromptVersion,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    says: str,
) -> None:
    def refuse(**_: Any) -> ServedSummary:
        raise error

    monkeypatch.setattr(serving, "generate", refuse)
    rita.get("/desk/new-drafts/")
    values = {"based_on": live.pk, "template": "In brief: {text}"}
    answer = rita.post(f"/desk/item/{item.pk}/try/", values, headers={"HX-Request": "true"})
    assert answer.status_code == status
    assert says in markup(answer)
    assert "In brief: {text}</textarea>" in markup(answer)
    assert ("Retry-After" in answer) == (status == 503)


@pytest.mark.parametrize("what", ["try", "suggest"])
def test_a_broken_template_is_refused_at_its_field_and_the_model_is_not_asked(
    rita: Client, item: QueueItem, live: PromptVersion, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(serving, "generate", lambda **_: pytest.fail("asked"))
    rita.get("/desk/new-drafts/")
    tried = signing.dumps([item.pk, "In brief: {text}", "", "Its words."], salt=TRIAL_SALT, compress=True)
    for template, says in (("{nothing} {text}", "Unknown variable"), ("No article.", "exactly once")):
        answer = rita.post(
            f"/desk/item/{item.pk}/{what}/",
            {"based_on": live.pk, "template": template, "trial": tried, "note": "So far."},
            headers={"HX-Request": "true"},
        )
        page = markup(answer)
        assert answer.status_code == 422
        assert re.search(rf'id="try-errors"> <li>[^<]*{says}', page)
        assert "wrote nothing" not in page
        assert (">So far.</textarea>" in page) == (what == "suggest"), "kept, to go on from"
    assert not PromptSuggestion.objects.exists()


def test_without_script_trying_is_a_page(
    rita: Client, item: QueueItem, live: PromptVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "generate", lambda **_: served())
    rita.get("/desk/new-drafts/")
    answer = rita.post(f"/desk/item/{item.pk}/try/", {"based_on": live.pk, "template": "In brief: {text}"})
    assert "<title>Try another prompt" in markup(answer)


def test_where_nothing_is_live_no_prompt_is_offered(rita: Client, item: QueueItem) -> None:
    assert "Try another prompt" not in markup(rita.get("/desk/new-drafts/"))
