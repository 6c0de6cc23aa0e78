"""The five tables of the method's paper, from this installation's own rows, each figure with its window and n.

1. ROUGE of the model before and after fine-tuning; 2. service: latency, throughput, availability; 3. use: requests,
users, sessions, lengths, domains, quality; 4. voices: stars, sentiment, classes of comments, what is wanted;
5. before and after the feedback loop, then each release while it was live.

`comparison_table` and `as_markdown` make every table with ROUGE, on the page, in the command and in a loop's report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db.models import Avg, Count, Q, StdDev

from models_app.evaluation.metrics import METRICS, Metric
from models_app.evaluation.statistics import EVERYTHING, STORED, MetricComparison, from_stored
from models_app.evaluation.wording import figures_of
from models_app.foundation.amounts import duration
from models_app.models import Comparison, ComparisonResult, Deployment
from models_app.monitoring.availability import NOTE, Availability, availability
from models_app.monitoring.sums import MeanAndDeviation
from models_app.monitoring.traffic import (
    ClientVoice,
    ReleasePeriod,
    Traffic,
    Window,
    release_periods,
    traffic,
    voice,
)
from models_app.texts.figures import DASH, number, signed
from reviews.models import Review, ReviewRating

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
BESIDE = (
    "summary_words", "length_ratio", "repetition", "copied_share", "unsupported_numbers", "unsupported_names",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table ready to be shown: `note` says window and n; a cell is text."""

    number: int
    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "title": self.title,
            "note": self.note,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
        }


@dataclass(frozen=True)
class ReviewerVoice:
    """What reviewers said in a window."""

    n: int
    stars: MeanAndDeviation
    verdicts: Mapping[str, int]
    ratings: Mapping[str, MeanAndDeviation]
    sentiments: Mapping[str, int]
    categories: Mapping[str, int]
    wants_retrain: int
    wants_refine: int
    edited: int = field(default=0)


def reviewer_voice(window: Window, release: Any | None = None) -> ReviewerVoice:
    """Four queries. Of one release's summaries where given."""
    rows = Review.objects.filter(
        state="submitted", imported_from=None, submitted_at__gte=window.start, submitted_at__lt=window.end
    )
    if release is not None:
        rows = rows.filter(summary__release=release)
    found = rows.aggregate(
        n=Count("pk"),
        mean=Avg("stars"),
        sd=StdDev("stars", sample=True),
        good=Count("pk", filter=Q(verdict="good")),
        fair=Count("pk", filter=Q(verdict="fair")),
        poor=Count("pk", filter=Q(verdict="poor")),
        retrain=Count("pk", filter=Q(wants_retrain=True)),
        refine=Count("pk", filter=Q(wants_refine=True)),
    )
    ratings = (
        ReviewRating.objects.filter(review__in=rows)
        .values("criterion__name", "criterion__position")
        .annotate(n=Count("pk"), mean=Avg("value"), sd=StdDev("value", sample=True))
        .order_by("criterion__position")
    )
    return ReviewerVoice(
        n=found["n"],
        stars=MeanAndDeviation(found["n"], found["mean"], found["sd"] if found["n"] > 1 else None),
        verdicts={name: found[name] for name in ("good", "fair", "poor")},
        ratings={
            row["criterion__name"]: MeanAndDeviation(row["n"], row["mean"], row["sd"]) for row in ratings
        },
        sentiments=_counted(rows, "sentiment"),
        categories=_counted(rows, "category"),
        wants_retrain=found["retrain"],
        wants_refine=found["refine"],
    )


def _counted(rows: Any, name: str) -> dict[str, int]:
    return {key: n for key, n in rows.values_list(name).annotate(n=Count("pk")).order_by("-n", name) if key}


# ---------------------------------------------------------------- words and figures


def spread(value: MeanAndDeviation, places: int = 1) -> str:
    if value.mean is None:
        return "–"
    deviation = f" ± {value.deviation:.{places}f}" if value.deviation is not None else ""
    return f"{value.mean:,.{places}f}{deviation} (n = {value.n:,})"


def _share(n: int, total: int) -> str:
    return f"{n:,} ({n / total:.0%})".replace("%", " %") if total else "0"


def _percent(share: float) -> str:
    """Two decimals, and never 100 where something is missing."""
    if 0.9999 < share < 1:
        return "over 99.99 %"
    return f"{share:.2%}".replace("%", " %")


def percent_of_time(up: Availability) -> str:
    return "–" if up.share is None else f"{_percent(up.share)} of {duration(up.counted_seconds)}"


def outages_in_words(up: Availability) -> str:
    if up.share is None:
        return "–"
    if not up.outages:
        return "none"
    longest = max(up.outages, key=lambda outage: outage.seconds)
    count = len(up.outages)
    if count == 1:
        return f"1, {duration(longest.seconds)} from {longest.start:%Y-%m-%d %H:%M}: {longest.reason}"
    return (
        f"{count}, {duration(up.outage_seconds)} together; the longest {duration(longest.seconds)} from "
        f"{longest.start:%Y-%m-%d %H:%M}: {longest.reason}"
    )


def _window(window: Window) -> str:
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"


# ---------------------------------------------------------------- the tables


@dataclass(frozen=True)
class Figures:
    """What was counted of a window, once for all that shows it."""

    service: Traffic
    up: Availability
    clients: ClientVoice
    reviewers: ReviewerVoice

    @classmethod
    def of(cls, window: Window) -> Figures:
        return cls(traffic(window), availability(window), voice(window), reviewer_voice(window))


def tables(window: Window, figures: Figures | None = None) -> list[Table]:
    """All five, for the window; the first is about the newest comparison that was submitted or made. The fifth comes in
    two parts."""
    found = figures or Figures.of(window)
    return [
        rouge_table(newest_comparison(window.end)),
        service_table(window, found.service, found.up),
        use_table(window, found.service, found.reviewers),
        voices_table(window, found.clients, found.reviewers),
        loop_table(newest_change(window.end), window.end),
        releases_table(window.end),
    ]


def newest_comparison(before: datetime) -> Comparison | None:
    rows = Comparison.objects.filter(created_at__lt=before).select_related(
        "candidate__release", "baseline__release"
    )
    return rows.filter(releases__isnull=False).order_by("-pk").first() or rows.order_by("-pk").first()


def newest_change(before: datetime) -> Comparison | None:
    """The comparison that the newest release which went live was submitted with."""
    deployment = (
        Deployment.objects.filter(live_from__lt=before, release__comparison__isnull=False)
        .select_related("release__comparison__candidate__release", "release__comparison__baseline__release")
        .order_by("-live_from")
        .first()
    )
    return deployment.release.comparison if deployment is not None else None


def stored_results(comparison: Comparison, against: str = "baseline") -> list[MetricComparison]:
    """On all documents and on slices, in the order they were computed."""
    rows = ComparisonResult.objects.filter(comparison=comparison, against=against).order_by("pk")
    return [from_stored(row) for row in rows.values(*STORED)]


def comparison_note(comparison: Comparison) -> str:
    return (
        f"Comparison {comparison.pk}: release {comparison.candidate.release_id} against release "
        f"{comparison.baseline.release_id}, {comparison.n} test documents, {comparison.resamples:,} paired resamples, "
        f"seed {comparison.seed}."
    )


def rouge_table(comparison: Comparison | None) -> Table:
    title = "ROUGE before and after"
    if comparison is None:
        return comparison_table(1, title, "No comparison has been made yet.", [], ROUGE)
    return comparison_table(1, title, comparison_note(comparison), stored_results(comparison), ROUGE)


def loop_table(comparison: Comparison | None, now: datetime) -> Table:
    """Before and after the release that went live last: ROUGE and what is measured beside it, and reviewers' stars."""
    title = "Before and after the feedback loop"
    if comparison is None:
        return comparison_table(
            5, title, "No release that was compared with another has gone live yet.", [], ROUGE
        )
    before, after = (
        reviewer_voice(Window(BEGINNING, now), run.release).stars
        for run in (comparison.baseline, comparison.candidate)
    )
    return comparison_table(
        5,
        title,
        comparison_note(comparison),
        stored_results(comparison),
        (*ROUGE, *BESIDE),
        stars=(before, after),
    )


def comparison_table(
    number: int,
    title: str,
    note: str,
    results: Sequence[MetricComparison],
    metrics: Sequence[str],
    *,
    before: str = "Before",
    after: str = "After",
    stars: tuple[MeanAndDeviation, MeanAndDeviation] | None = None,
) -> Table:
    """`metrics` on all documents: before, after, improvement in percent of before, interval, n and verdict; with
    reviewers' `stars` before and after in a last line."""
    whole = {row.metric: row for row in results if row.slice == EVERYTHING}
    rows = [_comparison_row(METRICS[name], whole[name]) for name in metrics if name in whole]
    if rows and stars is not None:
        rows.append(
            ("Stars of reviewers", spread(stars[0], 2), spread(stars[1], 2), "–", "–", f"{stars[1].n:,}", "–")
        )
    columns = ("Measure", before, after, "Improvement", "95 % interval of the difference", "n", "Verdict")
    return Table(number, title, note, columns, rows)


def _comparison_row(metric: Metric, result: MetricComparison) -> tuple[str, ...]:
    """Improvement is in percent of before, less than nothing where it got worse; the interval is of the difference in
    the measure's own unit."""
    gain = {"higher": result.delta, "lower": -result.delta, "neither": None}[metric.better]
    improvement = f"{signed(100 * gain / result.before)} %" if gain is not None and result.before else DASH
    said = figures_of(result, least=2)
    return (said.label, said.before, said.after, improvement, said.interval, said.n, said.verdict)


def service_table(window: Window, found: Traffic, up: Availability) -> Table:
    rows = [
        ("Requests", f"{found.requests:,}"),
        ("Throughput", f"{number(found.per_minute, 2)} a minute; busiest minute {found.busiest_minute:,}"),
        ("Latency, median", f"{number(found.latency_p50, 0)} ms (n = {found.answered:,})"),
        ("Latency, 95th percentile", f"{number(found.latency_p95, 0)} ms"),
        ("Latency, mean", f"{number(found.latency_mean, 0)} ms"),
        ("Availability", percent_of_time(up)),
        ("Outages", outages_in_words(up)),
        *([("Stopped on purpose, not counted", duration(up.planned_seconds))] if up.planned_seconds else []),
        (
            "Requests answered",
            "–"
            if found.answered_share is None
            else f"{_percent(found.answered_share)} (n = {found.requests:,})",
        ),
        *((f"Outcome: {name}", f"{n:,}") for name, n in found.outcomes.items() if name != "ok"),
    ]
    return Table(2, "Service", f"{_window(window)}. {NOTE}", ("Measure", "Value"), rows)


def use_table(window: Window, found: Traffic, reviewers: ReviewerVoice) -> Table:
    rows = [
        ("Requests", f"{found.requests:,}"),
        ("Users", found.users_said),
        ("Sessions", found.sessions_said),
        ("Input length in words, mean ± sd", spread(found.input_words)),
        ("Summary length in words, mean ± sd", spread(found.summary_words)),
        *((f"Domain: {name}", _share(n, found.requests)) for name, n in found.domains.items()),
        *((f"Reviewed as {name}", _share(n, reviewers.n)) for name, n in reviewers.verdicts.items()),
    ]
    return Table(3, "Use", _window(window), ("Measure", "Value"), rows)


def voices_table(window: Window, clients: ClientVoice, reviewers: ReviewerVoice) -> Table:
    rows: list[tuple[str, str, str]] = [
        ("Ratings or reviews", f"{clients.n:,}", f"{reviewers.n:,}"),
        ("Stars, mean ± sd", spread(clients.stars, 2), spread(reviewers.stars, 2)),
    ]
    for name, value in reviewers.ratings.items():
        rows.append((f"{name}, mean ± sd", "–", spread(value, 2)))
    for label, left, right in (
        ("Sentiment", clients.sentiments, reviewers.sentiments),
        ("Comment", clients.categories, reviewers.categories),
    ):
        for name in sorted({*left, *right}, key=lambda key: -(left.get(key, 0) + right.get(key, 0))):
            rows.append((f"{label}: {name}", f"{left.get(name, 0):,}", f"{right.get(name, 0):,}"))
    rows += [
        (
            "Want retraining",
            _share(clients.wants_retrain, clients.n),
            _share(reviewers.wants_retrain, reviewers.n),
        ),
        (
            "Want a better prompt",
            _share(clients.wants_refine, clients.n),
            _share(reviewers.wants_refine, reviewers.n),
        ),
    ]
    return Table(4, "Feedback", _window(window), ("Measure", "Clients", "Reviewers"), rows)


def releases_table(now: datetime) -> Table:
    columns = (
        "Release", "Live", "Requests", "Availability", "Answered", "Latency p50 / p95", "Client rating",
        "Reviewed good", "Stars of reviewers", "Want retraining", "Want a better prompt",
    )  # fmt: skip
    rows = [_release_row(period, now) for period in reversed(release_periods(now=now))]
    note = "Each release while it was live, the oldest first; reviews are of its own summaries, whenever written."
    return Table(
        5, "Each release while it was live", note if rows else "Nothing has been live yet.", columns, rows
    )


def _release_row(period: ReleasePeriod, now: datetime) -> tuple[str, ...]:
    reviewers = reviewer_voice(Window(BEGINNING, now), period.release)
    seen, voices = period.traffic, period.voice
    until = f"{period.live_to:%Y-%m-%d %H:%M}" if period.live_to else "now"
    return (
        f"release {period.release.pk}: {period.release.model_version.name}",
        f"{period.live_from:%Y-%m-%d %H:%M} – {until}",
        f"{seen.requests:,}",
        percent_of_time(availability(Window(period.live_from, period.live_to or now))),
        "–" if seen.answered_share is None else _percent(seen.answered_share),
        f"{number(seen.latency_p50, 0)} / {number(seen.latency_p95, 0)} ms",
        spread(voices.stars, 2),
        _share(reviewers.verdicts["good"], reviewers.n) if reviewers.n else "–",
        spread(reviewers.stars, 2),
        f"{voices.wants_retrain + reviewers.wants_retrain:,}",
        f"{voices.wants_refine + reviewers.wants_refine:,}",
    )


def as_markdown(found: Sequence[Table], *, level: int = 3) -> str:
    parts = []
    for table in found:
        head = "| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns)
        body = "\n".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table.rows
        )
        title = f"{'#' * level} Table {table.number}. {table.title}"
        parts.append(f"{title}\n\n{table.note}\n\n{head}\n{body}\n")
    return "\n".join(parts)
