"""The audit trail: found by who, what, about what and when; verified; downloaded."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from models_app import doors
from models_app.evidence import keys
from models_app.evidence.envelope import fingerprint
from models_app.foundation import audit as chain
from models_app.foundation import audit_anchors, jobs
from models_app.models import AuditEvent, Job
from models_app.web.pages import capability, page_or_fragment
from models_app.web.trail import PHRASES, SUBJECTS, tell_with_doors

PER_PAGE = 50
CHUNK = 1000
COLUMNS = (
    "id", "at", "actor", "door", "door_which", "action", "subject", "from", "to", "reason", "data", "hash"
)  # fmt: skip


class FilterForm(forms.Form):
    who = forms.CharField(
        required=False, max_length=150, help_text="A user's name; galley is the installation itself."
    )
    action = forms.ChoiceField(required=False)
    subject = forms.CharField(
        label="About", required=False, max_length=100, help_text="Such as release 14, or release."
    )
    door = forms.ChoiceField(
        required=False, choices=[("", "any"), *((kind.value, words) for kind, words in doors.WORDS.items())]
    )
    which = forms.CharField(
        label="Which door",
        required=False,
        max_length=100,
        help_text="How its name begins: a token's first characters, a command, a page, a kind of job.",
    )
    since = forms.DateField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        groups: dict[str, list[tuple[str, str]]] = {}
        for action in sorted(PHRASES):
            groups.setdefault(action.split(".")[0], []).append((action, action))
        choices: list[Any] = [("", "any")]
        for name, members in groups.items():
            choices += [(f"{name}.", f"{name}: all"), *members] if len(members) > 1 else members
        field = self.fields["action"]
        assert isinstance(field, forms.ChoiceField)  # nosec B101 (for the types)
        field.choices = choices

    def clean_subject(self) -> str:
        """'release 14' and 'Release:14' are 'release:14'; 'snapshot 7' is 'datasetsnapshot:7'."""
        words = self.cleaned_data["subject"].strip().lower().replace(":", " ")
        name, _, key = words.rpartition(" ") if words[-1:].isdecimal() else (words, "", "")
        names = {word: table for table, (word, _) in SUBJECTS.items()}
        name = names.get(name.strip(), name.strip().replace(" ", ""))
        return f"{name}:{key}" if key else name

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        since, until = values.get("since"), values.get("until")
        if since and until and since > until:
            self.add_error("until", "This is before the first day.")
        return values

    def rows(self) -> QuerySet[AuditEvent]:
        rows = AuditEvent.objects.all()
        if not self.is_valid():
            return rows.none()
        values = self.cleaned_data
        if values["who"]:
            rows = _by(rows, values["who"].strip())
        if values["action"].endswith("."):
            rows = rows.filter(action__startswith=values["action"])
        elif values["action"]:
            rows = rows.filter(action=values["action"])
        if ":" in values["subject"]:
            rows = rows.filter(subject=values["subject"])
        elif values["subject"]:
            rows = rows.filter(subject__startswith=f"{values['subject']}:")
        if values["door"]:
            rows = rows.filter(door=values["door"])
        if values["which"]:
            rows = rows.filter(door_which__startswith=values["which"].strip())
        if values["since"]:
            rows = rows.filter(pk__gte=_first_at(_midnight(values["since"])))
        if values["until"]:
            rows = rows.filter(pk__lt=_first_at(_midnight(values["until"] + timedelta(days=1))))
        return rows


def _by(rows: QuerySet[AuditEvent], name: str) -> QuerySet[AuditEvent]:
    """By the account where there is one, since it has an index; else by the name that was written."""
    if name.lower() == "galley":
        return rows.filter(actor=None)
    user = User.objects.filter(username__iexact=name).first()
    return rows.filter(actor=user) if user is not None else rows.filter(actor_name=name)


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _first_at(moment: datetime) -> int:
    """The number of the first event from then on; numbers grow with time, so a page needs only the primary key."""
    found = (
        AuditEvent.objects.filter(at__gte=moment).order_by("at", "id").values_list("id", flat=True).first()
    )
    return found if found is not None else 2**62


@require_safe
@capability("view_audit")
def audit(request: HttpRequest) -> HttpResponse:
    """Newest first. Pages begin before an event's number: nothing is counted, however long the trail is."""
    form = FilterForm(request.GET or None) if _asked(request) else FilterForm({})
    rows = form.rows()
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows.order_by("-id")[: PER_PAGE + 1])
    shown = found[:PER_PAGE]
    last = chain.last_of(chain.VERIFIED, audit_anchors.ACTION)
    context = {
        "form": form,
        "told": tell_with_doors(shown),
        "older": shown[-1].pk if len(found) > PER_PAGE else None,
        "beyond": bool(before),
        "filtered": _asked(request),
        "verified": last.get(chain.VERIFIED),
        "anchored": last.get(audit_anchors.ACTION),
        "newest": AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0,
        "evidence_key": keys.public_key(),
        "evidence_fingerprint": fingerprint(keys.public_key()),
        "verifying": Job.objects.filter(kind="verify_audit", state__in=Job.ACTIVE).first(),
    }
    status = 422 if form.errors else 200
    return page_or_fragment(
        request, "models_app/audit/index.html", "models_app/audit/_list.html", context, status=status
    )


def _asked(request: HttpRequest) -> bool:
    return any(request.GET.get(name) for name in FilterForm.base_fields)


@require_POST
@capability("view_audit")
def verify(request: HttpRequest) -> HttpResponse:
    job = jobs.enqueue(
        kind="verify_audit", actor=request.user, subject="audit", unique_key="verify_audit", max_attempts=1
    )
    messages.success(request, f"The trail is being verified (job {job.pk}); the finding shows here.")
    return redirect("audit")


# ---------------------------------------------------------------- download


def _events(rows: QuerySet[AuditEvent]) -> Iterator[AuditEvent]:
    """Oldest first, in short queries: a slow reader holds no cursor open."""
    last = 0
    while chunk := list(rows.filter(pk__gt=last).order_by("id")[:CHUNK]):
        yield from chunk
        last = chunk[-1].pk


def _values(event: AuditEvent, reader: User | AnonymousUser) -> dict[str, Any]:
    return {
        "id": event.pk,
        "at": event.at.isoformat(),
        "actor": event.actor_name,
        "door": event.door,
        "door_which": event.door_which,
        "action": event.action,
        "subject": event.subject,
        "from": event.from_state,
        "to": event.to_state,
        "reason": event.reason,
        "data": chain.data_for(event, reader),
        "hash": event.hash,
    }


def _cell(value: object) -> str:
    """Spreadsheets run what begins like a formula; an apostrophe makes it text."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


class _Echo:
    def write(self, line: str) -> str:
        return line


def _csv(events: Iterator[AuditEvent], reader: User | AnonymousUser) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for event in events:
        yield writer.writerow([_cell(value) for value in _values(event, reader).values()])


def _lines(events: Iterator[AuditEvent], reader: User | AnonymousUser) -> Iterator[str]:
    for event in events:
        yield json.dumps(_values(event, reader), ensure_ascii=False) + "\n"


@require_safe
@capability("view_audit")
def download(request: HttpRequest, extension: str) -> HttpResponse:
    """What the filters find, as it is read: nothing is held in memory."""
    form = FilterForm(request.GET)
    if not form.is_valid():
        return audit(request)
    events = _events(form.rows())
    if extension == "csv":
        answer = StreamingHttpResponse(_csv(events, request.user), content_type="text/csv; charset=utf-8")
    else:
        answer = StreamingHttpResponse(
            _lines(events, request.user), content_type="application/jsonl; charset=utf-8"
        )
    name = f"audit-{timezone.localtime():%Y-%m-%d}.{extension}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return cast(HttpResponse, answer)  # the decorators of views know no other kind of answer


urlpatterns = [
    path("", audit, name="audit"),
    path("verify/", verify, name="audit_verify"),
    path("audit.csv", download, {"extension": "csv"}, name="audit_csv"),
    path("audit.jsonl", download, {"extension": "jsonl"}, name="audit_jsonl"),
]
