"""The rows of an export: read as they are written, a few hundred in memory at a time, and shaped for files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from models_app.datasets import exporting as shapes
from models_app.engines import prompt_spec
from models_app.foundation.roles import allowed
from models_app.models import SnapshotExample
from models_app.serving.routing import keyed_hash
from reviews.exports.columns import ANSWERS, MARK, PAIR, SHARED, SUPPORT
from reviews.exports.files import Column, Row, Rows
from reviews.exports.queries import rows_of
from reviews.exports.request import Request, Reviewers, may_export_all, prompt_of
from reviews.exports.statements import plan_for_all_rows

FETCHED = 500

Progress = Callable[[int, int], None]
"""(rows read so far, all of them when the reading began)"""


@contextmanager
def open_rows(
    request: Request, actor: Any | None, *, progress: Progress | None = None
) -> Iterator[Iterator[Rows]]:
    """The rows, each of new dicts with the names of `columns_of` in the same order, and for a folder its `split`.

    A transaction is open as long as this is: in one, the cursor reads as it goes, while outside the server would first
    put the whole answer aside. It ends here and not when somebody happens to drop an iterator.
    """
    found = rows_of(request, actor)
    with transaction.atomic():
        total = found.count()
        plan_for_all_rows()
        with closing(_counted(found.iterator(chunk_size=FETCHED), total, progress)) as values:
            yield _shaped(request, actor, values)


def _counted(
    rows: Iterator[Sequence[Any]], total: int, progress: Progress | None
) -> Generator[Sequence[Any], None, None]:
    done = 0
    for done, values in enumerate(rows, 1):
        yield values
        if progress is not None and done % FETCHED == 0:
            progress(done, total)
    if progress is not None and done % FETCHED:
        progress(done, total)


def _shaped(request: Request, actor: Any | None, fetched: Iterator[Sequence[Any]]) -> Iterator[Rows]:
    if request.is_training:
        return _training_rows(request, fetched)
    reviewers = _Reviewers(request.reviewers)
    emptied = set() if allowed(actor, "view_models") else set().union(_MODELS, *_OF_SIDES)
    # the reason would tell a reviewer which of the items were gold
    emptied |= set() if may_export_all(actor) else {"reason"}
    if request.kind == "preferences":
        return map(Rows, _answers(request, PAIR, fetched, _OF_SIDES, emptied, reviewers))
    answers = _answers(request, (*SHARED, *ANSWERS), fetched, (_MODELS,), emptied, reviewers)
    return _review_rows(request.kind, answers)


class _Reviewers(dict[int, str]):
    """What each reviewer is called."""

    def __init__(self, how: Reviewers) -> None:
        super().__init__()
        self._how = how

    def __missing__(self, pk: int) -> str:
        if self._how == "names":
            self[pk] = User.objects.values_list("username", flat=True).get(pk=pk)
        else:
            self[pk] = pseudonym(pk)
        return self[pk]


def pseudonym(reviewer: int) -> str:
    """The same for the same person in every export of this installation; nobody outside can tell who it is."""
    return f"reviewer-{keyed_hash('reviewer', str(reviewer), salt=settings.SECRET_KEY)[:12]}"


_MODELS = ("release", "model_version", "prompt_version", "system")
_OF_SIDES = (("before_model_version",), ("after_model_version",))


def _answers(
    request: Request,
    columns: Iterable[Column],
    fetched: Iterable[Sequence[Any]],
    hideable: Sequence[Sequence[str]],
    emptied: Collection[str],
    reviewers: Mapping[int, str],
) -> Iterator[Row]:
    """`hideable`: what is emptied where the first, the second … of a row's values says that its model is hidden."""
    every = [column.name for column in columns]
    nothing = dict.fromkeys(name for name in every if name in emptied)
    for values in fetched:
        hidden, said = values[: len(hideable)], values[len(hideable) :]
        row = dict(zip(every, said, strict=True))
        if not request.texts:
            del row["article"]
        for names, is_hidden in zip(hideable, hidden, strict=True):
            if is_hidden:
                row |= dict.fromkeys(names)
        row |= nothing
        row["reviewer"] = reviewers[row["reviewer"]]
        yield row


def _review_rows(kind: str, answers: Iterable[Row]) -> Iterator[Rows]:
    for row in answers:
        row["ratings"] = ratings = dict(row["ratings"] or ())
        row["marks"] = marks = [dict(zip(MARK, mark, strict=True)) for mark in row["marks"] or ()]
        row["sentence_support"] = [
            dict(zip(SUPPORT, said, strict=True)) for said in row["sentence_support"] or ()
        ]
        if kind == "ratings":
            yield Rows(row, [{"criterion": key, "value": value} for key, value in ratings.items()])
        elif kind == "spans":
            yield Rows(row, marks)
        else:
            yield Rows(row)


def _training_rows(request: Request, fetched: Iterable[Sequence[Any]]) -> Iterator[Rows]:
    version = prompt_of(request)
    assert version is not None  # `check` made sure
    prompting = shapes.Prompting(prompt_spec(version), request.max_words)
    for split, domain, title, source, target, rejected in fetched:
        example = SnapshotExample(
            split=split, domain=domain, title=title, source=source, target=target, rejected=rejected
        )
        shaped = shapes.shaped(example, format=request.kind, prompting=prompting)
        if shaped is not None:
            yield Rows({**shaped, "split": split} if request.format == "datasets" else shaped)
