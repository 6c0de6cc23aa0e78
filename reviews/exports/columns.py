"""The columns of each kind of export: names, types, what they say."""

from __future__ import annotations

from reviews.exports.files import Column
from reviews.exports.request import Request
from reviews.models import Criterion

_ITEM = (
    Column("item", "integer", "number of the item in its queue"),
    Column("queue", "text", "the queue's short name"),
    Column("reason", "text", "why the item was in the queue; empty in a reviewer's own export"),
)
_ARTICLE = (
    Column("document", "integer", "number of the article"),
    Column("external_id", "text", "the article's id where it came from"),
    Column("title", "text", "the article's title"),
    Column("domain", "text", "the article's domain"),
    Column("split", "text", "the article's split; what is in test must not be learnt from"),
    Column("article", "text", "the article, where it was asked for"),
)
SHARED = (
    Column("review", "integer", "number of the review"),
    *_ITEM,
    Column("state", "text", "submitted, or returned to its reviewer"),
    *_ARTICLE,
    Column("summary", "integer", "number of the summary"),
    Column("summary_text", "text", "the summary as the model wrote it; offsets count in it"),
    Column("summary_source", "text", "batch, api, playground or import"),
    Column("release", "integer", "the release that wrote it; empty where its model is hidden from the asker"),
    Column("model_version", "text", "its model version"),
    Column("prompt_version", "text", "its prompt and the prompt's version"),
    Column("system", "text", "of imported summaries: what wrote them"),
)
_REVIEWER = Column("reviewer", "text", "the reviewer's name, or a pseudonym that stays the same")
_WORK = (
    Column("active_seconds", "integer", "time at work on it"),
    Column("late", "boolean", "submitted after others had finished the item"),
    Column("revision", "integer", "how often it was saved"),
    Column("created_at", "time", "when it was begun"),
)
_IMPORTED = Column("imported", "boolean", "given elsewhere, brought in from a file")
ANSWERS = (
    _REVIEWER,
    Column("rubric", "integer", "version of the questions"),
    Column("ratings", "scores", "1–5 by question"),
    Column("stars", "integer", "1–5"),
    Column("verdict", "text", "good, fair or poor"),
    Column("overall_from_ratings", "boolean", "stars and verdict follow from the ratings, nobody chose them"),
    Column("edited_text", "text", "the corrected summary; the same as the summary where nothing was wrong"),
    Column("edited", "boolean", "the summary was changed"),
    Column("comment", "text", "the reviewer's words"),
    Column("wants_retrain", "boolean", "asks for retraining"),
    Column("wants_refine", "boolean", "asks for a better prompt"),
    Column("marks", "marks", "marked errors; start and end count Unicode code points, end exclusive"),
    Column("sentence_support", "support", "by sentence of the summary: does the article support it"),
    *_WORK,
    Column("submitted_at", "time", "when it was first submitted"),
    Column("updated_at", "time", "when it was last changed"),
    Column("adjudicated", "boolean", "the item has a final answer"),
    _IMPORTED,
)
#: What is said of each mark, and of each sentence.
MARK = ("side", "start", "end", "quote", "error_type", "severity", "note", "suggested")
SUPPORT = ("start", "end", "supported")
RATING = (
    Column("criterion", "text", "the question", repeated=True),
    Column("value", "integer", "the answer, 1–5", repeated=True),
)
SPAN = (
    Column("side", "text", "where the mark is: summary or source", repeated=True),
    Column("start", "integer", "first code point of the mark", repeated=True),
    Column("end", "integer", "code point after the mark", repeated=True),
    Column("quote", "text", "the marked text", repeated=True),
    Column("error_type", "text", "what is wrong", repeated=True),
    Column("severity", "text", "minor, major or critical", repeated=True),
    Column("note", "text", "the reviewer's note on the mark", repeated=True),
    Column("suggested", "boolean", "suggested from the edit, confirmed by the reviewer", repeated=True),
)


def _side(name: str, model: str) -> tuple[Column, ...]:
    return (
        Column(name, "integer", f"number of the summary {name}"),
        Column(f"{name}_text", "text", f"the summary {name}"),
        Column(f"{name}_model_version", "text", model),
    )


PAIR = (
    Column("preference", "integer", "number of the choice"),
    *_ITEM,
    *_ARTICLE,
    *_side("before", "its model version; empty where it is hidden from the asker"),
    *_side("after", "its model version"),
    _REVIEWER,
    Column("choice", "text", "before, after, tie or both bad"),
    Column("strength", "integer", "1 slightly, 2 clearly, 3 much better"),
    Column("comment", "text", "the reviewer's reason"),
    Column("after_was_left", "boolean", "which side the summary after stood on"),
    *_WORK,
    Column("submitted_at", "time", "when it was submitted"),
    _IMPORTED,
)
_LEARNT: dict[str, tuple[Column, ...]] = {
    "sft": (
        Column("prompt", "text", "what the model is shown"),
        Column("completion", "text", "the summary wanted"),
    ),
    "chat": (Column("messages", "messages", "system where there is one, user, assistant"),),
    "dpo": (
        Column("prompt", "text", "what the model is shown"),
        Column("chosen", "text", "the summary preferred"),
        Column("rejected", "text", "the one that lost"),
    ),
}


def columns_of(request: Request) -> list[Column]:
    if request.is_training:
        return list(_LEARNT[request.kind])
    if request.kind == "preferences":
        columns = list(PAIR)
    else:
        columns = [*SHARED, *ANSWERS, *{"ratings": RATING, "spans": SPAN}.get(request.kind, ())]
    keys = tuple(
        dict.fromkeys(Criterion.objects.order_by("rubric__number", "position").values_list("key", flat=True))
    )
    return [
        Column(column.name, column.type, column.about, keys) if column.type == "scores" else column
        for column in columns
        if request.texts or column.name != "article"
    ]
