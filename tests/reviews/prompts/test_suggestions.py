"""Prompts that reviewers change and keep."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.models import AuditEvent, PromptVersion
from reviews.models import PromptSuggestion, SourceDocument
from reviews.prompts.suggestions import suggest_prompt
from tests import make


@pytest.fixture
def prompt(cast: make.Cast) -> PromptVersion:
    return PromptVersion.objects.get(prompt__name="news summary", number=1)


@pytest.fixture
def document(cast: make.Cast) -> SourceDocument:
    return make.document()


def suggested(
    cast: make.Cast, prompt: PromptVersion, document: SourceDocument, template: str, **more: Any
) -> PromptSuggestion:
    return suggest_prompt(document=document, based_on=prompt, template=template, actor=cast.reviewer, **more)


def test_a_changed_prompt_is_kept_with_what_the_model_wrote(
    cast: make.Cast, prompt: PromptVersion, document: SourceDocument
) -> None:
    kept = suggested(
        cast, prompt, document, "Say it in two sentences.\n\n{text}", output="Two sentences.", note="Shorter."
    )
    assert (kept.state, kept.based_on, kept.output, kept.note) == (
        "open",
        prompt,
        "Two sentences.",
        "Shorter.",
    )
    assert kept.suggested_by == cast.reviewer
    assert AuditEvent.objects.get(action="prompt.suggest").subject == f"promptsuggestion:{kept.pk}"


def test_a_prompt_that_changes_nothing_is_refused(
    cast: make.Cast, prompt: PromptVersion, document: SourceDocument
) -> None:
    with pytest.raises(InvalidInput) as refused:
        suggested(cast, prompt, document, prompt.template, system=prompt.system)
    assert "template" in refused.value.fields


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("Summarize.", "exactly once"),
        ("{text} {text}", "exactly once"),
        ("{text} for {audience}", "audience"),
        ("{text} {", "single"),
        ("{text}" + "x" * 8000, "8,000"),
    ],
    ids=["no text", "twice", "unknown", "brace", "long"],
)
def test_a_template_that_breaks_its_variables_is_refused_with_what_is_wrong(
    cast: make.Cast, prompt: PromptVersion, document: SourceDocument, template: str, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        suggested(cast, prompt, document, template)
    assert "template" in refused.value.fields
    assert not PromptSuggestion.objects.exists()


def test_keeping_the_same_twice_keeps_it_once(
    cast: make.Cast, prompt: PromptVersion, document: SourceDocument
) -> None:
    first = suggested(cast, prompt, document, "In brief: {text}", output="Brief.")
    again = suggested(cast, prompt, document, "In brief: {text}", note="It is shorter.")
    assert (again.pk, again.output, again.note) == (first.pk, "Brief.", "It is shorter.")
    assert AuditEvent.objects.filter(action="prompt.suggest").count() == 1


def test_a_note_that_is_too_long_is_refused_not_cut(
    cast: make.Cast, prompt: PromptVersion, document: SourceDocument
) -> None:
    with pytest.raises(InvalidInput) as refused:
        suggested(cast, prompt, document, "In brief: {text}", note="x" * 301)
    assert "note" in refused.value.fields


def test_only_reviewers_suggest(cast: make.Cast, prompt: PromptVersion, document: SourceDocument) -> None:
    with pytest.raises(NotAllowed):
        suggest_prompt(document=document, based_on=prompt, template="In brief: {text}", actor=cast.approver)
