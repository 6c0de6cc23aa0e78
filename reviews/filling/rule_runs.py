"""Rules fill queues: on clients' feedback as it comes, and every few minutes on whatever came since the last time.

Each rule remembers how far it has looked (`QueueRule.place`), and a summary is in a queue once, so filling twice adds
nothing. What was put in is recorded, with the rule, the number and the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from models_app.foundation import audit, jobs
from models_app.foundation.errors import InvalidInput
from models_app.foundation.jobs import JobCancelled
from models_app.foundation.roles import require
from models_app.models import ClientFeedback, InferenceRequest, Job
from reviews.filling.client_feedback import bring_back, take_in
from reviews.models import QueueItem, QueueRule, ReviewQueue, Summary
from reviews.queues import rules
from reviews.queues.items import Entry, put_many
from reviews.queues.rules import Check, Drift, Share, params_of

FEEDBACK_KINDS = (QueueRule.Kind.FEW_STARS, QueueRule.Kind.COMPLAINT, QueueRule.Kind.WANTS)
BATCH = 500
MOST_IN_ONE_RUN = 20_000
DRIFT_EVERY = timedelta(hours=1)
# Rows get their numbers before they are committed: what is younger may still lack a neighbour.
SETTLED = timedelta(minutes=1)
_REASONS = {QueueRule.Kind.CHECK: QueueItem.Reason.CHECK, QueueRule.Kind.SHARE: QueueItem.Reason.SHARE}
_URGENCY = {QueueRule.Kind.CHECK: 10, QueueRule.Kind.SHARE: 0, QueueRule.Kind.DRIFT: 5}


# ---------------------------------------------------------------- rules of a queue


def set_rule(
    *, queue: ReviewQueue, kind: str, params: dict[str, Any], active: bool = True, actor: Any | None
) -> QueueRule:
    """The queue's rule of this kind, made or changed. A new one looks at what comes from now on."""
    require(actor, "manage_queues")
    checked = rules.to_json(params_of(kind, params))
    if queue.kind not in ReviewQueue.AT_DESK:
        raise InvalidInput(
            "Only queues of the review desk are filled by rules.",
            fields={"kind": f"This queue is: {queue.kind}."},
        )
    with transaction.atomic():
        rule, made = QueueRule.objects.select_for_update().get_or_create(
            queue=queue,
            kind=kind,
            defaults={"params": checked, "active": active, "created_by": actor, "place": _here()},
        )
        if not made and (rule.params, rule.active) == (checked, active):
            return rule
        before = None if made else {"params": rule.params, "active": rule.active}
        if not made:
            if active and not rule.active:
                rule.place = _here()  # what came while it was off is not made up for
            rule.params, rule.active = checked, active
            rule.save(update_fields=["params", "active", "place"])
        audit.record(
            actor=actor, action="rule.create" if made else "rule.change", subject=rule,
            data={"queue": queue.slug, "kind": kind, "params": checked, "active": active, "before": before},
        )  # fmt: skip
    return rule


def remove_rule(*, rule: QueueRule, actor: Any | None) -> None:
    """What it put in stays in."""
    require(actor, "manage_queues")
    with transaction.atomic():
        audit.record(
            actor=actor, action="rule.remove", subject=rule,
            data={"queue": rule.queue.slug, "kind": rule.kind, "params": rule.params},
        )  # fmt: skip
        rule.delete()


def _here() -> dict[str, Any]:
    last = Summary.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    feedback = ClientFeedback.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    return {"summary": last, "feedback": feedback, "request": timezone.now().isoformat()}


# ---------------------------------------------------------------- every few minutes


def fill_later() -> Job | None:
    """Called by the queue's clock: a job, where some rule has anything to look at."""
    if not any(_has_work(rule) for rule in _active_rules()):
        return None
    return jobs.enqueue(kind="fill_queues", actor=None, unique_key="fill_queues", deadline_seconds=1800)


def fill_queues(
    *, progress: Callable[[int, int], None] | None = None, should_stop: Callable[[], bool] | None = None
) -> dict[str, int]:
    """Let every active rule look at what came since it last looked. Returns how many items each rule put in."""
    found = {}
    active = list(_active_rules())
    for number, rule in enumerate(active):
        if should_stop is not None and should_stop():
            raise JobCancelled
        found[f"{rule.queue.slug}: {rule.kind}"] = fill(rule=rule)
        if progress is not None:
            progress(number + 1, len(active))
    return found


def fill(*, rule: QueueRule) -> int:
    """Carry out one rule; one transaction a batch, in which its place moves too. Returns how many it put in."""
    if rule.kind in FEEDBACK_KINDS:
        return _from_feedback(rule)
    params = params_of(rule.kind, rule.params)
    if isinstance(params, Drift):
        return _from_drift(rule, params)
    assert isinstance(params, Check | Share)  # nosec B101 (for the types)
    return sum(_step(rule, batch) for batch in _batches(rule, params))


def _active_rules() -> Iterable[QueueRule]:
    return QueueRule.objects.filter(
        active=True, queue__active=True, queue__kind__in=ReviewQueue.AT_DESK
    ).select_related("queue")


def _has_work(rule: QueueRule) -> bool:
    if rule.kind in FEEDBACK_KINDS:
        return _new_feedback(rule).exists()
    params = params_of(rule.kind, rule.params)
    if isinstance(params, Drift):
        return rule.last_run_at is None or timezone.now() - rule.last_run_at >= DRIFT_EVERY
    of = params.of  # type: ignore[union-attr]
    return (of != "requests" and _new_drafts(rule).exists()) or (
        of != "drafts" and _new_requests(rule).exists()
    )


# ---------------------------------------------------------------- what is new


@dataclass(frozen=True)
class _Batch:
    """What a rule wants of one stretch of rows, and the place after it."""

    place: dict[str, Any]
    drafts: Sequence[tuple[int, str]] = ()  # (summary, note)
    requests: Sequence[tuple[InferenceRequest, str]] = ()


def _settled() -> datetime:
    return timezone.now() - SETTLED


def _new_drafts(rule: QueueRule) -> Any:
    return Summary.objects.filter(
        pk__gt=rule.place.get("summary", 0), source=Summary.Source.BATCH, created_at__lt=_settled()
    ).order_by("pk")


def _new_requests(rule: QueueRule) -> Any:
    since = parse_datetime(rule.place.get("request", "")) or rule.created_at
    return (
        InferenceRequest.objects.filter(created_at__gt=since, created_at__lt=_settled(), outcome="ok")
        .exclude(text="")
        .order_by("created_at")
    )


def _new_feedback(rule: QueueRule) -> Any:
    return (
        ClientFeedback.objects.filter(pk__gt=rule.place.get("feedback", 0), created_at__lt=_settled())
        .select_related("request")
        .order_by("pk")
    )


def _batches(rule: QueueRule, params: Check | Share) -> Iterator[_Batch]:
    """`rule.place` moves on as each batch is kept."""
    looked = 0
    while params.of != "requests" and looked < MOST_IN_ONE_RUN:
        rows = list(_new_drafts(rule).select_related("document")[:BATCH])
        if not rows:
            break
        looked += len(rows)
        yield _Batch(
            {**rule.place, "summary": rows[-1].pk},
            drafts=[
                (row.pk, note)
                for row in rows
                if (note := _wanted(params, f"summary {row.pk}", row.document.text, row.text)) is not None
            ],
        )
    looked = 0
    while params.of != "drafts" and looked < MOST_IN_ONE_RUN:
        requests = list(_new_requests(rule)[:BATCH])
        if not requests:
            break
        looked += len(requests)
        yield _Batch(
            {**rule.place, "request": requests[-1].created_at.isoformat()},
            requests=[
                (row, note)
                for row in requests
                if (note := _wanted(params, f"request {row.pk}", row.text, row.summary)) is not None
            ],
        )


def _wanted(params: Check | Share, key: str, source: str, summary: str) -> str | None:
    """The note for the item, or None where the rule does not want it."""
    if isinstance(params, Share):
        return "" if params.takes(key) else None
    found = params.flags(source=source, summary=summary)
    return f"A check found {'; '.join(found)}." if found else None


def _step(rule: QueueRule, batch: _Batch) -> int:
    """Put one batch in and move the rule's place, in one transaction."""
    with transaction.atomic():
        entries = [Entry(pk, note) for pk, note in batch.drafts]
        entries += [
            Entry(summary.pk, note)
            for request, note in batch.requests
            if (summary := take_in(request)) is not None
        ]
        reason = _REASONS[QueueRule.Kind(rule.kind)]
        count = _put(rule, entries, reason)
        _move_on(rule, batch.place)
    return count


def _put(rule: QueueRule, entries: Sequence[Entry], reason: QueueItem.Reason) -> int:
    count = put_many(
        queue=rule.queue, entries=entries, reason=reason, priority=_URGENCY[QueueRule.Kind(rule.kind)], actor=None
    )  # fmt: skip
    if count:
        _record(rule, count)
    return count


def _record(rule: QueueRule, count: int) -> None:
    audit.record(
        actor=None, action="queue.fill", subject=rule.queue,
        data={"rule": rule.pk, "kind": rule.kind, "items": count},
    )  # fmt: skip


def _move_on(rule: QueueRule, place: dict[str, Any]) -> None:
    rule.place, rule.last_run_at = place, timezone.now()
    QueueRule.objects.filter(pk=rule.pk).update(place=place, last_run_at=rule.last_run_at)


def _from_feedback(rule: QueueRule) -> int:
    """What came as feedback was looked at when it came; this finds what a rule wants that is wider than that, and what
    was lost with a job."""
    count = 0
    for feedback in _new_feedback(rule)[:MOST_IN_ONE_RUN]:
        with transaction.atomic():
            new = bring_back(feedback=feedback, queues=[rule.queue]).new_items
            if new:
                _record(rule, new)
            _move_on(rule, {**rule.place, "feedback": feedback.pk})
        count += new
    return count


# ---------------------------------------------------------------- drift


def _from_drift(rule: QueueRule, params: Drift) -> int:
    """Of each kind of input that has grown, up to `most` requests of the window, drawn by hash."""
    now = timezone.now()
    start = now - timedelta(days=params.days)
    before = start - timedelta(days=params.reference_days)
    grown = rules.grown_shares(
        _shares(params, start, now),
        _shares(params, before, start),
        least=params.least,
        certainty=params.certainty,
    )
    count = 0
    with transaction.atomic():
        for shift in grown:
            note = f"More of this kind than before. {shift.words()}."
            there = QueueItem.objects.filter(
                queue=rule.queue, reason=QueueItem.Reason.DRIFT, created_at__gte=start,
                note__startswith=f"More of this kind than before. {shift.name}:",
            ).count()  # fmt: skip
            entries = [
                Entry(summary.pk, note)
                for request in _of_kind(params, shift.name, start, now)[: max(0, params.most - there)]
                if (summary := take_in(request)) is not None
            ]
            count += _put(rule, entries, QueueItem.Reason.DRIFT)
        _move_on(rule, rule.place)
    return count


def _shares(params: Drift, start: datetime, end: datetime) -> dict[str, int]:
    """How many answered requests of each kind; those of a window whose texts were not kept count too."""
    rows = InferenceRequest.objects.filter(created_at__gte=start, created_at__lt=end, outcome="ok").order_by()
    column = "domain" if params.by == "domain" else "input_words"
    counts: dict[str, int] = {}
    for value, number in rows.values_list(column).annotate(n=Count("pk")):
        name = (value or "no domain") if params.by == "domain" else rules.length_of(value)
        counts[name] = counts.get(name, 0) + number
    return counts


def _of_kind(params: Drift, name: str, start: datetime, end: datetime) -> list[InferenceRequest]:
    rows = (
        InferenceRequest.objects.filter(created_at__gte=start, created_at__lt=end, outcome="ok")
        .exclude(text="")
        .exclude(pk__in=Summary.objects.filter(request_id__isnull=False).values("request_id"))
    )
    if params.by == "domain":
        rows = rows.filter(domain="" if name == "no domain" else name)
    keys = [
        pk
        for pk, words in rows.values_list("pk", "input_words")
        if params.by == "domain" or rules.length_of(words) == name
    ]
    keys.sort(key=lambda pk: hashlib.sha256(str(pk).encode()).digest())
    found = rows.in_bulk(keys[: params.most])
    return [found[key] for key in keys[: params.most] if key in found]
