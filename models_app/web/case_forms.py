"""The form of a case: its article, and a row of fields for each assertion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from django import forms
from django.http import HttpRequest, QueryDict

from models_app.cases.assertions import (
    KINDS,
    LONGEST_ANSWER,
    MOST_ASSERTIONS,
    Assertion,
    Test,
    assertion_of,
    to_json,
)
from models_app.cases.writing import LONGEST_DOMAIN, LONGEST_REASON, Draft
from models_app.foundation.errors import GalleyError, InvalidInput
from models_app.models import CaseSet, CaseVersion

FIRST_SET = "Acceptance"
# What a case may be made from; anything else that a form says is dropped.
_ORIGIN = re.compile(r"(?:document|summary|feedbackexample|queueitem|request):[\w-]{1,36}")
_DISTANCE = "Word edit distance at most"
_TESTS = {
    Test.FUNCTIONALITY: "The summary",
    Test.INVARIANCE: "The article is changed; the summary stays as it is",
    Test.DIRECTION: "The article is changed; the summary follows",
}


class CaseForm(forms.Form):
    title = forms.CharField(required=False, max_length=CaseVersion.LONGEST_TITLE)
    domain = forms.CharField(
        required=False, max_length=LONGEST_DOMAIN, help_text="Some prompts tell the model of it."
    )
    article = forms.CharField(
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "dir": "auto"}),
        help_text="It stays as it is here, whatever becomes of the document.",
    )
    must_pass = forms.BooleanField(
        required=False,
        label="Must pass",
        help_text="Its failure alone fails a release, whatever share of the others passes.",
    )
    reason = forms.CharField(
        required=False, max_length=LONGEST_REASON, label="Why", help_text="The history of the set keeps it."
    )
    origin = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_origin(self) -> str:
        origin: str = self.cleaned_data["origin"]
        return origin if _ORIGIN.fullmatch(origin) else ""


class NewCaseForm(CaseForm):
    """Where there is no set yet, its field takes the name of the first one."""

    case_set = forms.ModelChoiceField(CaseSet.objects.all(), label="Set", empty_label=None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not CaseSet.objects.exists():
            self.fields["case_set"] = forms.CharField(
                label="Set", max_length=CaseSet.LONGEST_NAME, initial=FIRST_SET,
                help_text="There is none yet; it is made with this case.",
            )  # fmt: skip


class EditCaseForm(CaseForm):
    reason = forms.CharField(
        max_length=LONGEST_REASON, label="What changed and why", help_text="The history of the set keeps it."
    )
    #: The row of the case that was looked at.
    newest = forms.IntegerField(widget=forms.HiddenInput)


# ---------------------------------------------------------------- assertions


def _field(name: str) -> forms.Field:
    """The fields of all kinds of assertions, by name."""
    match name:
        case "text":
            return forms.CharField(label="Text", max_length=500)
        case "match_case":
            return forms.BooleanField(label="Written exactly so", required=False)
        case "number":
            return forms.CharField(label="Number", max_length=60)
        case "most":
            return forms.IntegerField(label="Words", min_value=1, max_value=10_000)
        case "language":
            return forms.CharField(label="Language", required=False, max_length=3)
        case "answer":
            return forms.CharField(
                label="Golden answer",
                max_length=LONGEST_ANSWER,
                widget=forms.Textarea(attrs={"rows": 3, "dir": "auto"}),
            )
        case "distance":
            return forms.FloatField(
                label=_DISTANCE,
                min_value=0,
                max_value=1,
                help_text="0.3: of ten words three may be added, left out or replaced.",
            )
        case "share":
            return forms.FloatField(label="Share of words with typos", min_value=0.001, max_value=0.5)
        case "seed":
            return forms.IntegerField(
                label="Seed", min_value=0, max_value=1_000_000, help_text="The same seed changes the same."
            )
        case "name":
            return forms.CharField(
                label="Person", max_length=120, help_text="As the article writes the name."
            )
        case "to":
            return forms.CharField(label="New name", max_length=120)
    raise AssertionError(f"a field without a form: {name}")


@dataclass(frozen=True)
class AssertionRow:
    place: int
    kind: type[Assertion]
    form: forms.Form

    @property
    def test(self) -> str:
        return self.kind.test.value

    def values(self) -> dict[str, Any]:
        return {"kind": self.kind.kind, **self.form.cleaned_data}


def _row(
    place: int, kind: type[Assertion], *, data: QueryDict | None = None, initial: Any = None
) -> AssertionRow:
    form = forms.Form(data, prefix=f"a{place}", initial=initial)
    for field in fields(kind):
        form.fields[field.name] = _field(field.name)
    return AssertionRow(place, kind, form)


def rows_of(assertions: Sequence[Assertion]) -> list[AssertionRow]:
    return [
        _row(place, KINDS[assertion.kind], initial=to_json(assertion))
        for place, assertion in enumerate(assertions)
    ]


def rows_sent(request: HttpRequest) -> list[AssertionRow]:
    """Those of a form as somebody sent it, with what they asked for: one more, or one less."""
    sent, changing = request.POST, is_changing_rows(request)
    rows = []
    for place in sent.getlist("row")[: MOST_ASSERTIONS + 1]:
        kind = KINDS.get(sent.get(f"a{place}-kind", ""))
        if kind is None or not re.fullmatch("[0-9]{1,3}", place):
            raise InvalidInput("This form has an assertion of no kind that there is. Load the page again.")
        if place == sent.get("remove"):
            continue
        # what is half written is no mistake yet
        written = {"initial": _written(sent, int(place), kind)} if changing else {"data": sent}
        rows.append(_row(int(place), kind, **written))
    kind = KINDS.get(sent.get("add_kind", ""))
    if "add" in sent and kind is not None and len(rows) < MOST_ASSERTIONS:
        next_place = max((row.place for row in rows), default=-1) + 1
        rows.append(_row(next_place, kind, initial=to_json(kind())))
    return rows


def _written(sent: QueryDict, place: int, kind: type[Assertion]) -> dict[str, str]:
    names = [field.name for field in fields(kind)]
    return {name: sent.get(f"a{place}-{name}", "") for name in names if f"a{place}-{name}" in sent}


def is_changing_rows(request: HttpRequest) -> bool:
    return "add" in request.POST or "remove" in request.POST


def choices() -> list[tuple[str, list[tuple[str, str]]]]:
    """(what is tested, [(kind, label)])"""
    return [
        (words, [(kind.kind, kind.label) for kind in KINDS.values() if kind.test == test])
        for test, words in _TESTS.items()
    ]


# ---------------------------------------------------------------- what a form comes to


def draft_of(form: CaseForm, rows: Sequence[AssertionRow]) -> Draft | None:
    """None where a field has no value that could be read; the fields say which."""
    valid = [row.form.is_valid() for row in rows]
    if not form.is_valid() or not all(valid):
        return None
    values = form.cleaned_data
    return Draft(
        article=values["article"],
        assertions=[row.values() for row in rows],
        title=values["title"],
        domain=values["domain"],
        must_pass=values["must_pass"],
        origin=values["origin"],
    )


def put_errors(form: CaseForm, rows: Sequence[AssertionRow], error: GalleyError) -> None:
    """Each at its field; of assertions by their place among those that were sent."""
    for name, words in (error.fields or {"": error.message}).items():
        part, _, rest = name.partition(".")
        place, _, field = rest.partition(".")
        if part == "assertions" and place.isdigit() and int(place) < len(rows):
            row = rows[int(place)].form
            row.add_error(field if field in row.fields else None, words)
        else:
            form.add_error(name if name in form.fields else None, words)


def initial_of(case: CaseVersion) -> dict[str, Any]:
    names = ("title", "domain", "article", "must_pass", "origin")
    return {**{name: getattr(case, name) for name in names}, "newest": case.pk}


def read_assertions(case: CaseVersion) -> list[Assertion]:
    return [assertion_of(values) for values in case.assertions]
