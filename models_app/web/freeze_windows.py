"""The freeze windows of a policy on its form: a row of fields for each, as many as somebody asks for.

Moments are typed and shown in the installation's time zone. A window that nobody touched stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone

from models_app.foundation.errors import InvalidInput
from models_app.gates.approvals import LONGEST_REASON, MOST_FREEZES, Freeze, freeze, wrong_with

#: What every field of the rows is called after, and their buttons: the setting that they are.
NAME = "approvals.freezes"
_FIELDS = {"from": "since", "to": "until", "reason": "reason"}


def _moment(label: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    return forms.DateTimeField(label=label, widget=widget)


class WindowForm(forms.Form):
    since = _moment("From")
    until = _moment("To")
    reason = forms.CharField(max_length=LONGEST_REASON)

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if not self.errors:
            for name, words in wrong_with(Freeze(**given)).items():
                self.add_error(_FIELDS[name], words)
        return given


@dataclass(frozen=True)
class WindowRow:
    place: int
    form: WindowForm

    @property
    def is_over(self) -> bool:
        try:
            until: datetime = self.form.fields["until"].clean(self.form["until"].value())
        except ValidationError:
            return False
        return until <= timezone.now()


def rows_of(windows: Sequence[Mapping[str, str]]) -> list[WindowRow]:
    return [
        WindowRow(place, WindowForm(prefix=f"{NAME}.{place}", initial=vars(found)))
        for place, one in enumerate(windows)
        if (found := freeze(one)) is not None
    ]


def rows_sent(sent: QueryDict) -> list[WindowRow]:
    """Those of a form as somebody sent it, with what they asked for: one more, or one less."""
    changing = is_changing_rows(sent)
    rows = []
    for place in sent.getlist(f"{NAME}.row")[: MOST_FREEZES + 1]:
        if not re.fullmatch("[0-9]{1,3}", place):
            raise InvalidInput("This form has a freeze window of no number. Load the page again.")
        if place == sent.get(f"{NAME}.remove"):
            continue
        form = WindowForm(sent, prefix=f"{NAME}.{place}")
        if changing:  # what is half written is no mistake yet
            written = {name: form[name].value() for name in form.fields}
            form = WindowForm(prefix=form.prefix, initial=written)
        rows.append(WindowRow(int(place), form))
    if f"{NAME}.add" in sent and len(rows) < MOST_FREEZES:
        following = max((row.place for row in rows), default=-1) + 1
        rows.append(WindowRow(following, WindowForm(prefix=f"{NAME}.{following}")))
    return rows


def is_changing_rows(sent: QueryDict) -> bool:
    return f"{NAME}.add" in sent or f"{NAME}.remove" in sent


def windows_of(
    rows: Sequence[WindowRow], held: Sequence[Mapping[str, str]]
) -> list[Mapping[str, str]] | None:
    """As the policy has them; None where a row says what is wrong with it."""
    if not all(row.form.is_valid() for row in rows):
        return None
    as_written = {_shown(found): one for one in held if (found := freeze(one)) is not None}
    windows = [Freeze(**row.form.cleaned_data) for row in rows]
    return [
        as_written.get(
            _shown(one),
            {"from": one.since.isoformat(), "to": one.until.isoformat(), "reason": one.reason},
        )
        for one in windows
    ]


def _shown(window: Freeze) -> tuple[datetime, datetime, str]:
    """As a field shows it, which is to the minute."""
    since, until = (moment.replace(second=0, microsecond=0) for moment in (window.since, window.until))
    return since, until, window.reason.strip()
