"""Form fields of settings, as these declare them (`texts/needs.py`): kind, range, whether nothing may be said, and the
words for what is wrong. What people read beside a field says the form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from models_app.texts.needs import AtLeast, Between, Need, OneOf, needs_of

_NUMBERS: dict[Any, type[forms.IntegerField]] = {int: forms.IntegerField, float: forms.FloatField}


def field_of(settings: Any, name: str, **told: Any) -> forms.Field:
    """The field of one setting of this dataclass. `told` are the form's own arguments: label, help_text, widget, words
    for `choices`, `required` where the form asks for more than the settings do."""
    need = needs_of(settings)[name]
    kind: Any = need.kind
    if kind is bool:
        return forms.BooleanField(**{"required": False, **told})
    if isinstance(need.rule, OneOf):
        choices = told.pop("choices", [(choice, choice) for choice in need.rule.choices])
        return forms.ChoiceField(choices=choices, **told)
    if kind is str:
        return forms.CharField(**{**_text(need), **told})
    return _NUMBERS[kind](**{**_number(need), **told})


def _text(need: Need) -> dict[str, Any]:
    if not isinstance(need.rule, Between):
        return {"required": False}
    told = {"max_length": int(need.rule.most), "required": need.rule.least > 0}
    return {**told, "error_messages": {"max_length": need.words}}


def _number(need: Need) -> dict[str, Any]:
    told: dict[str, Any] = {"required": not need.optional}
    rule = need.rule
    if isinstance(rule, AtLeast):
        return {**told, "min_value": rule.least, "error_messages": {"min_value": need.words}}
    if not isinstance(rule, Between):
        return told
    # browsers know no range without its end, so that the end goes to them all the same
    beyond = [end for end, out in ((rule.least, rule.above), (rule.most, rule.below)) if out]
    return {
        **told,
        "min_value": rule.least,
        "max_value": rule.most,
        "validators": [_refuse(end, need.words) for end in beyond],
        "error_messages": {"min_value": need.words, "max_value": need.words},
    }


def _refuse(end: float, words: str) -> Callable[[float], None]:
    def check(value: float) -> None:
        if value == end:
            raise ValidationError(words)

    return check
