"""Trying a prompt on real articles with the live model, beside what the live prompt writes."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from models_app.foundation.errors import GalleyError, InvalidInput
from models_app.ml.prompting import PromptSpec
from models_app.models import Release
from models_app.serving import client
from reviews.models import ReviewQueue, SourceDocument, Split, Summary

MOST_DOCUMENTS = 5


@dataclass(frozen=True)
class Written:
    """A summary of one article. `share` is the part of the article that the model read, None where it read all."""

    text: str
    seconds: float | None
    share: float | None
    earlier: bool = False  # written before, by the live release, and kept

    @property
    def words(self) -> int:
        return len(self.text.split())


@dataclass(frozen=True)
class Trial:
    """What both prompts made of one article; `error` where the model could not be asked."""

    document: SourceDocument
    live: Written | None = None
    tried: Written | None = None
    error: GalleyError | None = None

    @property
    def same(self) -> bool:
        return self.live is not None and self.tried is not None and self.live.text == self.tried.text

    @property
    def longer(self) -> int:
        """Words more than the live prompt's."""
        return self.tried.words - self.live.words if self.live and self.tried else 0


def usable_documents() -> QuerySet[SourceDocument]:
    """Test documents judge releases: a prompt that was tuned on them would be judged by what it was made for."""
    return SourceDocument.objects.exclude(split=Split.TEST)


def find_documents(*, words: str, queue: ReviewQueue | None, count: int) -> list[SourceDocument]:
    """By number or words of the title, of one queue or of all; the newest first. Raises InvalidInput."""
    count = max(1, min(count, MOST_DOCUMENTS))
    rows = usable_documents()
    words = words.strip()
    if words.isdecimal() and len(words) < 19:
        found = SourceDocument.objects.filter(pk=int(words)).first()
        if found is not None and found.split == Split.TEST:
            message = f"Document {found.pk} belongs to the test split. It judges releases, so no prompt is tuned on it."
            raise InvalidInput(message, fields={"article": message})
        rows = rows.filter(Q(pk=int(words)) | Q(title__icontains=words))
    elif words:
        rows = rows.filter(title__icontains=words)
    if queue is not None:
        rows = rows.filter(
            summaries__queue_items__queue=queue, summaries__queue_items__state="open"
        ).distinct()
    chosen = list(rows.order_by("-pk")[:count])
    if not chosen:
        message = "No article was found. Other words, or another queue? Test documents are left out."
        raise InvalidInput(message, fields={"article": message})
    return chosen


def try_prompt(*, document: SourceDocument, prompt: PromptSpec, live: Release) -> Trial:
    """Ask the live model, for real. A refusal is part of the result, so that other articles can go on."""
    try:
        return Trial(document, live=_by_the_live_prompt(document, live), tried=_ask(document, prompt))
    except GalleyError as error:
        return Trial(document, error=error)


def _by_the_live_prompt(document: SourceDocument, live: Release) -> Written:
    kept = Summary.objects.filter(document=document, release=live, source=Summary.Source.BATCH).first()
    if kept is None:
        return _ask(document, None)
    cut = kept.truncated and kept.total_tokens and kept.kept_tokens is not None
    share = kept.kept_tokens / kept.total_tokens if cut else None  # type: ignore[operator]
    return Written(kept.text, None, share, earlier=True)


def _ask(document: SourceDocument, prompt: PromptSpec | None) -> Written:
    served = client.generate(text=document.text, title=document.title, domain=document.domain, prompt=prompt)
    share = served.kept_text_tokens / served.total_text_tokens if served.truncated else None
    return Written(served.text, served.latency_ms / 1000, share)
