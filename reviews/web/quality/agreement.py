"""How far reviewers agree: by question, queue and pair, and who is strict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import include, path
from django.views.decorators.http import require_POST, require_safe

from models_app.web import charts
from models_app.web.pages import capability, page_or_fragment
from reviews.models import ReviewQueue
from reviews.quality.agreement import LEAST_ITEMS, SOLID, TENTATIVE, Agreement, Offset, Scale, reading
from reviews.quality.agreement_report import (
    SCALES,
    STARS,
    WINDOWS,
    agreement_of,
    find_report,
    question_names,
    start_measuring,
)

WINDOW_NAMES = {7: "7 days", 30: "30 days", 90: "90 days", 0: "everything"}
SCALE_NAMES: dict[Scale, str] = {
    "ordinal": "ordinal: 1 and 5 are further apart than 1 and 2",
    "nominal": "nominal: the same or not",
    "interval": "interval: each point is as wide as any other",
}
SHOWN_PAIRS = 15


@dataclass(frozen=True)
class Row:
    """One line of a table: what it is of, alpha, and what alpha says."""

    name: str
    found: Agreement
    key: str = ""

    @property
    def tone(self) -> str:
        return reading(self.found)[0]

    @property
    def word(self) -> str:
        return reading(self.found)[1]

    @property
    def sentence(self) -> str:
        return reading(self.found)[2]


@dataclass(frozen=True)
class PairRow(Row):
    kappa: float | None = None


@dataclass(frozen=True)
class Strictness:
    name: str
    offset: Offset


@dataclass(frozen=True)
class Choice:
    """What the page was asked for; anything unknown is the first of its kind."""

    days: int
    scale: Scale
    question: str
    queue: str

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Choice:
        days = values.get("days", "30")
        scales: dict[str, Scale] = {scale: scale for scale in SCALES}
        return cls(
            days=int(days) if days in {str(window) for window in WINDOWS} else 30,
            scale=scales.get(values.get("scale", ""), "ordinal"),
            question=values.get("question", STARS)[:60],
            queue=values.get("queue", "")[:20],
        )


# ---------------------------------------------------------------- for people who manage queues


@require_safe
@capability("manage_queues")
def agreement(request: HttpRequest) -> HttpResponse:
    wanted = Choice.of(request.GET.dict())
    report = find_report(days=wanted.days, scale=wanted.scale, question=wanted.question)
    context: dict[str, Any] = {
        "wanted": wanted,
        "windows": [(days, WINDOW_NAMES[days]) for days in WINDOWS],
        "scales": SCALE_NAMES,
        "report": report,
        "least_items": LEAST_ITEMS,
        "thresholds": (TENTATIVE, SOLID),
        "tab": "agreement",
    }
    if report.data is not None:
        context |= _tables(report.data, wanted)
    return page_or_fragment(
        request, "reviews/quality/agreement.html", "reviews/quality/_agreement.html", context
    )


def _tables(data: Mapping[str, Any], wanted: Choice) -> dict[str, Any]:
    names = question_names(list(data["all"]))
    question = wanted.question if wanted.question in data["all"] else STARS
    queues = {str(queue.pk): queue.name for queue in ReviewQueue.objects.filter(pk__in=data["queues"])}
    chosen = data["queues"].get(wanted.queue, data["all"])
    rows = [
        Row(name, agreement_of(chosen[key][wanted.scale]), key)
        for key, name in names.items()
        if key in chosen
    ]
    by_queue = [
        Row(queues[pk], agreement_of(cells[question][wanted.scale]), pk)
        for pk, cells in data["queues"].items()
        if pk in queues and question in cells
    ]
    pairs, strict = data["pairs"].get(question, {"rows": [], "total": 0}), data["offsets"].get(question, {})
    people = _names(
        {row[end] for row in pairs["rows"] for end in ("first", "second")} | {int(pk) for pk in strict}
    )
    pair_rows = [
        PairRow(
            f"{people.get(row['first'], '?')} and {people.get(row['second'], '?')}",
            agreement_of(row),
            kappa=row["kappa"],
        )
        for row in pairs["rows"]
    ]  # fmt: skip
    pair_rows.sort(
        key=lambda row: (row.found.low is None, row.found.alpha if row.found.alpha is not None else 2)
    )
    strictness = [
        Strictness(people.get(int(pk), "?"), Offset(row["n"], row["mean"], row["low"], row["high"]))
        for pk, row in strict.items()
    ]
    strictness.sort(key=lambda row: row.offset.mean)
    return {
        "rows": rows,
        "said": sorted({(row.word, row.sentence) for row in rows}),
        "by_queue": sorted(by_queue, key=lambda row: row.name),
        "queues": sorted(queues.items(), key=lambda row: row[1]),
        "questions": names,
        "question": question,
        "question_name": names.get(question, question),
        "pairs": pair_rows[:SHOWN_PAIRS],
        "more_pairs": pair_rows[SHOWN_PAIRS:],
        "pairs_total": pairs["total"],
        "strictness": strictness,
        "forest": charts.forest_plot(
            [
                charts.Interval(row.name, row.offset.n, row.offset.low, row.offset.mean, row.offset.high,
                                "maybe" if row.offset.direction else "quiet")
                for row in strictness[:12]
                if row.offset.low is not None and row.offset.high is not None
            ],
            title=f"Points above or below the others on {names.get(question, question).lower()}",
            zero_name="like the others", places=2,
        ),
    }  # fmt: skip


def _names(people: set[int]) -> dict[int, str]:
    return {user.pk: user.get_username() for user in User.objects.filter(pk__in=people)}


@require_POST
@capability("manage_queues")
def compute(request: HttpRequest) -> HttpResponse:
    start_measuring(actor=request.user)
    messages.info(request, "Agreement is being computed again; this page shows it as soon as it is ready.")
    return redirect("agreement")


urlpatterns = [
    path("", agreement, name="agreement"),
    path("compute/", compute, name="agreement_compute"),
    path("disputes/", include("reviews.web.quality.disputes")),
    path("gold/", include("reviews.web.quality.gold")),
]
