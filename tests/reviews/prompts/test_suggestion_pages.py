from __future__ import annotations

import pytest

from models_app.foundation.errors import InvalidInput, NotAllowed, StaleState
from models_app.models import AuditEvent, PromptVersion
from reviews.models import PromptSuggestion
from reviews.prompts.suggestions import adopt_suggestion, decline_suggestion, suggest_prompt
from tests import make

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


def test_adopting_makes_a_version_that_keeps_the_credit(
    cast: make.Cast, first: PromptVersion, suggestion: PromptSuggestion
) -> None:
    version = adopt_suggestion(suggestion=suggestion, actor=cast.ml_engineer)
    assert (version.number, version.parent, version.template) == (2, first, BETTER)
    assert version.note == "Suggested by rita. Numbers went missing."
    assert (version.created_by, version.authors) == (cast.ml_engineer, [cast.reviewer.pk])
    assert (suggestion.state, suggestion.adopted_as, suggestion.decided_by) == (
        "adopted",
        version,
        cast.ml_engineer,
    )
    assert AuditEvent.objects.filter(action="suggestion.adopted", actor=cast.ml_engineer).count() == 1


def test_it_can_be_adopted_with_other_words(cast: make.Cast, suggestion: PromptSuggestion) -> None:
    version = adopt_suggestion(
        suggestion=suggestion, template="Three sentences, every number.\n\n{text}", note="Shorter.",
        actor=cast.ml_engineer,
    )  # fmt: skip
    assert (version.template[:15], version.note, version.authors) == (
        "Three sentences",
        "Shorter.",
        [cast.reviewer.pk],
    )


def test_declining_needs_a_reason_that_the_reviewer_is_shown(
    cast: make.Cast, suggestion: PromptSuggestion
) -> None:
    for reason in ("", "  ", "x" * 301):
        with pytest.raises(InvalidInput) as refused:
            decline_suggestion(suggestion=suggestion, reason=reason, actor=cast.ml_engineer)
        assert list(refused.value.fields) == ["reason"]
    decline_suggestion(suggestion=suggestion, reason="Makes summaries too long.", actor=cast.ml_engineer)
    assert (suggestion.state, suggestion.reason) == ("declined", "Makes summaries too long.")


def test_a_suggestion_is_decided_once(cast: make.Cast, suggestion: PromptSuggestion) -> None:
    stale = PromptSuggestion.objects.get(pk=suggestion.pk)
    decline_suggestion(suggestion=suggestion, reason="No.", actor=cast.ml_engineer)
    with pytest.raises(StaleState):
        adopt_suggestion(suggestion=stale, actor=cast.ml_engineer)
    assert PromptVersion.objects.filter(prompt=suggestion.based_on.prompt).count() == 1, (
        "and nothing is left of it"
    )
    with pytest.raises(StaleState):
        decline_suggestion(suggestion=stale, reason="No!", actor=cast.ml_engineer)


@pytest.mark.parametrize("who", ["reviewer", "another_reviewer", "approver", "operator", "stranger"])
def test_only_engineers_decide(cast: make.Cast, suggestion: PromptSuggestion, who: str) -> None:
    with pytest.raises(NotAllowed):
        adopt_suggestion(suggestion=suggestion, actor=getattr(cast, who))
    with pytest.raises(NotAllowed):
        decline_suggestion(suggestion=suggestion, reason="No.", actor=getattr(cast, who))
    suggestion.refresh_from_db()
    assert suggestion.state == "open"


def test_an_adoption_that_would_not_work_changes_nothing(
    cast: make.Cast, suggestion: PromptSuggestion
) -> None:
    with pytest.raises(InvalidInput):
        adopt_suggestion(suggestion=suggestion, template="no article", actor=cast.ml_engineer)
    suggestion.refresh_from_db()
    assert suggestion.state == "open"


def test_a_suggestion_changes_something(cast: make.Cast, first: PromptVersion) -> None:
    with pytest.raises(InvalidInput, match="Nothing was changed"):
        suggest_prompt(
            document=make.document(), based_on=first, template=first.template.replace("\n", "\r\n"),
            actor=cast.reviewer,
        )  # fmt: skip
