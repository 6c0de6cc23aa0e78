"""What is read before a decision on a release; all of it was computed before, and is only looked up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from models_app.evaluation.metrics import METRICS
from models_app.evaluation.reading import Reading
from models_app.evaluation.terms import SLICE_FLOOR
from models_app.evaluation.wording import margins_in_words
from models_app.gates.running import Found
from models_app.models import Comparison, ComparisonResult, GateRun, Release
from models_app.releases.hands import Hands
from models_app.web import charts, slices
from models_app.web.comparisons import MetricRow, falls_of, metric_rows
from models_app.web.releases.gates_at_a_glance import counted, gate_rows
from models_app.web.releases.near_duplicates import near_duplicates
from models_app.web.releases.nine_documents import nine_documents
from models_app.web.releases.verdict import doubts, doubts_of_policy, headline, in_the_way

SHOWN_METRICS = (
    "rouge2",
    "rouge1",
    "rougeL",
    "rougeLsum",
    "repetition",
    "unsupported_numbers",
    "unsupported_names",
)


def evidence_context(
    release: Release,
    comparison: Comparison | None,
    found: Found | None,
    *,
    at: datetime | None,
    hands: Hands,
) -> dict[str, Any]:
    """`at`: when it was decided on, for the waivers that held then. `hands`: who had a part in it."""
    results = list(ComparisonResult.objects.filter(comparison=comparison)) if comparison is not None else []
    rows = _metric_rows(results)
    run = found.run if found is not None else None
    outcome = found.outcome(at=at) if found is not None else None
    glance = gate_rows(outcome.findings if outcome is not None else (), release=release.pk)
    told: dict[str, Any] = {
        "rows": rows,
        "margins": margins_in_words((row.metric, row.result.margin) for row in rows),
        "run": run,
        "gate_rows": glance,
        "counted": counted(outcome.findings) if outcome is not None else "",
        "gates_moving": run is not None and run.state in GateRun.ACTIVE,
    }
    if comparison is None:
        return told
    reading = Reading.of_json(comparison.reading) if comparison.reading else None
    metric = METRICS[comparison.primary_metric]
    nine = nine_documents(comparison, reading) if reading is not None else []
    told |= {
        "metric": metric,
        "verdict": headline(comparison, outcome),
        "slices": slices.of_comparison(results, metric.key, floor=comparison.terms.get("floor", SLICE_FLOOR)),
        "nine": nine,
        "doubts": in_the_way(glance)[:3]
        if outcome is not None and outcome.state in ("blocked", "needs evidence")
        else [*doubts_of_policy(release, hands), *doubts(glance, nine, falls_of(results), comparison)][:3],
        "near": near_duplicates(outcome.findings) if outcome is not None else None,
        "reading": reading,
    }
    if reading is not None:
        sides = (reading.bins.below, reading.bins.above)
        worse, better = sides if metric.better != "lower" else sides[::-1]
        told |= {
            "got_worse": worse,
            "stayed_the_same": reading.bins.equal,
            "got_better": better,
            "histogram": charts.histogram(
                reading.bins,
                title=f"{metric.label}, after minus before, by document",
                higher_is_better=metric.better != "lower",
                marks=[one.after - one.before for one in reading.documents],
            ),
        }
    return told


def _metric_rows(results: list[ComparisonResult]) -> list[MetricRow]:
    rows = {row.metric.key: row for row in metric_rows(results)}
    return [rows[name] for name in SHOWN_METRICS if name in rows and name in METRICS]
