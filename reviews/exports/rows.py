"""What exports hold: the rows of each kind, streamed from one statement by a cursor on the server.

One statement sees one moment of the database, however long the reading takes. Everybody gets what they may see:
reviewers their own answers and no model names, and nobody what peers said, or which model wrote it, of an item that
they themselves may still be asked to judge blind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.utils import timezone

from models_app.datasets import exporting as shapes
from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.foundation.roles import allowed, require
from models_app.models import DatasetSnapshot, PromptVersion, SnapshotExample
from models_app.serving.engines import prompt_spec
from models_app.serving.routing import keyed_hash
from reviews.exports.files import Column, Row, Rows
from reviews.lists.compiled import Statement, compiled
from reviews.models import Criterion, ReviewQueue, Split
from reviews.queues import blindness

Reviewers = Literal["pseudonyms", "names"]

KINDS: dict[str, str] = {
    "reviews": "one row for each review, with everything in it",
    "ratings": "one row for each rating of each review",
    "spans": "one row for each marked error",
    "edits": "one row for each review that changed the summary",
    "preferences": "one row for each choice between two summaries",
    "sft": "training data: prompt and completion, from approved demonstrations",
    "chat": "training data: messages, from approved demonstrations",
    "dpo": "training data: prompt, chosen, rejected, from approved preferences and pairwise choices",
}
FORMATS: dict[str, str] = {
    "jsonl": "JSON Lines",
    "csv": "CSV",
    "datasets": "a folder for Hugging Face datasets (ZIP)",
}
TRAINING = ("sft", "chat", "dpo")
FETCHED = 500

Progress = Callable[[int, int], None]
"""(rows read so far, all of them)"""


@dataclass(frozen=True)
class Request:
    """What to export. Dates are days of the installation's time zone, both included: of handing in, and for training
    data of the decision. Training data are what is approved now, or a frozen snapshot as it is."""

    kind: str
    format: str = "jsonl"
    compressed: bool = False
    queue: str = ""
    since: date | None = None
    until: date | None = None
    mine: bool = False
    reviewers: Reviewers = "pseudonyms"
    texts: bool = True  #: with the article's text
    snapshot: int | None = None  #: training data: number of a snapshot; else what is approved now
    split: str = "train"  #: training data in a single file: train or validation
    prompt: int | None = None  #: id of a prompt version; else the first that suits
    max_words: int = 60

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return {**values, "since": _written(self.since), "until": _written(self.until)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Request:
        dates = {name: date.fromisoformat(day) for name in ("since", "until") if (day := values.get(name))}
        return cls(**{**values, "since": None, "until": None, **dates})

    @property
    def is_training(self) -> bool:
        return self.kind in TRAINING


def _written(day: date | None) -> str | None:
    return day.isoformat() if day else None


# ---------------------------------------------------------------- what may be asked


def check(request: Request, actor: Any | None) -> Request:
    """The request as this actor may make it. Raises InvalidInput with what is wrong where, NotAllowed."""
    wrong = _mistakes(request)
    if wrong:
        raise InvalidInput(" ".join(wrong.values()), fields=wrong)
    if request.is_training:
        require(actor, "decide_feedback")
        if request.snapshot is not None:
            require(actor, "view_models")
        return request
    if not may_export_all(actor):
        require(actor, "review")
        if not request.mine:
            raise NotAllowed(
                "You can export your own reviews; those of others need the right to manage queues."
            )
    return request


def may_export_all(actor: Any | None) -> bool:
    return allowed(actor, "manage_queues")


def _mistakes(request: Request) -> dict[str, str]:
    wrong = {}
    if request.kind not in KINDS:
        wrong["kind"] = f"There is no kind {request.kind[:40]!r}; there are {', '.join(KINDS)}."
    if request.format not in FORMATS:
        wrong["format"] = f"There is no format {request.format[:40]!r}; there are {', '.join(FORMATS)}."
    if request.kind == "chat" and request.format == "csv":
        wrong["format"] = "Messages are a list; choose JSON Lines or a folder."
    if request.compressed and request.format == "datasets":
        wrong["compressed"] = "The files in the folder are packed already."
    if request.reviewers not in ("pseudonyms", "names"):
        wrong["reviewers"] = "Choose pseudonyms or names."
    if request.queue and not ReviewQueue.objects.filter(slug=request.queue).exists():
        wrong["queue"] = f"There is no queue {request.queue[:60]!r}."
    if request.since and request.until and request.until < request.since:
        wrong["until"] = "It ends before it begins."
    if request.split == Split.TEST and request.is_training:
        wrong["split"] = "Test documents judge models; nothing is learnt from them."
    elif request.split not in Split.values:
        wrong["split"] = "Choose train or validation."
    if not 1 <= request.max_words <= 2000:
        wrong["max_words"] = "From 1 to 2,000."
    if request.is_training and _prompt(request) is None:
        wrong["prompt"] = "There is no such prompt version."
    if request.snapshot is not None:
        wrong |= _mistakes_about_snapshot(request, request.snapshot)
    return wrong


def _mistakes_about_snapshot(request: Request, snapshot: int) -> dict[str, str]:
    if not request.is_training:
        return {"snapshot": f"Snapshots are training data: choose {', '.join(TRAINING)}."}
    chosen = [name for name in ("queue", "since", "until") if getattr(request, name)]
    if chosen:
        return dict.fromkeys(chosen, "A snapshot is taken as it was frozen.")
    if not DatasetSnapshot.objects.filter(pk=snapshot).exists():
        return {"snapshot": f"There is no snapshot {snapshot}."}
    return {}


def _prompt(request: Request) -> PromptVersion | None:
    rows = PromptVersion.objects.select_related("prompt").order_by("-pk")
    if request.prompt is not None:
        return rows.filter(pk=request.prompt).first()
    return rows.filter(prompt__kind="chat" if request.kind == "chat" else "prefix").first()


# ---------------------------------------------------------------- the fields


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
_SHARED = (
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
    Column("late", "boolean", "handed in after others had finished the item"),
    Column("revision", "integer", "how often it was saved"),
    Column("created_at", "time", "when it was begun"),
)
_IMPORTED = Column("imported", "boolean", "given elsewhere, brought in from a file")
_ANSWERS = (
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
    Column("submitted_at", "time", "when it was first handed in"),
    Column("updated_at", "time", "when it was last changed"),
    Column("adjudicated", "boolean", "the item has an authoritative answer"),
    _IMPORTED,
)
_RATING = (
    Column("criterion", "text", "the question", repeated=True),
    Column("value", "integer", "the answer, 1–5", repeated=True),
)
_SPAN = (
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


_PAIR = (
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
    Column("submitted_at", "time", "when it was handed in"),
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
        columns = list(_PAIR)
    else:
        columns = [*_SHARED, *_ANSWERS, *{"ratings": _RATING, "spans": _SPAN}.get(request.kind, ())]
    keys = tuple(
        dict.fromkeys(Criterion.objects.order_by("rubric__number", "position").values_list("key", flat=True))
    )
    return [
        Column(column.name, column.type, column.about, keys) if column.type == "scores" else column
        for column in columns
        if request.texts or column.name != "article"
    ]


# ---------------------------------------------------------------- the statements


def _what_is_blind(actor: Any | None) -> Statement:
    """Expressions of a WITH, from the one rule in `reviews.queues.blindness`: `judged`, items on which the asker may
    not learn what peers said; `nameless`, pairs of which they may not learn which model wrote what; `hidden`, summaries
    likewise.
    """
    reader = actor if actor is not None else AnonymousUser()  # nobody in particular is never asked to judge
    judged = compiled(blindness.judged(reader).order_by().values_list("pk"), "judged")
    nameless = compiled(
        blindness.nameless(reader).order_by().values_list("pk", "summary", "other"), "nameless"
    )
    return Statement(
        f"""judged (id) AS MATERIALIZED ({judged.text}),
nameless (id, summary_id, other_id) AS MATERIALIZED ({nameless.text}),
hidden (id) AS MATERIALIZED (
    SELECT summary_id FROM nameless UNION SELECT other_id FROM nameless WHERE other_id IS NOT NULL)""",
        {**judged.values, **nameless.values},
    )


def _instant(column: str) -> str:
    """ISO 8601 in UTC, written by the server: reading instants and writing them again is half the work of a row."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


_ITS_QUEUE = """
  JOIN reviews_queueitem item ON item.id = answer.item_id
  JOIN reviews_reviewqueue queue ON queue.id = item.queue_id
"""
# With `judged.id IS NULL`: without what others said of an item that the asker may still judge blind. A join, since the
# planner finds a good way to leave out what it finds, however many items are judged.
_IF_JUDGED = "  LEFT JOIN judged ON judged.id = item.id AND answer.reviewer_id <> %(asker)s\n"
# Every statement finds its ids first and only then what belongs to them: a cursor is planned for its first rows, which
# would mean going through the whole table in order and throwing away what other queues have. Each row begins with how
# many there are.
_CHOSEN_REVIEWS = f"""
  FROM reviews_review answer
{_ITS_QUEUE}{_IF_JUDGED}"""
_REVIEWS = f"""
SELECT (SELECT count(*) FROM chosen), answer.id, item.id, queue.slug, item.reason, answer.state,
       document.id, document.external_id, document.title, document.domain, document.split,
       {{article}}, summary.id, summary.text, summary.source,
       CASE WHEN hidden.id IS NULL THEN summary.release_id END, CASE WHEN hidden.id IS NULL THEN model.name END,
       CASE WHEN hidden.id IS NULL THEN prompt.name || ' ' || version.number END,
       CASE WHEN hidden.id IS NULL THEN summary.system END,
       answer.reviewer_id, rubric.number,
       (SELECT string_agg(rating.criterion_id || ':' || rating.value, ' ') FROM reviews_reviewrating rating
         WHERE rating.review_id = answer.id),
       answer.stars, answer.verdict, answer.overall_from_ratings, answer.edited_text,
       btrim(answer.edited_text) <> btrim(summary.text), answer.comment, answer.wants_retrain, answer.wants_refine,
       (SELECT json_agg(json_build_object('side', mark.side, 'start', mark.start, 'end', mark."end",
                        'quote', mark.quote, 'error_type', mark.error_type, 'severity', mark.severity,
                        'note', mark.note, 'suggested', mark.suggested)
                        ORDER BY mark.side DESC, mark.start, mark.id)::text
          FROM reviews_spanmark mark WHERE mark.review_id = answer.id),
       (SELECT json_agg(json_build_object('start', said.start, 'end', said."end", 'supported', said.supported)
                        ORDER BY said.start)::text
          FROM reviews_sentencesupport said WHERE said.review_id = answer.id),
       answer.active_seconds, answer.late, answer.revision, {_instant("answer.created_at")},
       {_instant("answer.submitted_at")}, {_instant("answer.updated_at")},
       EXISTS (SELECT 1 FROM reviews_adjudication settled WHERE settled.item_id = item.id),
       answer.imported_from_id IS NOT NULL
  FROM chosen
  JOIN reviews_review answer ON answer.id = chosen.id
{_ITS_QUEUE}  JOIN reviews_summary summary ON summary.id = answer.summary_id
  JOIN reviews_sourcedocument document ON document.id = summary.document_id
  JOIN reviews_rubricversion rubric ON rubric.id = answer.rubric_id
  LEFT JOIN hidden ON hidden.id = summary.id
  LEFT JOIN models_app_modelversion model ON model.id = summary.model_version_id
  LEFT JOIN models_app_promptversion version ON version.id = summary.prompt_version_id
  LEFT JOIN models_app_prompt prompt ON prompt.id = version.prompt_id
"""
# Which side of a pair is the newer one tells which model wrote it, whatever the models are called.
_CHOSEN_PAIRS = f"""
  FROM reviews_preference answer
{_ITS_QUEUE}{_IF_JUDGED}  LEFT JOIN nameless ON nameless.id = item.id
"""
_PAIRS = f"""
SELECT (SELECT count(*) FROM chosen), answer.id, item.id, queue.slug, item.reason,
       document.id, document.external_id, document.title, document.domain, document.split,
       {{article}}, before.id, before.text,
       CASE WHEN hidden_before.id IS NULL THEN coalesce(before_model.name, before.system) END,
       after.id, after.text,
       CASE WHEN hidden_after.id IS NULL THEN coalesce(after_model.name, after.system) END,
       answer.reviewer_id, answer.choice, answer.strength, answer.reason, answer.after_was_left,
       answer.active_seconds, answer.late, answer.revision, {_instant("answer.created_at")},
       {_instant("answer.submitted_at")}, answer.imported_from_id IS NOT NULL
  FROM chosen
  JOIN reviews_preference answer ON answer.id = chosen.id
{_ITS_QUEUE}  JOIN reviews_summary before ON before.id = item.summary_id
  JOIN reviews_summary after ON after.id = item.other_id
  JOIN reviews_sourcedocument document ON document.id = before.document_id
  LEFT JOIN hidden hidden_before ON hidden_before.id = before.id
  LEFT JOIN hidden hidden_after ON hidden_after.id = after.id
  LEFT JOIN models_app_modelversion before_model ON before_model.id = before.model_version_id
  LEFT JOIN models_app_modelversion after_model ON after_model.id = after.model_version_id
"""
_CHOSEN_EXAMPLES = """
  FROM reviews_feedbackexample example
  JOIN reviews_sourcedocument document ON document.id = example.document_id
  LEFT JOIN reviews_review answer ON answer.id = example.review_id
  LEFT JOIN reviews_queueitem item ON item.id = answer.item_id
  LEFT JOIN reviews_reviewqueue queue ON queue.id = item.queue_id
  LEFT JOIN judged ON judged.id = item.id AND answer.reviewer_id <> %(asker)s
"""
# Several people's choices between the same two summaries are one row: what most of them preferred, none where they
# are split.
_VOTES_FROM = f"""
  FROM (SELECT item.id AS item_id,
               count(*) FILTER (WHERE answer.choice = 'after') - count(*) FILTER (WHERE answer.choice = 'before')
                 AS lead
          FROM reviews_preference answer
{_ITS_QUEUE}{_IF_JUDGED}\
         WHERE answer.state = 'submitted' AND NOT queue.calibration {{filters}} AND judged.id IS NULL
         GROUP BY item.id) votes
  JOIN reviews_queueitem item ON item.id = votes.item_id
  JOIN reviews_summary before ON before.id = item.summary_id
  JOIN reviews_summary after ON after.id = item.other_id
  JOIN reviews_sourcedocument document ON document.id = before.document_id
 WHERE votes.lead <> 0 AND before.text <> after.text AND document.split IN ('train', 'validation')
"""


def _days(request: Request) -> dict[str, datetime | None]:
    zone = timezone.get_current_timezone()
    since = datetime.combine(request.since, time(), zone) if request.since else None
    until = datetime.combine(request.until + timedelta(days=1), time(), zone) if request.until else None
    return {"since": since, "until": until}


def _statement(request: Request, actor: Any | None) -> Statement:
    """Each row: how many there are, and the columns in their order."""
    days = _days(request)
    values = {
        "asker": actor.pk if actor is not None else 0,
        "queue": request.queue,
        **days,
    }
    blind = _what_is_blind(actor)
    values |= blind.values

    def filters(at: str) -> str:
        wanted = ["queue.slug = %(queue)s"] if request.queue else []
        wanted += [f"{at} >= %(since)s"] if days["since"] else []
        wanted += [f"{at} < %(until)s"] if days["until"] else []
        wanted += ["answer.reviewer_id = %(asker)s"] if request.mine and not request.is_training else []
        return "".join(f" AND {condition}" for condition in wanted)

    if request.is_training:
        return _training_statement(request, values, filters, blind.text)
    if request.kind == "preferences":
        state, rows, tables = (
            "answer.state = 'submitted' AND item.other_id IS NOT NULL AND nameless.id IS NULL",
            _PAIRS,
            _CHOSEN_PAIRS,
        )
    else:
        state, rows, tables = "answer.state IN ('submitted', 'returned')", _REVIEWS, _CHOSEN_REVIEWS
    where = f" WHERE {state} {filters('answer.submitted_at')} AND judged.id IS NULL"
    where += {
        "edits": """ AND EXISTS (SELECT 1 FROM reviews_summary summary WHERE summary.id = answer.summary_id
                                    AND btrim(answer.edited_text) <> btrim(summary.text))""",
        "spans": " AND EXISTS (SELECT 1 FROM reviews_spanmark mark WHERE mark.review_id = answer.id)",
    }.get(request.kind, "")
    rows = rows.format(article="document.text" if request.texts else "NULL")
    return Statement(
        f"WITH {blind.text}, chosen AS MATERIALIZED (SELECT answer.id {tables} {where} ORDER BY answer.id) "
        f"{rows} ORDER BY chosen.id",
        values,
    )


def _training_statement(
    request: Request, values: dict[str, Any], filters: Callable[[str], str], blind: str
) -> Statement:
    kind = "preference" if request.kind == "dpo" else "demonstration"
    splits = ("train", "validation") if request.format == "datasets" else (request.split,)
    values = {**values, "kind": kind, "splits": list(splits), "snapshot": request.snapshot}
    if request.snapshot is not None:
        wanted = " AND rejected <> ''" if request.kind == "dpo" else ""
        where = f"""FROM models_app_snapshotexample
 WHERE snapshot_id = %(snapshot)s AND split = ANY(%(splits)s){wanted}"""
        what = "split, domain, title, source, target, rejected"
        return Statement(f"SELECT (SELECT count(*) {where}), {what} {where} ORDER BY position", values)
    examples = f"""chosen AS MATERIALIZED (SELECT example.id {_CHOSEN_EXAMPLES}
 WHERE example.state = 'approved' AND example.kind = %(kind)s AND document.split IN ('train', 'validation')
   AND document.split = ANY(%(splits)s) {filters("example.decided_at")}
   AND judged.id IS NULL ORDER BY example.id)"""
    what = """document.split, document.domain, document.title, document.text, example.target, example.rejected
  FROM chosen
  JOIN reviews_feedbackexample example ON example.id = chosen.id
  JOIN reviews_sourcedocument document ON document.id = example.document_id ORDER BY chosen.id"""
    if request.kind != "dpo":
        return Statement(f"WITH {blind}, {examples} SELECT (SELECT count(*) FROM chosen), {what}", values)
    votes = f"""voted AS MATERIALIZED (SELECT votes.item_id, votes.lead
{_VOTES_FROM.format(filters=filters("answer.submitted_at"))} AND document.split = ANY(%(splits)s)
 ORDER BY votes.item_id)"""
    total = "(SELECT count(*) FROM chosen) + (SELECT count(*) FROM voted)"
    voted = """document.split, document.domain, document.title, document.text,
       CASE WHEN voted.lead > 0 THEN after.text ELSE before.text END,
       CASE WHEN voted.lead > 0 THEN before.text ELSE after.text END
  FROM voted
  JOIN reviews_queueitem item ON item.id = voted.item_id
  JOIN reviews_summary before ON before.id = item.summary_id
  JOIN reviews_summary after ON after.id = item.other_id
  JOIN reviews_sourcedocument document ON document.id = before.document_id ORDER BY voted.item_id"""
    return Statement(
        f"WITH {blind}, {examples}, {votes} (SELECT {total}, {what}) UNION ALL (SELECT {total}, {voted})",
        values,
    )


# ---------------------------------------------------------------- the rows


@contextmanager
def open_rows(
    request: Request, actor: Any | None, *, progress: Progress | None = None
) -> Iterator[Iterator[Rows]]:
    """The rows, each of new dicts with the names of `columns_of` in their order, and for a folder its `split`.

    A transaction is open as long as this is: in one, the cursor reads as it goes, while outside the server would first
    put the whole answer aside. It ends here and not when somebody happens to drop an iterator.
    Another thread reads ahead on the same connection, which lets one of them at it at a time.
    """
    statement = _statement(request, actor)
    with (
        transaction.atomic(),
        connection.chunked_cursor() as cursor,
        # left before the cursor is closed, and waits for the block under way
        ThreadPoolExecutor(1, thread_name_prefix="export") as ahead,
    ):
        cursor.execute(statement.text, statement.values)
        yield _shaped(request, actor, _fetched(_blocks(cursor, ahead), progress))


def _blocks(cursor: Any, ahead: ThreadPoolExecutor) -> Iterator[list[tuple[Any, ...]]]:
    """The next one comes in while the one before is written, and the first while the writer gets ready: otherwise we
    and the server would work by turns."""

    def fetch() -> Future[list[tuple[Any, ...]]]:
        return ahead.submit(cursor.fetchmany, FETCHED)

    def each(coming: Future[list[tuple[Any, ...]]]) -> Iterator[list[tuple[Any, ...]]]:
        while block := coming.result():
            coming = fetch()
            yield block

    return each(fetch())


def _fetched(blocks: Iterable[list[tuple[Any, ...]]], progress: Progress | None) -> Iterator[Sequence[Any]]:
    """The rows without their total."""
    done = 0
    for block in blocks:
        for _, *values in block:
            yield values
        done += len(block)
        if progress is not None:
            progress(done, block[0][0])


def _shaped(request: Request, actor: Any | None, fetched: Iterator[Sequence[Any]]) -> Iterator[Rows]:
    if request.is_training:
        return _training_rows(request, fetched)
    reviewers = _Reviewers(request.reviewers)
    hidden: set[str] = set() if allowed(actor, "view_models") else set(_MODELS)
    # the reason would tell a reviewer which of the items were gold
    hidden |= set() if may_export_all(actor) else {"reason"}
    if request.kind == "preferences":
        return map(Rows, _answers(request, _PAIR, fetched, reviewers, hidden))
    answers = _answers(request, (*_SHARED, *_ANSWERS), fetched, reviewers, hidden)
    return _review_rows(request.kind, answers)


class _Reviewers(dict[int, str]):
    """What each reviewer is called."""

    def __init__(self, how: Reviewers) -> None:
        super().__init__()
        self._how = how

    def __missing__(self, pk: int) -> str:
        from django.contrib.auth.models import User

        if self._how == "names":
            self[pk] = User.objects.values_list("username", flat=True).get(pk=pk)
        else:
            self[pk] = pseudonym(pk)
        return self[pk]


def pseudonym(reviewer: int) -> str:
    """The same for the same person in every export of this installation; nobody outside can tell who it is."""
    return f"reviewer-{keyed_hash('reviewer', str(reviewer), salt=settings.SECRET_KEY)[:12]}"


_MODELS = (
    "release",
    "model_version",
    "prompt_version",
    "system",
    "before_model_version",
    "after_model_version",
)


def _answers(
    request: Request,
    columns: Iterable[Column],
    fetched: Iterable[Sequence[Any]],
    reviewers: Mapping[int, str],
    hidden: Collection[str],
) -> Iterator[Row]:
    every = [column.name for column in columns]
    emptied = dict.fromkeys(name for name in every if name in hidden)
    for values in fetched:
        row = dict(zip(every, values, strict=True))
        if not request.texts:
            del row["article"]
        row |= emptied
        row["reviewer"] = reviewers[row["reviewer"]]
        yield row


def _review_rows(kind: str, answers: Iterable[Row]) -> Iterator[Rows]:
    criteria = {
        str(pk): key for pk, key in Criterion.objects.order_by("rubric", "position").values_list("pk", "key")
    }
    for row in answers:
        given = dict(pair.split(":") for pair in (row["ratings"] or "").split())
        row["ratings"] = ratings = {key: int(given[pk]) for pk, key in criteria.items() if pk in given}
        row["marks"] = marks = json.loads(row["marks"]) if row["marks"] else []
        row["sentence_support"] = json.loads(row["sentence_support"]) if row["sentence_support"] else []
        if kind == "ratings":
            yield Rows(row, [{"criterion": key, "value": value} for key, value in ratings.items()])
        elif kind == "spans":
            yield Rows(row, marks)
        else:
            yield Rows(row)


def _training_rows(request: Request, fetched: Iterable[Sequence[Any]]) -> Iterator[Rows]:
    version = _prompt(request)
    assert version is not None  # `check` made sure
    prompting = shapes.Prompting(prompt_spec(version), request.max_words)
    for split, domain, title, source, target, rejected in fetched:
        example = SnapshotExample(
            split=split, domain=domain, title=title, source=source, target=target, rejected=rejected
        )
        shaped = shapes.shaped(example, format=request.kind, prompting=prompting)
        if shaped is not None:
            yield Rows({**shaped, "split": split} if request.format == "datasets" else shaped)
