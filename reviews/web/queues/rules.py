"""What enters a queue by itself."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from models_app.foundation.errors import InvalidInput
from models_app.texts.comment_classes import COMPLAINTS
from models_app.web.fields import field_of
from reviews.filling import rule_runs
from reviews.models import QueueRule
from reviews.queues import queries, rules
from reviews.web.queues.shared import manages, put_errors, queue_of


class FewStarsForm(forms.Form):
    at_most = field_of(rules.FewStars, "at_most", label="Stars or fewer")


class ComplaintForm(forms.Form):
    classes = forms.MultipleChoiceField(
        label="About",
        choices=[(str(name), str(name)) for name in COMPLAINTS],
        widget=forms.CheckboxSelectMultiple,
    )


class WantsForm(forms.Form):
    retrain = field_of(rules.Wants, "retrain", label="Needs retraining")
    refine = field_of(rules.Wants, "refine", label="Prompt problem")


SOURCES = [("both", "drafts and live requests"), ("drafts", "drafts"), ("requests", "live requests")]


class CheckForm(forms.Form):
    of = field_of(rules.Check, "of", label="Of", choices=SOURCES)
    numbers = field_of(rules.Check, "numbers", label="Numbers that the article does not have")
    names = field_of(
        rules.Check,
        "names",
        label="Names that the article does not have",
        help_text="Other spellings of a name are flagged too.",
    )
    repetition = field_of(
        rules.Check,
        "repetition",
        label="More repeated than",
        help_text="Share of repeated groups of three words, such as 0.2. Empty: not looked at.",
    )
    shortest = field_of(rules.Check, "shortest", label="Fewer words than")
    longest = field_of(rules.Check, "longest", label="More words than")


class ShareForm(forms.Form):
    of = field_of(rules.Share, "of", label="Of", choices=SOURCES)
    percent = field_of(rules.Share, "percent", label="Per cent")


class DriftForm(forms.Form):
    by = field_of(
        rules.Drift, "by", label="By", choices=[("domain", "domain"), ("length", "length of the article")]
    )
    days = field_of(rules.Drift, "days", label="Days")
    reference_days = field_of(rules.Drift, "reference_days", label="Compared with the days before")
    least = field_of(
        rules.Drift, "least", label="Requests needed in either", help_text="With fewer nothing is said."
    )
    most = field_of(rules.Drift, "most", label="Items at most")
    certainty = field_of(rules.Drift, "certainty", label="Certainty")


RULES: dict[str, tuple[type[forms.Form], str]] = {
    rules.FewStars.kind: (FewStarsForm, "Clients' feedback with few stars."),
    rules.Complaint.kind: (ComplaintForm, "Clients' comments that complain."),
    rules.Wants.kind: (WantsForm, "Clients' wishes."),
    rules.Check.kind: (CheckForm, "What can be counted about a summary, without judging its words."),
    rules.Share.kind: (ShareForm, "A fair sample: what nobody complained about has to be looked at too."),
    rules.Drift.kind: (DriftForm, "Kinds of articles that come more often than they did."),
}


@manages
def rules_page(request: HttpRequest, slug: str) -> HttpResponse:
    queue = queue_of(slug)
    there = queries.rules_of(queue)
    sent = request.POST.get("kind", "") if request.method == "POST" else ""
    if sent and sent not in RULES:
        raise InvalidInput("There is no such rule.", fields={"kind": ", ".join(RULES)})
    forms_by_kind = {
        kind: form(
            request.POST if kind == sent else None,
            initial=there[kind].rule.params if kind in there else rules.to_json(rules.KINDS[kind]()),
            prefix=kind.split()[0],
        )
        for kind, (form, _) in RULES.items()
    }
    form = forms_by_kind.get(sent)
    if form is not None and form.is_valid():
        try:
            rule_runs.set_rule(
                queue=queue,
                kind=sent,
                params=form.cleaned_data,
                active=bool(request.POST.get("active")),
                actor=request.user,
            )
        except InvalidInput as error:
            put_errors(form, error)
        else:
            messages.success(request, "Saved. It looks at what comes every five minutes.")
            return redirect("queue_rules", slug)
    context = {
        "queue": queue,
        "tab": "rules",
        "rows": [
            {
                "kind": kind,
                "about": about,
                "form": forms_by_kind[kind],
                "there": there.get(kind),
                "sent": kind == sent,
            }
            for kind, (_, about) in RULES.items()
        ],
    }
    invalid = form is not None and form.errors
    return render(request, "reviews/queues/rules.html", context, status=422 if invalid else 200)


@require_POST
@manages
def rule_remove(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    rule = get_object_or_404(QueueRule.objects.select_related("queue"), pk=pk, queue__slug=slug)
    rule_runs.remove_rule(rule=rule, actor=request.user)
    messages.success(request, "Removed. What it added stays.")
    return redirect("queue_rules", slug)
