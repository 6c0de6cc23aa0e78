"""The playground: change a prompt, let the live model write with it, see what it does, keep it or suggest it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from models_app.foundation import jobs
from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.roles import allowed, require
from models_app.ml.prompting import VARIABLES
from models_app.models import PromptVersion, Release
from models_app.models.releases import live_release
from models_app.prompts.versions import check_template, plain
from models_app.releases.composing import compose_release
from models_app.texts.normalise import row_number
from models_app.web.pages import is_fragment, user_of
from reviews.lists.counted import number_of
from reviews.models import PromptSuggestion, PromptTrial, PromptTrialResult, ReviewQueue
from reviews.notifications.notices import mark_read_about
from reviews.prompts import trials
from reviews.prompts.suggestions import adopt_suggestion, save_version, suggest_prompt
from reviews.prompts.trials import MOST_ARTICLES, MOST_MENDED, Chosen, visible_trial
from reviews.prompts.trying import usable_documents
from reviews.queues.blindness import readable_suggestions
from reviews.web.prompts.versions import PromptForm, is_version, put_errors, say_saved, writers

NEWEST, FAILING = "newest", "failing"
EARLIER = 6


class PlaygroundForm(PromptForm):
    parent = forms.ModelChoiceField(
        PromptVersion.objects.select_related("prompt"), label="Start from", empty_label=None
    )
    which = forms.ChoiceField(
        label="Try it on",
        choices=[
            (NEWEST, "the newest articles"),
            (FAILING, "what reviewers found failing: would a prompt do it?"),
        ],
        widget=forms.RadioSelect,
        initial=NEWEST,
    )
    article = forms.CharField(
        label="Articles",
        required=False,
        max_length=200,
        help_text="Only those with this number, or these words in the title.",
    )
    queue = forms.ModelChoiceField(
        ReviewQueue.objects.filter(active=True), label="From", required=False, empty_label="all documents"
    )
    count = forms.IntegerField(label="How many", min_value=1, max_value=MOST_MENDED)
    suggestion = forms.ModelChoiceField(
        PromptSuggestion.objects.none(), required=False, widget=forms.HiddenInput
    )
    trial = forms.ModelChoiceField(
        PromptTrial.objects.select_related("requested_by"), required=False, widget=forms.HiddenInput
    )

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        suggestion = self.fields["suggestion"]
        assert isinstance(suggestion, forms.ModelChoiceField)  # nosec B101 (for the types)
        suggestion.queryset = readable_suggestions(PromptSuggestion.objects.filter(state="open"), actor)
        if not allowed(actor, "edit_prompts"):  # reviewers try theirs on what they reviewed
            del self.fields["which"]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        count = values.get("count")
        if count is not None and values.get("which") != FAILING and count > MOST_ARTICLES:
            self.add_error("count", f"At most {MOST_ARTICLES}; up to {MOST_MENDED} of the failing ones.")
        return values

    def words(self) -> tuple[str, str]:
        """System message and template. Raises InvalidInput at the field that is wrong."""
        kind = self.cleaned_data["parent"].prompt.kind
        system, template = plain(self.cleaned_data["system"]), plain(self.cleaned_data["template"])
        check_template(kind=kind, system=system, template=template)
        return system, template


def _number(request: HttpRequest, name: str) -> int | None:
    raw = request.GET.get(name, "")
    return row_number(raw)


# ---------------------------------------------------------------- the page


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@writers
def page(request: HttpRequest) -> HttpResponse:
    live = live_release()
    if request.method != "POST":
        pk = _number(request, "trial")
        trial = visible_trial(pk=pk, user=user_of(request)) if pk is not None else None
        initial = _again(request, trial) if trial is not None else _start(request, live)
        form = PlaygroundForm(initial=initial, actor=user_of(request))
        if is_fragment(request):
            return render(request, "reviews/prompts/_playground_prompt.html", _context(request, form, live))
        return render(request, "reviews/prompts/playground.html", _context(request, form, live, trial))
    form = PlaygroundForm(request.POST, actor=user_of(request))
    if not form.is_valid():
        return _page(request, form, live, status=422)
    try:
        if "save" in request.POST or "compose" in request.POST:
            return _save(request, form, live)
        if "suggest" in request.POST:
            return _suggest(request, form)
        return _run(request, form)
    except InvalidInput as error:
        put_errors(form, error)
        return _page(request, form, live, status=422)
    except Refused as error:
        form.add_error(None, error.message)
        return _page(request, form, live, status=422)


def _start(request: HttpRequest, live: Release | None) -> dict[str, Any]:
    """From a suggestion, a version, or what is live."""
    versions = PromptVersion.objects.select_related("prompt")
    failing = request.GET.get("which") == FAILING
    common = {"which": FAILING if failing else NEWEST, "count": MOST_ARTICLES if failing else 3}
    if (pk := _number(request, "suggestion")) is not None:
        require(request.user, "edit_prompts")
        rows = PromptSuggestion.objects.filter(state="open").select_related("based_on")
        suggestion = get_object_or_404(readable_suggestions(rows, user_of(request)), pk=pk)
        usable = usable_documents().filter(pk=suggestion.document_id).exists() and not failing
        return {
            **common,
            "parent": suggestion.based_on_id,
            "system": suggestion.system,
            "template": suggestion.template,
            "note": suggestion.note,
            "article": str(suggestion.document_id) if usable else "",
            "suggestion": suggestion.pk,
            "count": common["count"] if failing else 1,
        }
    pk = _number(request, "parent") or _number(request, "version")
    version = versions.filter(pk=pk).first() if pk is not None else None
    version = version or (live.prompt_version if live is not None else versions.order_by("-pk").first())
    document = _number(request, "document")
    return {
        **common,
        "parent": version.pk if version is not None else None,
        "system": version.system if version is not None else "",
        "template": version.template if version is not None else "",
        "article": str(document) if document is not None else "",
        "count": 1 if document is not None else common["count"],
    }


def _again(request: HttpRequest, trial: PromptTrial) -> dict[str, Any]:
    """What a trial was asked with, to go on from."""
    its_own = PromptSuggestion.objects.filter(trials=trial, state="open")
    suggestion = readable_suggestions(its_own, user_of(request)).first()
    return {
        "parent": trial.based_on_id,
        "system": trial.system,
        "template": trial.template,
        "which": FAILING if trial.purpose == PromptTrial.Purpose.FAILURES else NEWEST,
        "queue": trial.queue_id,
        "count": max(1, trial.results.count()),
        "suggestion": suggestion.pk if suggestion is not None else None,
        "trial": trial.pk,
    }


def _context(
    request: HttpRequest, form: PlaygroundForm, live: Release | None, trial: PromptTrial | None = None
) -> dict[str, Any]:
    chosen = number_of(str(form["parent"].value())) or 0
    parent = PromptVersion.objects.select_related("prompt").filter(pk=chosen).first()
    context: dict[str, Any] = {"form": form, "live": live, "parent": parent, "variables": VARIABLES}
    if trial is not None:
        context |= _trial_context(request, trial)
    else:
        context["earlier"] = (
            PromptTrial.objects.filter(requested_by=user_of(request))
            .select_related("based_on__prompt", "job")
            .order_by("-pk")[:EARLIER]
        )
    return context


def _page(request: HttpRequest, form: PlaygroundForm, live: Release | None, status: int) -> HttpResponse:
    template = (
        "reviews/prompts/_playground.html" if is_fragment(request) else "reviews/prompts/playground.html"
    )
    trial = form.cleaned_data.get("trial")
    shown = visible_trial(pk=trial.pk, user=user_of(request)) if trial is not None else None
    wrong = next((name for name in form.errors if name in form.fields), None)
    if wrong is not None:  # the form is a new one in the page: the keyboard goes on where something is wrong
        form.fields[wrong].widget.attrs["autofocus"] = True
    return render(request, template, _context(request, form, live, shown), status=status)


def _leave(request: HttpRequest, url: str) -> HttpResponse:
    """To another page, by htmx as well."""
    if is_fragment(request):
        answer = HttpResponse(status=204)
        answer["HX-Redirect"] = url
        return answer
    return redirect(url)


# ---------------------------------------------------------------- running it


def _run(request: HttpRequest, form: PlaygroundForm) -> HttpResponse:
    system, template = form.words()
    values, actor = form.cleaned_data, user_of(request)
    on_failures, queue = values.get("which") == FAILING, values["queue"]
    articles: list[Chosen]
    if "again" in request.POST and values["trial"] is not None:
        earlier = visible_trial(pk=values["trial"].pk, user=actor)
        on_failures, queue = earlier.purpose == PromptTrial.Purpose.FAILURES, earlier.queue
        articles = trials.same_articles(earlier)
    elif on_failures:
        articles = trials.failing_articles(
            words=values["article"], queue=queue, count=values["count"], actor=actor
        )
    else:
        articles = trials.choose_articles(
            words=values["article"], queue=queue, count=values["count"], actor=actor
        )
    trial = trials.start_trial(
        based_on=values["parent"],
        articles=articles,
        purpose=PromptTrial.Purpose.FAILURES if on_failures else PromptTrial.Purpose.PLAYGROUND,
        queue=queue,
        suggestion=values["suggestion"] if allowed(actor, "edit_prompts") else None,
        system=system,
        template=template,
        actor=actor,
    )
    return _leave(request, trials.trial_url(trial))


def _trial_context(request: HttpRequest, trial: PromptTrial) -> dict[str, Any]:
    """3 queries."""
    mark_read_about(user=user_of(request), subjects=[trial])
    results = list(trial.results.select_related("document").defer("document__text").order_by("position"))
    done = sum(result.finished_at is not None for result in results)
    job = trial.job
    return {
        "trial": trial,
        "job": job,
        "results": [_shown(result) for result in results if result.finished_at is not None],
        "awaited": len(results) - done,
        "done": done,
        "total": len(results),
        "active": job is not None and job.is_active,
        "on_failures": trial.purpose == PromptTrial.Purpose.FAILURES,
        "may_cancel": job is not None and job.is_active and job.cancel_requested_at is None
        and (trial.requested_by_id == request.user.pk or allowed(request.user, "manage_jobs")),
    }  # fmt: skip


def _shown(result: PromptTrialResult) -> dict[str, Any]:
    """What the card of an article says beside its texts."""
    live, tried = result.live_text.split(), result.tried_text.split()
    change = None
    if result.target and not result.error:
        change = 100 * (result.tried_scores["rouge2"] - result.live_scores["rouge2"])
    return {
        "result": result,
        "same": result.live_text == result.tried_text,
        "longer": len(tried) - len(live),
        "live_words": len(live),
        "tried_words": len(tried),
        "change": change,
    }


@never_cache
@require_safe
@writers
def trial(request: HttpRequest, pk: int) -> HttpResponse:
    """How far it is, for the page that waits; by itself it leads to the playground."""
    row = visible_trial(pk=pk, user=user_of(request))
    if not is_fragment(request):
        return redirect(trials.trial_url(row))
    return render(request, "reviews/prompts/_playground_results.html", _trial_context(request, row))


@require_POST
@writers
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    row = visible_trial(pk=pk, user=user_of(request))
    if row.job is None:
        raise Refused("This trial has no job to cancel.")
    jobs.cancel(job=row.job, actor=request.user)
    messages.info(request, "It stops after the article that is being written.")
    return redirect(trials.trial_url(row))


# ---------------------------------------------------------------- keeping it


def _suggest(request: HttpRequest, form: PlaygroundForm) -> HttpResponse:
    """A suggestion comes with an article that it was tried on and what the model wrote of it."""
    system, template = form.words()
    trial = form.cleaned_data["trial"]
    tried = None
    if trial is not None and trial.requested_by_id == request.user.pk:
        same = (trial.system, trial.template, trial.based_on) == (
            system,
            template,
            form.cleaned_data["parent"],
        )
        written = (
            trial.results.exclude(tried_text="").select_related("document", "review").order_by("position")
        )
        tried = written.first() if same else None
    if tried is None:
        message = "Run it first, as it stands: a suggestion carries what the model wrote with it."
        raise InvalidInput(message, fields={"template": message})
    suggest_prompt(
        document=tried.document, based_on=form.cleaned_data["parent"], output=tried.tried_text,
        note=form.cleaned_data["note"], system=system, template=template, actor=user_of(request),
    )  # fmt: skip
    messages.success(request, "Saved as your suggestion. You get a notification when somebody decides on it.")
    return _leave(request, f"{reverse('my_feedback')}?list=suggestions")


def _save(request: HttpRequest, form: PlaygroundForm, live: Release | None) -> HttpResponse:
    """The next version; with `compose` also a release of the live model with it, on its way to a comparison."""
    require(request.user, "edit_prompts")
    composing = "compose" in request.POST
    if composing:
        require(request.user, "submit_release")
        if live is None:
            raise Refused("Nothing is live, so there is no model to create a release of.")
    version = _saved(request, form)
    if not composing:
        return _leave(request, reverse("prompt_version", args=[version.pk]))
    assert live is not None  # nosec B101 (looked at above)
    release = compose_release(
        model_version=live.model_version,
        prompt_version=version,
        decoding=live.decoding,
        origin=Release.Origin.PROMPT,
        note=version.note,
        actor=request.user,
    )
    if release.state != Release.State.DRAFT:
        messages.info(
            request, f"Release {release.pk} is the live model with this prompt; it is {release.state}."
        )
        return _leave(request, reverse("release", args=[release.pk]))
    messages.success(
        request, f"Release {release.pk} is the live model with this prompt. Compare it with what is live."
    )
    return _leave(request, f"{reverse('comparison_new')}?candidate={release.pk}")


def _saved(request: HttpRequest, form: PlaygroundForm) -> PromptVersion:
    system, template = form.words()
    note = form.cleaned_data["note"]
    parent, suggestion = form.cleaned_data["parent"], form.cleaned_data["suggestion"]
    there = is_version(parent.prompt, system, template)
    if suggestion is not None and suggestion.based_on_id == parent.pk:
        version = adopt_suggestion(
            suggestion=suggestion, system=system, template=template, note=note, actor=request.user
        )
    else:
        version = save_version(
            prompt=parent.prompt,
            parent=parent,
            system=system,
            template=template,
            note=note,
            actor=request.user,
        )
    say_saved(request, version, there)
    return version


urlpatterns = [
    path("playground/", page, name="prompt_playground"),
    path("trials/<int:pk>/", trial, name="prompt_trial"),
    path("trials/<int:pk>/cancel/", cancel, name="prompt_trial_cancel"),
]
