"""Releases: what waits for a decision, a release with everything it stands on, composing one, deciding on one."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_POST, require_safe

from models_app import queries
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.people import preferences, said_when_submitted
from models_app.evaluation.reading import Reading
from models_app.evaluation.terms import SLICE_FLOOR
from models_app.evaluation.wording import margins_in_words
from models_app.evidence.card import model_card
from models_app.evidence.envelope import fingerprint
from models_app.evidence.files import evidence_file
from models_app.evidence.keys import public_key
from models_app.foundation.errors import GalleyError, InvalidInput, Refused, TooManyTries
from models_app.foundation.roles import allowed
from models_app.gates import running
from models_app.ml.recipe import Decoding
from models_app.models import (
    Approval,
    Comparison,
    ComparisonResult,
    GateRun,
    Incident,
    ModelVersion,
    PromptVersion,
    Release,
    Slot,
)
from models_app.models.releases import Environment, live_release
from models_app.people.proving import has_codes
from models_app.releases.accounts import no_judges
from models_app.releases.approving import approve, ask_for_changes, confirmation, may_decide, reject
from models_app.releases.commenting import LONGEST_COMMENT, comment_on_release
from models_app.releases.composing import (
    LONGEST_NOTE,
    LONGEST_REASON,
    compose_release,
    origin_beside,
    usual_decoding,
    usual_prompt,
    withdraw_release,
)
from models_app.releases.emergency import (
    may_declare,
    may_review,
    open_incidents,
    put_live_in_emergency,
    review_incident,
)
from models_app.releases.freezes import freeze_for
from models_app.releases.hands import involved
from models_app.releases.standing import evidence_problem, needed_approvals
from models_app.texts.normalise import row_number
from models_app.web import charts, slices
from models_app.web.comparisons import MetricRow, falls_of, metric_rows
from models_app.web.evidence import (
    LineagePicture,
    Step,
    counted,
    doubts,
    gate_rows,
    headline,
    lineage_picture,
    nine_documents,
)
from models_app.web.human_evaluation import asked_about
from models_app.web.pages import capability, is_fragment, page_or_fragment, paginate, user_of
from models_app.web.trail import page_url, tell

TABS = (("", "All"), ("open", "Open"), ("ended", "Ended"), ("all", "Include baselines"))
SHOWN_METRICS = (
    "rouge2",
    "rouge1",
    "rougeL",
    "rougeLsum",
    "repetition",
    "unsupported_numbers",
    "unsupported_names",
)
HEADINGS = {
    "draft": "is a draft",
    "evaluating": "is evaluated",
    "blocked": "is blocked",
    "needs evidence": "needs evidence",
    "awaiting approval": "waits for approval",
    "changes requested": "needs changes",
    "rejected": "was rejected",
    "expired": "has expired",
    "withdrawn": "was withdrawn",
    "approved": "is approved",
    "warming": "is warming up",
    "live": "is live",
    "failed": "could not be loaded",
    "superseded": "was superseded",
    "rolled back": "was rolled back",
}

#: What goes on without anybody doing anything.
MOVING = (Release.State.EVALUATING, Release.State.WARMING)
#: What is submitted again with the same comparison, to have the gates judge it again.
JUDGED_AGAIN = (Release.State.BLOCKED, Release.State.NEEDS_EVIDENCE, Release.State.AWAITING)


# ---------------------------------------------------------------- the list


@require_safe
@capability("view_models")
def releases(request: HttpRequest) -> HttpResponse:
    shown = request.GET.get("show", "")
    page = paginate(request, queries.releases(shown if shown in dict(TABS) else ""), 25)
    held = queries.approvals_held(list(page))
    context = {
        "page": page,
        "rows": [(release, held.get(release.pk, 0)) for release in page],
        "tabs": TABS,
        "shown": shown,
        "moving": any(release.state in MOVING for release in page),
        "incidents": open_incidents(),
        "single": Environment.objects.filter(approvals_required=1),
    }
    return page_or_fragment(
        request, "models_app/releases/index.html", "models_app/releases/_list.html", context
    )


# ---------------------------------------------------------------- composing


class ComposeForm(forms.Form):
    model_version = forms.ModelChoiceField(ModelVersion.objects.all(), label="Model", empty_label=None)
    prompt_version = forms.ModelChoiceField(
        PromptVersion.objects.select_related("prompt"), label="Prompt", empty_label=None
    )
    max_words = forms.IntegerField(help_text="What the prompt asks for where it says {max_words}.")
    max_new_tokens = forms.IntegerField(help_text="Where writing stops at the latest.")
    min_new_tokens = forms.IntegerField()
    max_input_tokens = forms.IntegerField(help_text="Longer articles are cut at a sentence end.")
    beams = forms.IntegerField(help_text="1 takes the likeliest next word each time; more cost time.")
    length_penalty = forms.FloatField(help_text="Above 1 prefers longer texts; counts with several beams.")
    repetition_penalty = forms.FloatField(help_text="1 is none; 1.1 discourages repeating words.")
    no_repeat_ngram = forms.IntegerField(help_text="0 allows every repetition.")
    note = forms.CharField(
        required=False,
        max_length=LONGEST_NOTE,
        help_text="What changes, in a sentence, for the people who decide.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in queries.SETTING_LABELS.items():
            self.fields[name].label = label

    @property
    def decoding_fields(self) -> list[forms.BoundField]:
        return [self[field.name] for field in fields(Decoding)]


def _initial(request: HttpRequest, live: Release | None) -> dict[str, Any]:
    """From an earlier release, or the model and prompt asked for, else the newest model with what is live."""
    start = _asked(request, "from", Release.objects.select_related("model_version", "prompt_version"))
    if start is not None:
        decoding = Decoding.from_dict(start.decoding).to_dict()
        return {
            "model_version": start.model_version_id,
            "prompt_version": start.prompt_version_id,
            "note": start.note,
            **decoding,
        }
    model = _asked(request, "model_version", ModelVersion.objects.select_related("training_run"))
    model = model or ModelVersion.objects.select_related("training_run").exclude(family="lead").first()
    if model is None:
        return dict(Decoding().to_dict())
    prompt = _asked(request, "prompt_version", PromptVersion.objects.select_related("prompt"))
    prompt = prompt or usual_prompt(model, live)
    return {
        "model_version": model.pk,
        "prompt_version": prompt.pk if prompt is not None else None,
        **usual_decoding(model, live),
    }


def _asked(request: HttpRequest, name: str, rows: Any) -> Any | None:
    raw = request.GET.get(name, "")
    return rows.filter(pk=row_number(raw)).first()


@capability("submit_release")
def new_release(request: HttpRequest) -> HttpResponse:
    live = live_release()
    form = ComposeForm(request.POST or None, initial=_initial(request, live) if not request.POST else None)
    if request.method == "POST" and form.is_valid():
        try:
            release = _compose(request, form, live)
        except InvalidInput as error:
            for name, message in (error.fields or {"": error.message}).items():
                form.add_error(name if name in form.fields else None, message)
        else:
            return _after_composing(request, release)
    context = {"form": form, "live": live, "models": ModelVersion.objects.exists()}
    if form.errors:
        return render(request, "models_app/releases/new.html", context, status=422)
    return page_or_fragment(
        request, "models_app/releases/new.html", "models_app/releases/_new_fields.html", context
    )


def _compose(request: HttpRequest, form: ComposeForm, live: Release | None) -> Release:
    values = form.cleaned_data
    return compose_release(
        model_version=values["model_version"],
        prompt_version=values["prompt_version"],
        decoding={field.name: values[field.name] for field in fields(Decoding)},
        origin=origin_beside(
            live, model_version=values["model_version"], prompt_version=values["prompt_version"]
        ),
        note=values["note"],
        actor=request.user,
    )


def _after_composing(request: HttpRequest, release: Release) -> HttpResponse:
    if release.state != Release.State.DRAFT:
        messages.info(
            request, f"Release {release.pk} is exactly this already; it is {release.state}. Nothing was made."
        )
        return redirect("release", release.pk)
    messages.success(request, f"Release {release.pk} is created. Nothing changes for anybody yet.")
    if "evaluate" in request.POST and allowed(request.user, "evaluate"):
        return redirect(f"{reverse('comparison_new')}?candidate={release.pk}")
    return redirect("release", release.pk)


# ---------------------------------------------------------------- a release


#: What a person may do with a release that waits, by the value of the button.
DECISIONS: dict[str, Any] = {
    "approve": approve,
    "reject": reject,
    "changes": ask_for_changes,
    "emergency": put_live_in_emergency,
}


class DecisionForm(forms.Form):
    reason = forms.CharField(
        max_length=LONGEST_REASON, widget=forms.Textarea(attrs={"rows": 3}), help_text="The record keeps it."
    )
    said = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    password = forms.CharField(
        label="Your password",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "required": True}),
        help_text="Asked for again, so that an open screen decides nothing.",
    )
    code = forms.CharField(
        label="Or a code",
        required=False,
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
        help_text="Of your authenticator app, in place of the password.",
    )
    evidence_digest = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, release: Release, user: Any) -> None:
        super().__init__(data, initial={"evidence_digest": release.evidence_digest})
        sentence = confirmation(release)
        if sentence:
            self.fields["said"].label = f"To approve, type “{sentence}”"
            self.fields["said"].help_text = "It is not an improvement. Only Approve needs it."
        else:
            del self.fields["said"]
        if has_codes(user):
            del self.fields["password"].widget.attrs["required"]
        else:
            del self.fields["code"]

    @property
    def signed(self) -> dict[str, str]:
        """What was given, for the use case."""
        return dict(self.cleaned_data)


def _release(pk: int) -> Release:
    return get_object_or_404(
        Release.objects.select_related(
            "model_version__parent", "model_version__training_run__snapshot", "prompt_version__prompt",
            "prompt_version__parent", "environment", "created_by", "requested_by", "comparison__lead",
            "comparison__candidate__evaluation_set", "comparison__baseline__release__model_version",
            "comparison__baseline__release__prompt_version__prompt",
        ),
        pk=pk,
    )  # fmt: skip


@require_safe
@capability("view_models")
def release_page(request: HttpRequest, pk: int) -> HttpResponse:
    context = _context(request, _release(pk))
    answer = page_or_fragment(
        request, "models_app/releases/release.html", "models_app/releases/_release.html", context
    )
    if is_fragment(request) and not context["moving"]:
        answer["HX-Refresh"] = "true"  # it has arrived: heading and buttons change too
    return answer


def _context(request: HttpRequest, release: Release, form: DecisionForm | None = None) -> dict[str, Any]:
    live = live_release(release.environment.name)
    comparisons = queries.comparisons_of(release)
    comparison = release.comparison or next(
        (row for row in comparisons if live is None or row.baseline.release_id == live.pk), None
    )
    baseline = _baseline(release, comparison, live)
    settings = queries.settings_beside(baseline, release)
    waiting = release.state == Release.State.AWAITING
    hands = involved(release)
    left_out = no_judges(release, hands)
    decisions = queries.decisions_told(release, hands=hands)
    # once it has been live, what let it go live is history
    judged = release.state in (Release.State.AWAITING, Release.State.APPROVED, Release.State.WARMING)
    held = sum(
        told.row.decision == Approval.Decision.APPROVED
        and told.row.voided_at is None
        and not (judged and told.problem)
        for told in decisions
    )
    needed = needed_approvals(release)
    comparing = queries.comparing(release)
    may, why = may_decide(release, request.user, hands=hands) if waiting else (False, "")
    declares = may_declare(release, request.user, hands=hands)
    results = list(ComparisonResult.objects.filter(comparison=comparison)) if comparison is not None else []
    rows = _metric_rows(results)
    run = running.newest(release)
    return {
        "release": release,
        "heading": "is a baseline" if release.origin == Release.Origin.BASELINE else HEADINGS[release.state],
        "this": f"release {release.pk}",
        "live": live,
        "baseline": baseline,
        "comparison": comparison,
        "rows": rows,
        "margins": margins_in_words((row.metric, row.result.margin) for row in rows),
        "people": preferences(candidate=release, hands=left_out),
        "asked": asked_about(release, comparison, left_out=left_out),
        "may_let_choose": allowed(request.user, "manage_queues"),
        "submitted": said_when_submitted(release),
        "others": [row for row in comparisons if comparison is None or row.pk != comparison.pk],
        "comparing": comparing,
        "lineage": _lineage(release, comparison, comparing is not None, held, needed),
        "data": queries.data_beside(baseline, release),
        "evidence_key": public_key(),
        "evidence_fingerprint": fingerprint(public_key()),
        "settings": settings,
        "decoding_changed": any(setting.changed for setting in settings),
        "decisions": decisions,
        "judged": judged,
        "held": held,
        "needed": needed,
        "may": may,
        "why": why,
        "problem": evidence_problem(release) if waiting else "",
        "form": form or (DecisionForm(release=release, user=request.user) if may or declares else None),
        "confirmation": confirmation(release),
        "may_declare": declares,
        **_said(request, release),
        "trail": tell(queries.trail(release, comparisons)),
        "times": queries.times_live(release),
        "slot": Slot.objects.filter(release=release).first()
        if release.state == Release.State.WARMING
        else None,
        "newer": _newer(release, comparisons, live),
        **_evidence(release, comparison, results, run, at=None if waiting else _decided_at(decisions)),
        "same": _same(release, live),
        "freeze": freeze_for(release)
        if release.state in (Release.State.AWAITING, Release.State.APPROVED)
        else None,
        "moving": release.state in MOVING or (comparing is not None and not waiting),
        "is_baseline": release.origin == Release.Origin.BASELINE,
        "ended": release.state in Release.ENDED,
        "may_withdraw": release.state in Release.SUBMITTABLE and allowed(request.user, "submit_release"),
    }


def _said(request: HttpRequest, release: Release, comment: CommentForm | None = None) -> dict[str, Any]:
    """Comments, and emergencies with the people who may review them."""
    return {
        "comments": queries.comments(release),
        "comment_form": comment or CommentForm(),
        "incidents": [
            (incident, *may_review(incident, request.user)) for incident in queries.incidents(release)
        ],
    }


def _baseline(release: Release, comparison: Comparison | None, live: Release | None) -> Release | None:
    """What the release is set beside: what it was compared with, what it replaced, or what is live."""
    if comparison is not None:
        return comparison.baseline.release
    if release.state in Release.SUBMITTABLE:
        return live if live is not None and live.pk != release.pk else None
    return queries.before_in_service(release)


def _newer(release: Release, comparisons: list[Comparison], live: Release | None) -> Comparison | None:
    """A comparison with what is live that a release can be submitted with: a draft, or one that waits on an older."""
    if release.state not in Release.SUBMITTABLE:
        return None
    for row in comparisons:
        if row.pk != release.comparison_id and (live is None or row.baseline.release_id == live.pk):
            return row
    return None


def _same(release: Release, live: Release | None) -> Comparison | None:
    """The comparison that it was submitted with, where the gates can be judged on it again."""
    comparison = release.comparison
    if comparison is None or release.state not in JUDGED_AGAIN:
        return None
    return comparison if live is None or comparison.baseline.release_id == live.pk else None


def _metric_rows(results: list[ComparisonResult]) -> list[MetricRow]:
    rows = {row.metric.key: row for row in metric_rows(results)}
    return [rows[name] for name in SHOWN_METRICS if name in rows and name in METRICS]


def _decided_at(decisions: list[queries.Decision]) -> datetime | None:
    given = [told.row.at for told in decisions if told.row.decision == Approval.Decision.APPROVED]
    return max(given, default=None)


def _evidence(
    release: Release,
    comparison: Comparison | None,
    results: list[ComparisonResult],
    run: GateRun | None,
    *,
    at: datetime | None,
) -> dict[str, Any]:
    """What is read before a decision; all of it was computed before and is only looked up. `at`: when it was decided
    on, for the waivers that held then."""
    outcome = running.outcome(run, at=at) if run is not None else None
    glance = gate_rows(outcome.findings if outcome is not None else (), release=release.pk)
    told: dict[str, Any] = {
        "run": run,
        "gate_rows": glance,
        "counted": counted(outcome.findings) if outcome is not None else "",
        "gates_moving": run is not None and run.state in GateRun.ACTIVE,
    }
    if comparison is None:
        return told
    reading = Reading.of_json(comparison.reading) if comparison.reading else None
    metric = METRICS[comparison.primary_metric]
    nine = nine_documents(comparison, reading) if reading is not None else []
    told |= {
        "metric": metric,
        "verdict": headline(comparison, outcome),
        "slices": slices.of_comparison(results, metric.key, floor=comparison.terms.get("floor", SLICE_FLOOR)),
        "nine": nine,
        "doubts": doubts(glance, nine, falls_of(results), comparison),
        "reading": reading,
    }
    if reading is not None:
        sides = (reading.bins.below, reading.bins.above)
        worse, better = sides if metric.better != "lower" else sides[::-1]
        told |= {
            "got_worse": worse,
            "stayed_the_same": reading.bins.equal,
            "got_better": better,
            "histogram": charts.histogram(
                reading.bins,
                title=f"{metric.label}, after minus before, by document",
                higher_is_better=metric.better != "lower",
                marks=[one.after - one.before for one in reading.documents],
            ),
        }
    return told


def _lineage(
    release: Release, comparison: Comparison | None, comparing: bool, held: int, needed: int
) -> LineagePicture:
    later = [
        _compared(comparison, comparing),
        _gated(release),
        _decided(release, comparison, held, needed),
        _live(release),
    ]
    tested = None
    documents = "split once"
    if comparison is not None:
        test_set = comparison.candidate.evaluation_set
        tested = Step(
            f"Test set {test_set.pk}", f"{test_set.rows:,} documents, held out", "done",
            page_url("test_set", test_set.pk),
        )  # fmt: skip
    return lineage_picture(_origins(release), later, test_set=tested, documents=documents)


def _origins(release: Release) -> list[Step]:
    """Where the weights come from; for a new prompt, the prompt first."""
    model = release.model_version
    size = f"{model.precision}, {model.size_bytes / 1e6:,.0f} MB" if model.size_bytes else model.architecture
    model_step = Step(f"Model {model.pk}", size, "done", page_url("model", model.pk))
    if release.origin == Release.Origin.PROMPT:
        version = release.prompt_version
        return [Step(str(version), "prompt", "done", page_url("prompt_version", version.pk)), model_step]
    found = queries.lineage(release)
    if found.run is None or found.snapshot is None:
        return [Step("Base model", model.base, "done"), model_step]
    seconds = found.run.summary.get("seconds")
    took = f"{seconds / 60:.0f} min, {found.run.device}" if seconds else found.run.device or found.run.state
    return [
        Step("Feedback", f"{found.corrections:,} examples", "done", page_url("snapshot", found.snapshot.pk)),
        Step(
            f"Snapshot {found.snapshot.pk}",
            f"{found.rows:,} rows",
            "done",
            page_url("snapshot", found.snapshot.pk),
        ),
        Step(f"Training {found.run.pk}", took, "done", page_url("training_run", found.run.pk)),
        model_step,
    ]


def _compared(comparison: Comparison | None, comparing: bool) -> Step:
    if comparison is None:
        return Step("Comparison", "under way" if comparing else "–", "now" if comparing else "")
    kind = "bad" if comparison.verdict == "worse" else "done"
    url = page_url("comparison", comparison.pk)
    return Step(f"Comparison {comparison.pk}", comparison.verdict, kind, url)


def _gated(release: Release) -> Step:
    state = release.state
    if state == Release.State.EVALUATING:
        return Step("Gates", "being judged", "now")
    if state in (Release.State.BLOCKED, Release.State.NEEDS_EVIDENCE):
        return Step("Gates", state, "bad" if state == Release.State.BLOCKED else "now")
    if state == Release.State.DRAFT or not release.evidence.get("gates"):
        return Step("Gates", "–")
    return Step("Gates", "passed", "done")


def _decided(release: Release, comparison: Comparison | None, held: int, needed: int) -> Step:
    if release.state == Release.State.DRAFT:
        return Step("Approval", "not asked for", "now" if comparison is not None else "")
    if release.state == Release.State.AWAITING:
        return Step("Approval", f"{held} of {needed}", "now")
    if release.state in (Release.State.EVALUATING, Release.State.BLOCKED, Release.State.NEEDS_EVIDENCE):
        return Step("Approval", "–")
    if release.state == Release.State.CHANGES:
        return Step("Approval", release.state, "now")
    if release.state in (Release.State.REJECTED, Release.State.EXPIRED, Release.State.WITHDRAWN):
        return Step("Approval", release.state, "bad")
    if not release.evidence_digest:
        return Step("Approval", "installed by Galley", "done")
    return Step("Approval", f"{held} of {needed}", "done")


def _live(release: Release) -> Step:
    url = page_url("deployments")
    state = release.state
    if state == Release.State.APPROVED:
        return Step("Live", "waits to be started", "now", url)
    if state == Release.State.WARMING:
        return Step("Live", "its model is loading", "now", url)
    if state in (Release.State.FAILED, Release.State.ROLLED_BACK):
        return Step("Live", state, "bad", url)
    if state in (Release.State.LIVE, Release.State.SUPERSEDED):
        return Step("Live", "now" if state == Release.State.LIVE else "superseded", "done", url)
    return Step("Live", "–")


@require_safe
@capability("view_models")
def evidence(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything the decision is based on, as a signed file."""
    release = _release(pk)
    answer = HttpResponse(evidence_file(release), content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="release-{release.pk}-evidence.json"'
    return answer


@require_safe
@capability("view_models")
def card(request: HttpRequest, pk: int) -> HttpResponse:
    """The model card, to read or, with `?download=1`, as a file."""
    release = _release(pk)
    content = model_card(release)
    if "download" not in request.GET:
        return render(request, "models_app/releases/card.html", {"release": release, "card": content})
    answer = HttpResponse(content, content_type="text/markdown; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="README.md"'
    return answer


# ---------------------------------------------------------------- what people do with one


@require_POST
@capability("approve_release")
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    release = _release(pk)
    form = DecisionForm(request.POST, release=release, user=request.user)
    act = DECISIONS.get(request.POST.get("decision", ""))
    if act is None:
        raise InvalidInput("Say whether you approve, reject or ask for changes.")
    problem: GalleyError | None = None
    if form.is_valid():
        problem = _decided_by(request, release, form, act)
        if problem is None:
            return redirect("release", pk)
    context = _context(request, _release(pk), form)
    status = 422 if problem is None else problem.status
    answer = render(request, "models_app/releases/release.html", context, status=status)
    if isinstance(problem, TooManyTries):
        answer["Retry-After"] = str(problem.retry_after)
    return answer


def _decided_by(request: HttpRequest, release: Release, form: DecisionForm, act: Any) -> GalleyError | None:
    """None where the decision stands; what is wrong is put on the form."""
    given = form.signed
    if act not in (approve, put_live_in_emergency):
        given.pop("said", None)
    try:
        act(release=release, actor=request.user, **given)
    except TooManyTries as error:
        form.add_error("code" if given.get("code") else "password", error.message)
        return error
    except (InvalidInput, Refused) as error:
        for name, message in (error.fields or {"": error.message}).items():
            form.add_error(name if name in form.fields else None, message)
        # what is shown now is what the next try is about
        digest = Release.objects.values_list("evidence_digest", flat=True).get(pk=release.pk)
        form.data = {**{name: form.data.get(name) for name in form.data}, "evidence_digest": digest}
        return error
    release.refresh_from_db(fields=["state"])
    said = {
        "awaiting approval": "Your approval is recorded; it takes another one.",
        "approved": f"Release {release.pk} is approved and starts when the freeze window is over.",
        "changes requested": f"Release {release.pk} went back to who asked for it, with what you wrote.",
        "rejected": f"Release {release.pk} is rejected. What is live stays live.",
    }
    messages.success(
        request,
        said.get(release.state, f"Release {release.pk} is approved and goes live when its model answers."),
    )
    return None


class CommentForm(forms.Form):
    text = forms.CharField(
        label="Comment",
        max_length=LONGEST_COMMENT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="All who see the release read it; nobody changes it afterwards.",
    )


@require_POST
@capability("view_models")
def comment(request: HttpRequest, pk: int) -> HttpResponse:
    release = _release(pk)
    form = CommentForm(request.POST)
    if form.is_valid():
        try:
            comment_on_release(release=release, text=form.cleaned_data["text"], actor=request.user)
        except InvalidInput as error:
            form.add_error("text", error.message)
        else:
            return redirect(f"{reverse('release', args=[pk])}#comments")
    context = _context(request, release) | _said(request, release, form)
    return render(request, "models_app/releases/release.html", context, status=422)


@require_POST
@capability("approve_release")
def review(request: HttpRequest, pk: int) -> HttpResponse:
    incident = get_object_or_404(Incident.objects.select_related("release"), pk=pk)
    review_incident(incident=incident, actor=user_of(request), words=request.POST.get("reason", ""))
    messages.success(request, f"Incident {pk} is reviewed.")
    return redirect("release", incident.release_id)


@require_POST
@capability("submit_release")
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    release = _release(pk)
    withdraw_release(release=release, actor=request.user, reason=request.POST.get("reason", ""))
    messages.success(request, f"Release {pk} is withdrawn.")
    return redirect("release", pk)


urlpatterns = [
    path("", releases, name="releases"),
    path("new/", new_release, name="release_new"),
    path("<int:pk>/", release_page, name="release"),
    path("<int:pk>/evidence.json", evidence, name="release_evidence"),
    path("<int:pk>/card/", card, name="release_card"),
    path("<int:pk>/decide/", decide, name="release_decide"),
    path("<int:pk>/comment/", comment, name="release_comment"),
    path("<int:pk>/withdraw/", withdraw, name="release_withdraw"),
    path("incidents/<int:pk>/review/", review, name="incident_review"),
]
