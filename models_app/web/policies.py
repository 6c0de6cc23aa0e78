"""Policies: what releases of an environment have to pass, its versions, and changing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from models_app.foundation.errors import InvalidInput, Refused
from models_app.gates import describing, policies
from models_app.gates.approvals import MOST_FREEZES, Freezes
from models_app.gates.describing import Setting
from models_app.gates.policy import Policy, changes
from models_app.gates.rollout import MOST_STEPS, PARTS, Steps
from models_app.gates.slices import fields_of_test_sets
from models_app.models import CaseSet, EvaluationSet, GatePolicy
from models_app.models.releases import Environment
from models_app.releases.approvers import too_few_for
from models_app.texts.needs import NumberFor, OneOf, SomeOf
from models_app.texts.normalise import row_number
from models_app.web import freeze_windows
from models_app.web.pages import capability, is_fragment, paginate

PER_PAGE = 20


@require_safe
@capability("view_models")
def index(request: HttpRequest) -> HttpResponse:
    """That of the first environment; its page names the others."""
    return redirect("policy", Environment.objects.earliest("pk").name)


@require_safe
@capability("view_models")
def policy(request: HttpRequest, environment: str) -> HttpResponse:
    return _shown(request, _environment(environment))


@require_safe
@capability("view_models")
def version(request: HttpRequest, environment: str, number: int) -> HttpResponse:
    return _shown(request, _environment(environment), number)


def _environment(name: str) -> Environment:
    return get_object_or_404(Environment, name=name)


def _shown(request: HttpRequest, environment: Environment, number: int | None = None) -> HttpResponse:
    rows = GatePolicy.objects.filter(environment=environment).select_related("made_by", "environment")
    row = get_object_or_404(rows, number=number) if number is not None else rows.order_by("-number").first()
    history = policies.history(environment)
    context: dict[str, Any] = {
        "environment": environment,
        "environments": Environment.objects.order_by("pk"),
        "row": row,
        "newest": history[0].row.number if history else None,
        "sections": None,
        "problem": "",
        "page": paginate(request, history, PER_PAGE),
    }
    if row is not None:
        try:
            read = policies.read(row)
            context["sections"] = describing.sections(read)
            if row.number == context["newest"]:
                context["too_few"] = too_few_for(row, read)
        except Refused as refused:
            context["problem"] = refused.message
    context["versions"] = [(one, describing.changed(one.changes)) for one in context["page"]]
    return render(request, "models_app/releases/policy.html", context)


@require_safe
@capability("view_models")
def differences(request: HttpRequest, environment: str) -> HttpResponse:
    """Between two versions, `?before=` and `?after=`; without them between the last two."""
    found = _environment(environment)
    rows = {row.number: row for row in GatePolicy.objects.filter(environment=found).select_related("made_by")}
    numbers = sorted(rows)
    after = _number(request, "after", rows) or numbers[-1]
    before = _number(request, "before", rows) or max([one for one in numbers if one < after], default=after)
    context = {
        "environment": found,
        "numbers": numbers,
        "before": rows[before],
        "after": rows[after],
        "changed": None,
        "problem": "",
    }
    try:
        read = [policies.read(rows[one]) for one in (before, after)]
        context["changed"] = describing.changed(changes(*read))
    except Refused as refused:
        context["problem"] = refused.message
    return render(request, "models_app/releases/policy_changes.html", context)


def _number(request: HttpRequest, name: str, rows: Mapping[int, GatePolicy]) -> int | None:
    """The version asked for; None where none is."""
    raw = request.GET.get(name, "")
    if not raw:
        return None
    number = row_number(raw)
    if number not in rows:
        raise InvalidInput(f"There is no policy {raw[:20]!r}.")
    return number


# ---------------------------------------------------------------- changing it


class PolicyForm(forms.Form):
    """A control for each setting, by what it needs. Checks nothing that the policy says itself: what is wrong comes
    back with the setting's name."""

    expected = forms.IntegerField(widget=forms.HiddenInput)
    reason = forms.CharField(
        max_length=policies.LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Why the policy changes. The record keeps it.",
    )

    def __init__(self, sent: QueryDict | None, *, held: GatePolicy, policy: Policy) -> None:
        """As it was sent. Where that asks for one freeze window more or less, what is half written is no mistake."""
        changing = sent is not None and freeze_windows.is_changing_rows(sent)
        super().__init__(None if changing else sent, initial={"expected": held.number})
        self.sections = describing.sections(policy)
        self.policy = policy
        for setting in self._settings():
            for name, field in _controls(setting):
                self.fields[name] = field
        if changing:
            self.initial = {
                name: field.widget.value_from_datadict(sent, {}, name) for name, field in self.fields.items()
            }
        self.windows = (
            freeze_windows.rows_of(policy.approvals.freezes)
            if sent is None
            else freeze_windows.rows_sent(sent)
        )

    def _settings(self) -> list[Setting]:
        return [setting for section in self.sections for setting in section.settings]

    @property
    def shown(self) -> list[tuple[str, list[tuple[Setting, list[forms.BoundField], list[str]]]]]:
        """By section its settings, each with its controls and what is wrong with it as a whole."""
        return [
            (
                section.title,
                [
                    (
                        setting,
                        [self[name] for name, _ in _controls(setting)],
                        self.wrong.get(setting.name, []),
                    )
                    for setting in section.settings
                ],
            )
            for section in self.sections
        ]

    @property
    def wrong(self) -> dict[str, list[str]]:
        return getattr(self, "_wrong", {})

    def settings(self) -> dict[str, dict[str, Any]] | None:
        """What was sent, as a policy has it. What is no number stays what it is, to be refused by its name. None where
        a freeze window is none."""
        windows = freeze_windows.windows_of(self.windows, self.policy.approvals.freezes)
        if windows is None:
            return None
        found: dict[str, dict[str, Any]] = {}
        for setting in self._settings():
            value = windows if _is_windows(setting) else _sent(self.data, setting)
            found.setdefault(setting.section, {})[setting.field] = value
        return found

    def put(self, fields: Mapping[str, str]) -> None:
        """What the policy refuses, at its controls."""
        wrong: dict[str, list[str]] = {}
        for name, message in fields.items():
            setting = next((one for one in self._settings() if one.name == name), None)
            if setting is not None and isinstance(setting.need.rule, NumberFor | Freezes | Steps):
                wrong.setdefault(name, []).append(message)
            else:
                self.add_error(name if name in self.fields else None, message)
        self._wrong = wrong


def _is_windows(setting: Setting) -> bool:
    return isinstance(setting.need.rule, Freezes)


def _controls(setting: Setting) -> list[tuple[str, forms.Field]]:
    """None of freeze windows, which have rows of fields."""
    need, name = setting.need, setting.name
    kind: Any = need.kind
    said: dict[str, Any] = {"label": setting.label, "help_text": setting.help, "required": False}
    if isinstance(need.rule, NumberFor):
        return [
            (
                f"{name}.{key}",
                forms.CharField(
                    label=label, required=False, initial=_number_text(setting.value.get(key)),
                    help_text=describing.unit(need, key), widget=_number_input(),
                ),
            )
            for key, label in describing.choices(need)
        ]  # fmt: skip
    if isinstance(need.rule, Steps):
        return [
            (
                f"{name}.{row}.{part}",
                forms.CharField(
                    label=f"Step {row}", required=False, help_text=label, widget=_number_input(),
                    initial=setting.value[row - 1][part] if row <= len(setting.value) else "",
                ),
            )
            for row in range(1, MOST_STEPS + 1)
            for part, label in PARTS.items()
        ]  # fmt: skip
    if isinstance(need.rule, SomeOf):
        choices = describing.choices(need)
        if need.rule.others is not None:
            others = sorted({*fields_of_test_sets(), *setting.value}.difference(need.rule.choices))
            choices += [(name, name) for name in others]
        several = forms.MultipleChoiceField(
            **said, choices=choices, initial=setting.value,
            widget=forms.CheckboxSelectMultiple(attrs={"class": "choices"}),
        )  # fmt: skip
        return [(name, several)]
    if isinstance(need.rule, OneOf):
        one = forms.ChoiceField(
            label=setting.label,
            help_text=setting.help,
            choices=describing.choices(need),
            initial=setting.value,
        )
        return [(name, one)]
    if kind is bool:
        return [(name, forms.BooleanField(**said, initial=setting.value))]
    if name in _ROWS:  # what is not there is the policy's to refuse, by name
        chosen = forms.CharField(
            **said, initial=setting.value, widget=forms.Select(choices=[("", "none"), *_ROWS[name]()])
        )
        return [(name, chosen)]
    if kind in (int, float):
        text = forms.CharField(
            label=setting.label, required=not need.optional, initial=_number_text(setting.value),
            help_text=" ".join(filter(None, (setting.help, need.words))), widget=_number_input(),
        )  # fmt: skip
        return [(name, text)]
    if _is_windows(setting):
        return []
    return [(name, forms.CharField(**said, initial=setting.value))]


def _test_sets() -> list[tuple[int, str]]:
    rows = EvaluationSet.objects.order_by("-pk")
    return [(row.pk, f"{row} · {row.name} ({row.rows:,} documents)") for row in rows]


def _case_sets() -> list[tuple[str, str]]:
    return [(name, name) for name in CaseSet.objects.order_by("name").values_list("name", flat=True)]


#: Settings that name a row of these, by number or name.
_ROWS: Mapping[str, Callable[[], Sequence[tuple[Any, str]]]] = {
    "primary.test_set": _test_sets,
    "forgetting.test_set": _test_sets,
    "cases.case_set": _case_sets,
}


def _number_input() -> forms.TextInput:
    return forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})


def _number_text(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _sent(data: Any, setting: Setting) -> Any:
    need, name = setting.need, setting.name
    if isinstance(need.rule, NumberFor):
        sent = {key: data.get(f"{name}.{key}", "").strip() for key in need.rule.choices}
        return {key: _as_number(text) for key, text in sent.items() if text}
    if isinstance(need.rule, Steps):
        rows = [
            {part: data.get(f"{name}.{row}.{part}", "").strip() for part in PARTS}
            for row in range(1, MOST_STEPS + 1)
        ]
        return [{part: _as_number(text) for part, text in row.items()} for row in rows if any(row.values())]
    if isinstance(need.rule, SomeOf):
        return data.getlist(name)
    if need.kind is bool and not need.optional:
        return bool(data.get(name))
    text = data.get(name, "").strip()
    if not text and need.optional:
        return None
    if need.kind in (int, float):
        return _as_number(text)
    return text


def _as_number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text) if len(text) < 30 else text
        except ValueError:
            continue
    return text


@require_http_methods(["GET", "HEAD", "POST"])
@capability("edit_policy")
def edit(request: HttpRequest, environment: str) -> HttpResponse:
    found = _environment(environment)
    held = policies.holding(found)
    try:
        now = policies.read(held)
    except Refused:
        now = Policy()  # the page says so; what is saved takes its place
    form = PolicyForm(request.POST if request.method == "POST" else None, held=held, policy=now)
    context = {
        "environment": found, "form": form, "held": held, "readable": policies.is_readable(held),
        "windows": form.windows, "most_windows": MOST_FREEZES, "zone": timezone.get_current_timezone_name(),
    }  # fmt: skip
    if request.method != "POST" or freeze_windows.is_changing_rows(request.POST):
        page = "_freezes.html" if is_fragment(request) else "policy_edit.html"
        return render(request, f"models_app/releases/{page}", context)
    status, settings = 422, form.settings()
    if form.is_valid() and settings is not None:
        try:
            made = policies.change_policy(
                environment=found, settings=settings, reason=form.cleaned_data["reason"],
                expected=form.cleaned_data["expected"], actor=request.user,
            )  # fmt: skip
        except InvalidInput as error:
            form.put(error.fields)
        except Refused as error:
            form.add_error(None, error.message)
            status = error.status
        else:
            messages.success(
                request, f"Policy {made.number} holds. What waits for approval has to be judged by it."
            )
            return redirect("policy", found.name)
    return render(request, "models_app/releases/policy_edit.html", context, status=status)


urlpatterns = [
    path("", index, name="policies"),
    path("<str:environment>/", policy, name="policy"),
    path("<str:environment>/edit/", edit, name="policy_edit"),
    path("<str:environment>/changes/", differences, name="policy_changes"),
    path("<str:environment>/<int:number>/", version, name="policy_version"),
]
