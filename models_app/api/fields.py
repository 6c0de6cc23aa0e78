"""Fields that several serializers share."""

from __future__ import annotations

from typing import Any

from django.core.validators import ProhibitNullCharactersValidator
from rest_framework import serializers
from rest_framework.validators import ProhibitSurrogateCharactersValidator

LONGEST_TEXT = 2_000_000  # characters; words are counted by the use cases
_REFUSING = (ProhibitNullCharactersValidator, ProhibitSurrogateCharactersValidator)


class Text(serializers.CharField):
    """Text and nothing that could be taken for it. Control characters are cleaned away later, not refused."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)
        self.validators = [validator for validator in self.validators if not isinstance(validator, _REFUSING)]

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


def refuse_unknown(serializer: serializers.Serializer, values: dict[str, Any]) -> dict[str, Any]:
    """A mistyped field is said: else what was meant would quietly not be done."""
    unknown = {
        name: "There is no such field." for name in serializer.initial_data if name not in serializer.fields
    }
    if unknown:
        raise serializers.ValidationError(unknown)
    return values
