"""Filters and tags of the templates; loaded everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import template
from django.apps import apps
from django.db.models import CharField
from django.template import Context, Engine
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from models_app.foundation import audit
from models_app.foundation.amounts import duration
from models_app.foundation.roles import allowed
from models_app.foundation.scripts import imports_of
from models_app.texts.common_passages import Stretch
from models_app.texts.differences import around_changes, word_difference
from models_app.texts.figures import number, signed

register = template.Library()
register.filter(duration)
register.filter(number)
register.filter(signed)

# The colour of a word that says how something ended or how good it is; other words have none.
TONES = {
    **dict.fromkeys(("approved", "good", "imported", "improved", "live", "succeeded"), "ok"),
    **dict.fromkeys(
        (
            "baking",
            "canary",
            "cancelled",
            "changes requested",
            "fair",
            "held",
            "inconclusive",
            "needs evidence",
        ),
        "maybe",
    ),
    **dict.fromkeys(("blocked", "expired", "failed", "poor", "rejected", "rolled back", "worse"), "bad"),
    "not worse": "info",
}


@register.simple_tag
def module(name: str) -> SafeString:
    """{% module "js/page.js" %}: a script, and hints to what it imports, which is asked for at once, not after it."""
    hint = '<link rel="modulepreload" href="{}">\n'
    hints = format_html_join("", hint, ((static(one),) for one in imports_of(name)))
    return format_html('{}<script type="module" src="{}"></script>', hints, static(name))


@register.filter
def marked(parts: Iterable[Stretch]) -> SafeString:
    """A text, what it has in common with another one marked."""
    return format_html_join("", "{}", ((_marked(part),) for part in parts))


def _marked(part: Stretch) -> SafeString | str:
    return format_html("<mark>{}</mark>", part.text) if part.common else part.text


@register.filter
def can(user: Any, capability: str) -> bool:
    """{% if user|can:"train" %}"""
    return allowed(user, capability) if getattr(user, "is_authenticated", False) else False


@register.filter
def tone(word: str) -> str:
    """The class of a card or chip that says `word`."""
    return TONES.get(word, "")


@register.filter
def percent(value: float | None, places: int = 0) -> str:
    """0.613 → 61 %"""
    return "–" if value is None else f"{value * 100:.{places}f} %"


@register.filter
def clock(seconds: int) -> str:
    """1:42, 1:02:05"""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@register.filter
def milliseconds(value: float | None) -> str:
    return duration(None if value is None else value / 1000)


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """'3 min ago' with the exact time as title."""
    if at is None:
        return "–"
    seconds = (timezone.now() - at).total_seconds()
    if seconds < 60:
        words = "just now"
    elif seconds < 3600:
        words = f"{seconds // 60:.0f} min ago"
    elif seconds < 86400:
        words = f"{seconds // 3600:.0f} h ago"
    else:
        words = f"{timezone.localtime(at):%-d %b %Y}"
    exact = f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact, words)


@register.filter
def short(digest: str) -> str:
    """9f3c…e21a"""
    return f"{digest[:4]}…{digest[-4:]}" if len(digest) > 10 else digest


@register.filter
def pretty_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)


@register.simple_tag
def word_diff(before: str, after: str, context: int = 0) -> SafeString:
    """<del> and <ins> by words, escaped; with `context`, only so many words around each change."""
    tags = {"same": "{}", "deleted": "<del>{}</del>", "inserted": "<ins>{}</ins>"}
    parts = word_difference(before, after)
    if context:
        parts = around_changes(parts, context)
    return format_html_join("", "{}", ((format_html(tags[p.kind], p.text),) for p in parts))


def _part(context: Context, partial: str, /, **values: Any) -> str:
    """A partial that sees its own values and nothing of the page around it."""
    template = Engine.get_default().get_template(f"partials/{partial}.html")
    return template.render(context.new({"csrf_token": context.get("csrf_token"), **values}))


@register.simple_block_tag(takes_context=True)
def empty_state(
    context: Context,
    content: SafeString,
    title: str,
    *,
    icon: str = "inbox",
    small: bool = False,
    url: str = "",
    label: str = "",
) -> str:
    """Nothing is here yet: `title` says so, the content says what brings it, the link leads to where that is done."""
    return _part(context, "_empty", text=content, title=title, icon=icon, small=small, url=url, label=label)


@register.simple_block_tag(takes_context=True)
def confirm(
    context: Context,
    content: SafeString,
    dialog: str,
    *,
    url: str,
    label: str,
    title: str,
    button: str = "",
    pri: bool = False,
    danger: bool = False,
    small: bool = False,
    reason: str = "",
    longest: int = audit.LONGEST_REASON,
    name: str = "",
    value: Any = "",
    also: str = "",
    also_value: Any = "",
) -> str:
    """A button that asks before it posts; `dialog` is the id of what it opens, the content what that says.

    `button`: words of the button in it; `reason`: label of a field for one, of `longest` characters; `name` and
    `value`, `also` and `also_value`: hidden fields.
    """
    values: dict[str, Any] = {
        "text": content,
        "id": dialog,
        "url": url,
        "label": label,
        "title": title,
        "button": button,
    }
    values |= {"pri": pri, "danger": danger, "small": small, "reason": reason}
    values["longest"] = longest
    values |= {"name": name, "value": value, "also": also, "also_value": also_value}
    return _part(context, "_confirm", **values)


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """The current query string with some values replaced: {% query page=2 sort="loss" %}; None removes a value."""
    values = context["request"].GET.copy()
    for name, value in changes.items():
        if value is None:
            values.pop(name, None)
        else:
            values[name] = str(value)
    return "?" + values.urlencode()


@register.simple_tag(takes_context=True)
def query_of(context: dict[str, Any], name: str, value: Any) -> str:
    """The current query string with this value of `name`, which an include was told; of the first page."""
    return query(context, **{name: value or None, "page": None})


@register.filter
def longest(column: str) -> int:
    """How many characters a column takes: {{ "models_app.CaseSet.name"|longest }}."""
    model, _, name = column.rpartition(".")
    field = apps.get_model(model)._meta.get_field(name)
    if not isinstance(field, CharField) or field.max_length is None:
        raise ValueError(f"{column} takes any number of characters")
    return field.max_length


@register.filter
def pairs(text: str) -> list[tuple[str, str]]:
    """'key:label,key:label' as pairs, for small fixed choices in templates."""
    return [(key, label) for key, _, label in (part.partition(":") for part in text.split(","))]


@register.filter
def times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


@register.filter
def score_points(score: Any, metric: str) -> str:
    """A ROUGE score of an example as points with one decimal."""
    return number(getattr(score, metric) * 100, 1)


@register.filter
def percent_at_most(share: float) -> int:
    """0.999 is not all of it, so it is 99 %."""
    return int(100 * share)


@register.filter
def data_for(event: Any, reader: Any) -> dict[str, Any]:
    return audit.data_for(event, reader)
