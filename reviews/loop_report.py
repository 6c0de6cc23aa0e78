"""What `run_loop` leaves behind: report.md and report.json, with the paper's tables 1 and 5, intervals and verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils import timezone

from models_app.evaluation.metrics import METRICS
from models_app.models import ComparisonResult, ExampleScore
from models_app.monitoring.traffic import Window
from reviews.looping import LoopResult
from reviews.tables import BEGINNING, ROUGE, Table, figure, reviewer_voice, rouge_row, spread

BESIDE = (
    "summary_words",
    "length_ratio",
    "repetition",
    "copied_share",
    "unsupported_numbers",
    "unsupported_names",
)
STAND_IN = (
    "Reference summaries stood in for reviewers' edits: no person reviewed anything in this run. Nothing here says how "
    "people would judge the summaries."
)


def write_report(result: LoopResult, directory: Path, *, command: str) -> tuple[Path, Path]:
    """Write report.md and report.json into `directory`; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    facts = _facts(result, command)
    markdown, data = directory / "report.md", directory / "report.json"
    for path, text in (
        (data, json.dumps(facts, indent=2, ensure_ascii=False, default=str)),
        (markdown, _markdown(result, facts)),
    ):
        beside = path.with_suffix(path.suffix + ".partial")
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(path)
    return markdown, data


def _results(result: LoopResult, against: str) -> dict[str, ComparisonResult]:
    rows = ComparisonResult.objects.filter(comparison=result.comparison, against=against, slice="all")
    return {row.metric: row for row in rows}


def _facts(result: LoopResult, command: str) -> dict[str, Any]:
    fields = ("metric", "against", "slice", "n", "before", "after", "delta", "low", "high", "p", "mde", "verdict",
              "more_needed")  # fmt: skip
    options = result.options
    return {
        "command": command,
        "made": timezone.now().isoformat(timespec="seconds"),
        "reviewers": STAND_IN,
        "documents": {
            "file": options.documents.name,
            "read": result.imported.read,
            "imported": result.imported.imported,
            "duplicates": result.imported.duplicates,
            "refused": result.imported.refused_count,
            "train": options.train,
            "validation": options.validation,
            "test": result.test_set.rows,
        },
        "seed": options.seed,
        "model": {
            "base": result.base.base,
            "name": result.base.name,
            "digest": result.base.digest,
            "tuned": result.tuned.digest,
            "parameters": result.base.parameters,
            "engine": result.tuned.engine,
            "precision": result.tuned.precision,
        },
        "prompt": {
            "system": result.prompt.system,
            "template": result.prompt.template,
            "digest": result.prompt.digest,
        },
        "decoding": result.before.release.decoding,
        "recipe": result.recipe.to_dict(),
        "snapshot": result.snapshot.digest,
        "test_set": result.test_set.digest,
        "training": result.training.summary,
        "comparison": {
            "verdict": result.comparison.verdict,
            "sentence": result.comparison.sentence,
            "digest": result.comparison.digest,
            "signature": result.comparison.signature,
            "resamples": result.comparison.resamples,
            "results": list(ComparisonResult.objects.filter(comparison=result.comparison).values(*fields)),
        },
        "release": {"id": result.release.pk, "state": result.release.state},
        "drafted": result.drafted,
        "phases": [
            {
                "name": phase.name,
                "seconds": round(phase.seconds, 1),
                "cpu_seconds": round(phase.cpu_seconds, 1),
            }
            for phase in result.phases
        ],
        "cpu_minutes": round(sum(phase.cpu_seconds for phase in result.phases) / 60, 1),
        "minutes": round(sum(phase.seconds for phase in result.phases) / 60, 1),
        "machine": result.machine,
    }


def table_1(result: LoopResult) -> list[Table]:
    """The paper's table 1, against the base model and against lead-3."""
    columns = (
        "Metric",
        "Baseline",
        "Tuned",
        "Improvement",
        "95 % interval of the difference",
        "n",
        "Verdict",
    )
    baseline, lead = _results(result, "baseline"), _results(result, "lead")
    n = result.comparison.n
    tables = [
        Table(
            1, "Baseline against tuned model",
            f"ROUGE F-measure in points; {n} test documents; paired bootstrap, "
            f"{result.comparison.resamples:,} resamples, "
            f"seed {result.comparison.seed}.",
            columns, [rouge_row(METRICS[name].label, baseline[name]) for name in ROUGE],
        )
    ]  # fmt: skip
    if lead:
        tables.append(
            Table(
                1, "Lead-3 against tuned model",
                "Lead-3 takes the article's first three sentences; news is hard to beat with it.",
                ("Metric", "Lead-3", *columns[2:]), [rouge_row(METRICS[name].label, lead[name]) for name in ROUGE],
            )
        )  # fmt: skip
    return tables


def table_5(result: LoopResult) -> Table:
    """The paper's table 5: before and after the feedback loop, with ratings where there are any."""
    now = timezone.now()
    before, after = (
        reviewer_voice(Window(BEGINNING, now), release) for release in (result.before.release, result.release)
    )
    rows: list[Sequence[str]] = []
    baseline = _results(result, "baseline")
    for name in (*ROUGE, *BESIDE):
        row = baseline[name]
        metric = METRICS[name]
        interval = "–" if row.low is None else f"{figure(row.low, 2)} … {figure(row.high, 2)}"
        rows.append(
            (metric.label, figure(row.before, 2), figure(row.after, 2), interval, f"{row.n:,}", row.verdict)
        )
    rows.append(
        ("Stars of reviewers", spread(before.stars, 2), spread(after.stars, 2), "–", f"{after.n:,}", "–")
    )
    note = "" if before.n or after.n else " No ratings: nobody reviewed these summaries."
    return Table(
        5, "Before and after the feedback loop", f"{result.comparison.n} test documents.{note}",
        ("Measure", "Before", "After", "95 % interval of the difference", "n", "Verdict"), rows,
    )  # fmt: skip


def _table(table: Table) -> str:
    head = "| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns)
    body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table.rows)
    return f"{table.note}\n\n{head}\n{body}\n"


def _examples(result: LoopResult) -> list[str]:
    """Document, before and after of the largest loss, a middle change and the largest gain in ROUGE-2."""
    after = {s.example_id: s for s in ExampleScore.objects.filter(run=result.after).select_related("example")}
    before = {s.example_id: s for s in ExampleScore.objects.filter(run=result.before)}
    order = sorted(after, key=lambda pk: after[pk].rouge2 - before[pk].rouge2)
    lines = []
    for name, pk in (
        ("largest loss", order[0]),
        ("median", order[len(order) // 2]),
        ("largest gain", order[-1]),
    ):
        change = (after[pk].rouge2 - before[pk].rouge2) * 100
        lines += [
            f"**{name}** ({change:+.1f} ROUGE-2), document `{after[pk].example.document_hash[:12]}`, "
            f"{before[pk].summary_words} → {after[pk].summary_words} words",
            "",
        ]
    return lines


def _trained_earlier(result: LoopResult) -> bool:
    return all(phase.name != "fine-tuning" for phase in result.phases)


def _job_minutes(result: LoopResult) -> float:
    run = result.training
    if run.started_at is None or run.finished_at is None:
        return 0.0
    return (run.finished_at - run.started_at).total_seconds() / 60


def _markdown(result: LoopResult, facts: dict[str, Any]) -> str:
    training, machine = result.training.summary, result.machine
    documents = facts["documents"]
    parts = [
        f"# The loop on {documents['file']}",
        "",
        f"{datetime.fromisoformat(facts['made']):%d %B %Y}. {result.comparison.sentence}",
        "",
        STAND_IN,
        "",
        "```",
        facts["command"],
        "```",
        "",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Python "
        f"{machine['python']}, {training.get('precision', '')} on {result.training.device}. "
        f"Time: {facts['minutes']} minutes, {facts['cpu_minutes']} CPU-minutes. Seed {facts['seed']}.",
        "",
        f"Documents: {documents['read']} read, {documents['imported']} imported, {documents['duplicates']} duplicates, "
        f"{documents['refused']} refused; {documents['train']} to train, {documents['validation']} to choose the "
        f"checkpoint, {documents['test']} to judge. Splits are by hash of the document.",
    ]
    for table in table_1(result):
        parts += ["", f"## Table 1. {table.title}", "", _table(table)]
    five = table_5(result)
    parts += ["", f"## Table 5. {five.title}", "", _table(five)]
    parts += [
        "## What was run",
        "",
        f"- Base: {result.base.name} (`{result.base.digest[:12]}`), {result.base.parameters:,} parameters, served by "
        f"{result.base.engine} {result.base.precision}; the same engine wrote what was evaluated.",
        f"- Prompt: `{json.dumps(result.prompt.template, ensure_ascii=False)}`",
        f"- Decoding, before and after: `{json.dumps(facts['decoding'])}`",
        f"- Recipe: `{json.dumps(facts['recipe'])}`",
        f"- Training: {training.get('steps')} steps in {training.get('seconds', 0):.0f} s, "
        f"{training.get('examples_per_second', 0):.2f} examples/s, most memory "
        f"{training.get('peak_memory_bytes', 0) / 2**30:.2f} GiB; the checkpoint of step {training.get('best_step')} "
        f"was kept, validation loss {training.get('validation_loss', 0):.3f}.",
        f"- Snapshot `{facts['snapshot'][:16]}`, test set `{facts['test_set'][:16]}`, comparison "
        f"`{result.comparison.digest[:16]}`, metric signature `{result.comparison.signature}`.",
        f"- The training job took {_job_minutes(result):.1f} minutes"
        + (f", {training['cpu_seconds'] / 60:.1f} CPU-minutes" if "cpu_seconds" in training else "")
        + ("; it ran in an earlier call of this command." if _trained_earlier(result) else "."),
        f"- {result.drafted} drafts by the base model; release {result.release.pk} {result.release.state}.",
        "",
        "| Phase | Seconds | CPU-seconds |",
        "|---|---|---|",
        *(
            f"| {phase['name']} | {phase['seconds']:.0f} | {phase['cpu_seconds']:.0f} |"
            for phase in facts["phases"]
        ),
        "",
        "## Single documents",
        "",
        *_examples(result),
    ]
    return "\n".join(parts).rstrip()
