"""What no prompt is tried, tuned or written on, and who may try one on an item of a queue.

Test documents judge releases: a prompt that was made on them would be judged by what it was made for. So would one
made on what is nearly the same: lists leave out what is known to be (`usable_documents`), and `refuse_judges` refuses
a trial by what the texts say. And a prompt tried on an item that somebody else judges, or will judge,
tells which model wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db.models import Exists, QuerySet

from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.roles import allowed
from models_app.models import PromptVersion
from models_app.models.releases import live_release
from reviews.ingest import quoting, twins
from reviews.models import Assignment, NearDuplicate, QueueItem, Review, SourceDocument, Split

NO_TRIAL = "This article is a test document. It judges releases, so no prompt is tried on it."
NO_TRIAL_OF_TWIN = (
    "This article is nearly the same as a test document, which judges releases, so no prompt is tried on it."
)
SAME_PROMPT = (
    "Change the prompt first: in a blind queue the live prompt as it is would tell which model wrote this."
)


def live_prompt() -> PromptVersion | None:
    live = live_release()
    return live.prompt_version if live is not None else None


def usable_documents() -> QuerySet[SourceDocument]:
    """Documents that prompts may be tried on, as far as pairs are written down."""
    near = NearDuplicate.objects.with_a_test_document("pk")
    return SourceDocument.objects.filter(~Exists(near)).exclude(split=Split.TEST)


def why_not(document: SourceDocument) -> str:
    """Why no prompt is tried on this document, as far as pairs are written down; empty where one may be. 1 query."""
    if document.split == Split.TEST:
        return NO_TRIAL
    return "" if usable_documents().filter(pk=document.pk).exists() else NO_TRIAL_OF_TWIN


def refuse_judges(document: SourceDocument) -> None:
    """Raises Refused for a test document, and for one that is nearly the same, whether or not anybody knew. Raises
    Unavailable."""
    if judging([document]):
        raise Refused(NO_TRIAL if document.split == Split.TEST else NO_TRIAL_OF_TWIN, code="test_document")


def judging(documents: Sequence[SourceDocument]) -> set[int]:
    """Those of these few documents that judge releases, or are nearly the same as one that does. Raises Unavailable."""
    tests = {document.pk for document in documents if document.split == Split.TEST}
    return tests | set(twins.near_tests([document for document in documents if document.pk not in tests]))


def require_trial(*, item: QueueItem, user: User) -> None:
    """The person holds an assignment at the item, submitted an answer to it, or writes prompts. Raises Refused."""
    refuse_judges(item.summary.document)
    if not at_hand(item=item, user=user):
        raise Refused("Prompts are tried on an item while you have it at the desk.", code="not_yours")


def at_hand(*, item: QueueItem, user: User) -> bool:
    """Whether a trial tells this person nothing of an item that is, or may become, theirs to judge blind."""
    if allowed(user, "edit_prompts"):
        return True
    if Assignment.objects.filter(item=item, reviewer=user, state=Assignment.State.HELD).exists():
        return True
    answered = Review.objects.filter(
        item=item, reviewer=user, state__in=[Review.State.SUBMITTED, Review.State.RETURNED]
    )
    return tells_model(item) and answered.exists()


def tells_model(item: QueueItem) -> bool:
    """Whether what the live model writes of this article may be told beside the text that is judged. While others may
    still judge an item whose model is hidden, it would tell whether that is the one behind the draft."""
    if item.reason == QueueItem.Reason.GOLD:
        return False
    return not item.queue.blind_to_model or item.state == QueueItem.State.DONE


def refuse_quotes(*, template: str, system: str = "") -> None:
    """Raises InvalidInput where a prompt quotes a test document or its reference summary: as an example to follow it
    would teach what it is judged by."""
    for name, text in (("template", template), ("system", system)):
        quoted = quoting.quoted_test(text)
        if quoted is not None:
            message = (
                f"It quotes {quoted.words} words of test document {quoted.document}. Test documents judge releases, so "
                "no prompt gives them as an example. Take an article of the training split."
            )
            raise InvalidInput(message, fields={name: message})
