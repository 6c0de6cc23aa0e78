"""Error spans and judged sentences in the API: their shape. `reviews.texts.marks` holds them against the texts."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from models_app.api.fields import Text
from reviews.texts.marks import (
    ERROR_TYPES,
    MOST_MARKS,
    SEVERITIES,
    SIDES,
    Mark,
    Support,
    UnreadableMarks,
    read_marks,
    read_support,
)

LARGEST_OFFSET = 10**9 - 1
MOST_SENTENCES = 10_000


class Offset(serializers.IntegerField):
    """A number, not text that looks like one: an offset that had to be guessed at is most likely a mistake."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=LARGEST_OFFSET, **options)

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class YesOrNo(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


def _refused(error: UnreadableMarks) -> serializers.ValidationError:
    place = error.at("")
    return serializers.ValidationError({place: str(error)} if place else str(error))


class SentenceSerializer(serializers.Serializer):
    start = serializers.IntegerField()
    end = serializers.IntegerField()


class MarkSerializer(serializers.Serializer):
    side = serializers.ChoiceField(choices=list(SIDES), help_text="which text it is in")
    start = Offset(help_text="its first code point, counted from 0")
    end = Offset(help_text="the code point after it")
    quote = Text(help_text="what stands there: offsets that count something else are found out by it")
    error_type = serializers.ChoiceField(choices=list(ERROR_TYPES))
    severity = serializers.ChoiceField(choices=list(SEVERITIES), default="major")
    note = Text(required=False, default="", allow_blank=True)


class SupportSerializer(serializers.Serializer):
    start = Offset(help_text="as in the item's `sentences`")
    end = Offset()
    supported = YesOrNo(help_text="whether the source says so")


class MarkedSerializer(serializers.Serializer):
    """The part of a review's answers that points at places in its texts."""

    marks = MarkSerializer(  # type: ignore[call-arg]  # the stubs do not know max_length of lists
        many=True,
        required=False,
        max_length=MOST_MARKS,
        help_text="errors at their places; a mark that cuts a character in two is widened to the whole of it",
    )
    support = SupportSerializer(  # type: ignore[call-arg]
        many=True,
        required=False,
        max_length=MOST_SENTENCES,
        help_text="sentences of the summary that you judged",
    )

    def validate_marks(self, marks: list[dict[str, Any]]) -> tuple[Mark, ...]:
        try:
            return read_marks(marks)
        except UnreadableMarks as error:
            raise _refused(error) from error

    def validate_support(self, judged: list[dict[str, Any]]) -> tuple[Support, ...]:
        try:
            return read_support([[one["start"], one["end"], one["supported"]] for one in judged])
        except UnreadableMarks as error:
            raise _refused(error) from error
