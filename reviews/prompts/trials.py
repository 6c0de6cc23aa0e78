"""Trying a prompt on real articles with the live model, beside what the live prompt writes. A job does the writing.

Two purposes. *Playground*: how does it read? *Failures*: would a prompt do what one would otherwise train for? Then the
articles are those whose summaries reviewers found failing, and what comes out is held against their corrections.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from models_app.foundation import audit, jobs
from models_app.foundation.errors import InvalidInput, NotAllowed, NotFound, Refused, Unavailable
from models_app.foundation.jobs import JobCancelled
from models_app.foundation.roles import allowed, require
from models_app.ml.prompting import PromptSpec
from models_app.models import Job, PromptVersion, Release
from models_app.models.releases import live_release
from models_app.prompts.versions import check_template, plain
from models_app.serving import client
from models_app.texts.measures import unsupported_names, unsupported_numbers
from models_app.texts.normalise import row_number
from reviews.models import (
    Adjudication,
    Notification,
    PromptSuggestion,
    PromptTrial,
    PromptTrialResult,
    QueueItem,
    Review,
    ReviewQueue,
    SourceDocument,
    Split,
    Summary,
)
from reviews.notifications.notices import notify
from reviews.prompts.suggestions import require_readable
from reviews.prompts.trying import judging, refuse_quotes, usable_documents

if TYPE_CHECKING:
    from models_app.serving.client import ServedSummary

MOST_ARTICLES = 20
MOST_MENDED = 50
MOST_UNDER_WAY = 2
#: Looked through for the articles of one queue; a queue of a hundred thousand must not make a page wait.
LOOKED_THROUGH = 400
FEW_STARS = 2
PATIENCE_SECONDS = 90  # for a model that is busy or is just being switched
DEADLINE_SECONDS = 3600
METRICS = ("rouge1", "rouge2", "rougeLsum")
TELL_FROM = 4  # articles; people who wait for fewer see them come
SEED = 20


@dataclass(frozen=True)
class Chosen:
    """An article of a trial, and what its outputs are held against."""

    document: SourceDocument
    target: str = ""
    target_kind: str = ""
    review: Review | None = None


# ---------------------------------------------------------------- which articles


def choose_articles(*, words: str, queue: ReviewQueue | None, count: int, actor: User) -> list[Chosen]:
    """By number or words of the title, of one queue or of all; the newest first. Raises InvalidInput.

    Reviewers who write no prompts try theirs on articles that they reviewed, once nobody judges them any more
    where that is blind: what the live model writes of an article would tell which model the draft is of."""
    count = max(1, min(count, MOST_ARTICLES))
    rows = _usable_named(words)
    if queue is not None or not allowed(actor, "edit_prompts"):
        chosen = _in_order(
            rows, _of_reviewer(actor, queue) if not allowed(actor, "edit_prompts") else _of(queue)
        )
    else:
        chosen = list(rows.order_by("-pk")[:count])
    if not chosen:
        message = "No article was found. Other words, or another queue? Test documents are left out."
        if not allowed(actor, "edit_prompts"):
            message = (
                "No article was found among those you reviewed that are done. Test documents are left out."
            )
        raise InvalidInput(message, fields={"article": message})
    return [
        Chosen(document, document.reference, PromptTrialResult.Target.REFERENCE if document.reference else "")
        for document in chosen[:count]
    ]


def _usable_named(words: str) -> QuerySet[SourceDocument]:
    """Those with this number, or with these words in the title; all of them where there are no words."""
    words = words.strip()
    number = row_number(words)
    if number is not None and SourceDocument.objects.filter(pk=number, split=Split.TEST).exists():
        message = (
            f"Document {number} belongs to the test split. It judges releases, so no prompt is tuned on it."
        )
        raise InvalidInput(message, fields={"article": message})
    rows = usable_documents()
    if number is not None:
        return rows.filter(Q(pk=number) | Q(title__icontains=words))
    return rows.filter(title__icontains=words) if words else rows


def _of(queue: ReviewQueue | None) -> list[int]:
    items = QueueItem.objects.filter(queue=queue).order_by("-pk")
    return list(items.values_list("summary__document", flat=True)[:LOOKED_THROUGH])


def _of_reviewer(reviewer: User, queue: ReviewQueue | None) -> list[int]:
    mine = (
        Review.objects.filter(
            Q(item__state=QueueItem.State.DONE) | Q(item__queue__blind_to_model=False),
            reviewer=reviewer,
            state=Review.State.SUBMITTED,
        )
        .exclude(item__reason=QueueItem.Reason.GOLD)
        .order_by("-submitted_at")
    )
    if queue is not None:
        mine = mine.filter(item__queue=queue)
    return list(mine.values_list("summary__document", flat=True)[:LOOKED_THROUGH])


def _in_order(rows: QuerySet[SourceDocument], keys: Sequence[int]) -> list[SourceDocument]:
    found = rows.in_bulk(list(dict.fromkeys(keys)))
    return [found[key] for key in dict.fromkeys(keys) if key in found]


def failing_articles(*, words: str = "", queue: ReviewQueue | None, count: int, actor: User) -> list[Chosen]:
    """Articles, all or by number or words of the title, whose summaries reviewers found poor, gave few stars, or want
    a better prompt for, the latest first, each with its final correction where somebody corrected it. Only of
    items that are done: while others still answer, nobody sees their texts. Raises InvalidInput if there are none.
    """
    require(actor, "edit_prompts")
    count = max(1, min(count, MOST_MENDED))
    failing = Review.objects.filter(
        Q(verdict=Review.Verdict.POOR) | Q(stars__lte=FEW_STARS) | Q(wants_refine=True),
        state=Review.State.SUBMITTED,
        item__state=QueueItem.State.DONE,
        item__other=None,
        summary__document__in=usable_documents(),
    )
    if words.strip():
        failing = failing.filter(summary__document__in=_usable_named(words))
    if queue is not None:
        failing = failing.filter(item__queue=queue)
    latest: dict[int, Review] = {}
    for review in failing.select_related("summary__document").order_by("-submitted_at", "-pk")[: 4 * count]:
        latest.setdefault(review.summary.document_id, review)
    reviews = list(latest.values())[:count]
    if not reviews:
        message = "No finished review calls a summary poor, gives few stars or wants a better prompt."
        if words.strip():
            message = "No article of that name was found failing by a finished review."
        raise InvalidInput(message, fields={"article" if words.strip() else "which": message})
    final = dict(
        Adjudication.objects.filter(item__in=[review.item_id for review in reviews]).values_list(
            "item", "edited_text"
        )
    )
    return [_failed(review, final.get(review.item_id, review.edited_text)) for review in reviews]


def same_articles(trial: PromptTrial) -> list[Chosen]:
    """The articles of an earlier trial, held against what they were held against there."""
    return [
        Chosen(result.document, result.target, result.target_kind, result.review)
        for result in trial.results.select_related("document", "review__summary").order_by("position")
    ]


def _failed(review: Review, wanted: str) -> Chosen:
    corrected = wanted.strip() if wanted.strip() != review.summary.text.strip() else ""
    kind = PromptTrialResult.Target.CORRECTION if corrected else ""
    return Chosen(review.summary.document, corrected, kind, review)


# ---------------------------------------------------------------- asking for a trial


def start_trial(
    *,
    based_on: PromptVersion,
    template: str,
    system: str = "",
    articles: Sequence[Chosen],
    purpose: str = PromptTrial.Purpose.PLAYGROUND,
    queue: ReviewQueue | None = None,
    suggestion: PromptSuggestion | None = None,
    actor: User,
    deliver: bool = True,
) -> PromptTrial:
    """Let the queue try the prompt on these articles. Raises InvalidInput at `template`, `system` or `article`;
    Refused where nothing is live, or too many of the actor's are under way; Unavailable."""
    if not (allowed(actor, "edit_prompts") or allowed(actor, "review")):
        raise NotAllowed("Your role does not try prompts. Ask an administrator.")
    template, system = plain(template), plain(system)
    check_template(kind=based_on.prompt.kind, system=system, template=template)
    refuse_quotes(template=template, system=system)
    if suggestion is not None:
        require_readable(suggestion, actor)
    if judging([chosen.document for chosen in articles]):
        message = (
            "Test documents judge releases, so no prompt is tuned on them, nor on what is nearly the same."
        )
        raise InvalidInput(message, fields={"article": message})
    live = live_release()
    if live is None:
        raise Refused("Nothing is live, so there is no model to try the prompt with.")
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        under_way = PromptTrial.objects.filter(requested_by=actor, job__state__in=Job.ACTIVE).count()
        if under_way >= MOST_UNDER_WAY:
            raise Refused(f"{under_way} of your trials are under way. Wait for one of them, or cancel it.")
        trial = PromptTrial.objects.create(
            purpose=purpose, release=live, based_on=based_on, system=system, template=template, queue=queue,
            suggestion=suggestion, requested_by=actor,
        )  # fmt: skip
        PromptTrialResult.objects.bulk_create(
            PromptTrialResult(
                trial=trial, position=position, document=chosen.document, review=chosen.review,
                target=chosen.target, target_kind=chosen.target_kind,
            )
            for position, chosen in enumerate(articles)
        )  # fmt: skip
        trial.job = jobs.enqueue(
            kind="try_prompt", actor=actor, subject=audit.subject_of(trial), payload={"trial": trial.pk},
            unique_key=f"trial:{trial.pk}", deadline_seconds=DEADLINE_SECONDS, deliver=deliver,
        )  # fmt: skip
        trial.save(update_fields=["job"])
        audit.record(
            actor=actor, action="prompt.trial", subject=trial,
            data={"purpose": purpose, "articles": len(articles), "release": live.pk, "based_on": based_on.pk},
        )  # fmt: skip
    return trial


def visible_trial(*, pk: int, user: User) -> PromptTrial:
    """One's own, or anybody's for those who write prompts, as far as the suggestion that it tries may be read. Raises
    NotFound."""
    trial = (
        PromptTrial.objects.select_related(
            "job",
            "based_on__prompt",
            "release__prompt_version__prompt",
            "requested_by",
            "queue",
            "suggestion",
        )
        .filter(pk=pk)
        .first()
    )
    if trial is None or not (trial.requested_by_id == user.pk or allowed(user, "edit_prompts")):
        raise NotFound("There is no such trial.")
    if trial.suggestion is not None and trial.requested_by_id != user.pk:
        require_readable(trial.suggestion, user)
    return trial


# ---------------------------------------------------------------- carrying it out


def carry_out(
    *, trial: PromptTrial, progress: Callable[[int, int], None], should_stop: Callable[[], bool]
) -> int:
    """Write what is missing, one article after another; each is kept as soon as it is written, so that a trial cut
    off half-way goes on. Returns how many there are.

    Raises Refused where another release went live meanwhile: its model would be compared with itself no more."""
    results = list(trial.results.select_related("document", "review__summary").order_by("position"))
    spec = PromptSpec(trial.based_on.prompt.kind, trial.system, trial.template)  # type: ignore[arg-type]
    kept = _kept_by_live(trial, results)
    done = sum(result.finished_at is not None for result in results)
    for result in results:
        if result.finished_at is not None:
            continue
        if should_stop():
            raise JobCancelled
        _write(result, trial.release, spec, kept.get(result.document_id), should_stop)
        done += 1
        progress(done, len(results))
    trial.report = report(results)
    trial.save(update_fields=["report"])
    return len(results)


def _kept_by_live(trial: PromptTrial, results: Sequence[PromptTrialResult]) -> dict[int, str]:
    """What the live release wrote of them before: the very text that a reviewer judged first of all. 1 query."""
    summaries = Summary.objects.filter(
        document__in=[result.document_id for result in results],
        release=trial.release,
        source=Summary.Source.BATCH,
    )
    kept = dict(summaries.values_list("document", "text"))
    for result in results:
        if result.review is not None and result.review.summary.release_id == trial.release_id:
            kept[result.document_id] = result.review.summary.text
    return kept


def _write(
    result: PromptTrialResult,
    live: Release,
    spec: PromptSpec,
    kept: str | None,
    should_stop: Callable[[], bool],
) -> None:
    document = result.document
    try:
        if kept is None:
            result.live_text = _ask(document, live, None, should_stop).text
        else:
            result.live_text, result.live_kept = kept, True
        served = _ask(document, live, spec, should_stop)
        result.tried_text, result.tried_seconds = served.text, served.latency_ms / 1000
        if served.truncated and served.total_text_tokens:
            result.read_share = served.kept_text_tokens / served.total_text_tokens
        result.live_scores = _scores(document, result.target, result.live_text)
        result.tried_scores = _scores(document, result.target, result.tried_text)
    except InvalidInput as error:  # this article with this prompt is too long; others may fit
        result.error = error.message
    result.finished_at = timezone.now()
    result.save()


def _ask(
    document: SourceDocument, live: Release, spec: PromptSpec | None, should_stop: Callable[[], bool]
) -> ServedSummary:
    """Patient with a model that is busy. Raises Unavailable once patience is at its end, JobCancelled."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            served = client.generate(
                text=document.text, title=document.title, domain=document.domain, prompt=spec
            )
        except Unavailable as busy:
            if time.monotonic() > until:
                raise
            _rest(min(busy.retry_after, 5, until - time.monotonic()), should_stop)
            continue
        if served.release_id != live.pk:
            raise Refused(
                f"Release {served.release_id} went live meanwhile, so the rest would be written by another model. "
                "Run it again."
            )
        return served


def _rest(seconds: float, should_stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if should_stop():
            raise JobCancelled
        time.sleep(0.2)


def _scores(document: SourceDocument, target: str, text: str) -> dict[str, float]:
    from models_app.evaluation.rouge import score_pair  # numpy: jobs only

    scores: dict[str, float] = {
        "numbers": len(unsupported_numbers(document.text, text)),
        "names": len(unsupported_names(document.text, text)),
    }
    if target:
        rouge = score_pair(target, text)
        scores |= {metric: getattr(rouge, metric).fmeasure for metric in METRICS}
    return scores


# ---------------------------------------------------------------- what all of them say together


def report(results: Sequence[PromptTrialResult]) -> dict[str, Any]:
    """Mean lengths, what the sources do not say, and ROUGE against the targets with a paired interval; no verdict."""
    written = [result for result in results if result.finished_at is not None and not result.error]
    scored = [result for result in written if result.target]
    means = {
        side: {
            "words": _mean([len(getattr(result, f"{side}_text").split()) for result in written]),
            "numbers": sum(getattr(result, f"{side}_scores")["numbers"] for result in written),
            "names": sum(getattr(result, f"{side}_scores")["names"] for result in written),
        }
        for side in ("live", "tried")
    }
    return {
        "written": len(written),
        "failed": sum(bool(result.error) for result in results),
        "same": sum(result.live_text == result.tried_text for result in written),
        "scored": len(scored),
        "from_left": sum(_edited_from_left(result) for result in scored),
        **means,
        "rouge": list(_compared(scored)) if scored else [],
    }


def _edited_from_left(result: PromptTrialResult) -> bool:
    """Whether the correction was made by editing the very text that stands for the live prompt."""
    return (
        result.target_kind == PromptTrialResult.Target.CORRECTION
        and result.review is not None
        and result.review.summary.text.strip() == result.live_text.strip()
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _compared(scored: Sequence[PromptTrialResult]) -> Iterator[dict[str, Any]]:
    import numpy as np

    from models_app.evaluation.metrics import METRICS as CATALOGUE
    from models_app.evaluation.statistics import compare

    columns = [
        np.array(
            [[getattr(result, side)[metric] for metric in METRICS] for result in scored], dtype=np.float64
        )
        for side in ("live_scores", "tried_scores")
    ]
    for row in compare(columns[0], columns[1], [CATALOGUE[metric] for metric in METRICS], seed=SEED):
        yield {
            "metric": CATALOGUE[row.metric].label, "n": row.n, "before": row.before, "after": row.after,
            "delta": row.delta, "low": row.low, "high": row.high, "better": row.wins, "worse": row.losses,
        }  # fmt: skip


def ended(*, job: Job) -> None:
    """Tell the person who asked, where it was a long one."""
    trial = PromptTrial.objects.select_related("requested_by", "job").filter(job=job).first()
    if trial is None or job.state == Job.State.CANCELLED:
        return
    count = trial.results.count()
    if count < TELL_FROM and job.state == Job.State.SUCCEEDED:
        return
    how = "is done" if job.state == Job.State.SUCCEEDED else "did not succeed"
    notify(
        user=trial.requested_by, kind=Notification.Kind.TRIAL, subject=trial, url=trial_url(trial),
        text=f"Your prompt trial on {count} article{'' if count == 1 else 's'} {how}.",
    )  # fmt: skip


def trial_url(trial: PromptTrial) -> str:
    return f"{reverse('prompt_playground')}?trial={trial.pk}"
