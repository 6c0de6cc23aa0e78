"""Trying another prompt on the article at the desk, and suggesting it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST

from models_app.foundation.errors import InvalidInput, Refused, Unavailable
from models_app.ml.prompting import VARIABLES, PromptSpec
from models_app.models import PromptVersion
from models_app.prompts.versions import check_template
from models_app.serving import client
from models_app.web.pages import is_fragment, user_of
from reviews.models import QueueItem, Review
from reviews.prompts.suggestions import suggest_prompt
from reviews.prompts.trying import SAME_PROMPT, live_prompt, refuse_quotes, require_trial, tells_model
from reviews.web.desk.form_values import integer
from reviews.web.desk.pages import item_of
from reviews.web.desk.requests import desk_view

TRIAL_SALT = "reviews.desk.trial"


def _wanted_prompt(request: HttpRequest) -> tuple[PromptVersion, str, str]:
    based_on = get_object_or_404(
        PromptVersion.objects.select_related("prompt"), pk=integer(request.POST, "based_on") or 0
    )
    template = request.POST.get("template", "").replace("\r\n", "\n").strip("\n")
    system = request.POST.get("system", "").replace("\r\n", "\n").strip()
    return based_on, template, system


def is_live(template: str, system: str) -> bool:
    live = live_prompt()
    return live is not None and (live.template.strip(), live.system.strip()) == (
        template.strip(),
        system.strip(),
    )


def _trial(request: HttpRequest, item: QueueItem, context: dict[str, Any], status: int = 200) -> HttpResponse:
    page = "reviews/desk/_trial.html" if is_fragment(request) else "reviews/desk/trial.html"
    blind = not tells_model(item)
    common = {
        "blind": blind,
        "item": item,
        "summary": item.summary,
        "document": item.summary.document,
        "queue": item.queue,
        "variables": VARIABLES,
    }
    return render(request, page, {**common, **context}, status=status)


@desk_view(require_http_methods(["GET", "HEAD", "POST"]))
def try_prompt(request: HttpRequest, pk: int) -> HttpResponse:
    """Let the live model write this article's summary with another prompt, now. Asked for without one, a page that
    begins with the live prompt: what the desk's dialog is where there is no script."""
    item = item_of(pk)
    require_trial(item=item, user=user_of(request))
    if request.method != "POST":
        live = live_prompt()
        if live is None:
            raise Refused("Nothing is live, so there is no model to try a prompt with.")
        return _trial(request, item, {"prompt": live, "template": live.template, "system": live.system})
    prompt, template, system = _wanted_prompt(request)
    changed = (template, system) != (prompt.template, prompt.system)
    context: dict[str, Any] = {
        "prompt": prompt, "template": template, "system": system, "note": request.POST.get("note", ""),
        "may_keep": changed,
    }  # fmt: skip
    document = item.summary.document
    try:
        check_template(kind=prompt.prompt.kind, system=system, template=template)
        refuse_quotes(template=template, system=system)
        if not tells_model(item) and is_live(template, system):
            raise InvalidInput(SAME_PROMPT, fields={"template": SAME_PROMPT})
        spec = PromptSpec(prompt.prompt.kind, system, template)  # type: ignore[arg-type]
        served = client.generate(
            text=document.text, title=document.title, domain=document.domain, prompt=spec
        )
    except (InvalidInput, Unavailable) as error:
        context |= {"error": error, "errors": error.fields, "may_keep": changed and not error.fields}
        answer = _trial(request, item, context, status=error.status)
        if isinstance(error, Unavailable):
            answer["Retry-After"] = str(error.retry_after)
        return answer
    context |= {
        "output": served.text,
        "seconds": served.latency_ms / 1000,
        "words": len(served.text.split()),
        "cut": served.kept_text_tokens / served.total_text_tokens if served.truncated else None,
        # in a blind queue it would tell which model wrote the summary
        "same": tells_model(item) and served.text.strip() == item.summary.text.strip(),
        # what the model wrote comes back with the suggestion; signed, so that it is what the model wrote
        "trial": signing.dumps([item.pk, template, system, served.text], salt=TRIAL_SALT, compress=True),
    }
    return _trial(request, item, context)


@desk_view(require_POST)
def suggest(request: HttpRequest, pk: int) -> HttpResponse:
    """What stands in the boxes, with what the model wrote where it was tried just as it stands."""
    item = item_of(pk)
    require_trial(item=item, user=user_of(request))
    prompt, template, system = _wanted_prompt(request)
    trial = request.POST.get("trial", "")
    output = _output_of(trial, item, template, system)
    note = request.POST.get("note", "")
    context: dict[str, Any] = {
        "prompt": prompt, "template": template, "system": system, "output": output, "trial": trial, "note": note,
        "words": len(output.split()), "may_keep": True,
    }  # fmt: skip
    try:
        suggest_prompt(
            document=item.summary.document,
            based_on=prompt,
            template=template,
            system=system,
            output=output,
            note=note,
            review=Review.objects.filter(item=item, reviewer=user_of(request)).first(),
            actor=user_of(request),
        )
    except InvalidInput as error:
        return _trial(request, item, {**context, "error": error, "errors": error.fields}, status=error.status)
    return _trial(request, item, {**context, "kept": True})


def _output_of(trial: str, item: QueueItem, template: str, system: str) -> str:
    """What the model wrote with exactly this prompt for this item, else nothing."""
    if not trial:
        return ""
    try:
        tried = signing.loads(trial, salt=TRIAL_SALT, max_age=timedelta(days=1))
    except signing.BadSignature:
        return ""
    return tried[3] if tried[:3] == [item.pk, template, system] else ""


urlpatterns = [
    path("item/<int:pk>/try/", try_prompt, name="desk_try"),
    path("item/<int:pk>/suggest/", suggest, name="desk_suggest"),
]
