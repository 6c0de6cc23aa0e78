"""What `run_loop` leaves behind: report.json with every figure, and report.md, which is made of it and of nothing else.

`markdown` is pure, so that a report can be written again from its figures when the words change
(`script/render_report.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils import timezone

from models_app.evaluation.metrics import METRICS
from models_app.evaluation.statistics import STORED, MetricComparison, from_stored
from models_app.evaluation.terms import PRIMARY
from models_app.evaluation.wording import margins_in_words, verdict_in_words
from models_app.models import ComparisonResult, ExampleScore, TrainingMetric
from models_app.monitoring.sums import MeanAndDeviation
from models_app.monitoring.traffic import Window
from models_app.texts.figures import signed
from models_app.training.outcomes import kept_in_words
from reviews.loop.run import LoopResult
from reviews.reports.tables import (
    BEGINNING,
    BESIDE,
    ROUGE,
    Table,
    as_markdown,
    comparison_table,
    reviewer_voice,
)

STAND_IN = (
    "Reference summaries stood in for reviewers' edits: no person reviewed anything in this run. Nothing here says how "
    "people would judge the summaries."
)


def write_report(result: LoopResult, directory: Path, *, command: str) -> tuple[Path, Path]:
    """Write report.md and report.json into `directory`; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    # as it is read again: numbers, texts, lists
    facts = json.loads(json.dumps(_facts(result, command), ensure_ascii=False, default=str))
    return write_facts(facts, directory)


def write_facts(facts: Mapping[str, Any], directory: Path) -> tuple[Path, Path]:
    """Both files, of these figures."""
    text, data = directory / "report.md", directory / "report.json"
    for path, content in (
        (data, json.dumps(facts, indent=2, ensure_ascii=False)),
        (text, markdown(facts)),
    ):
        beside = path.with_suffix(path.suffix + ".partial")
        beside.write_text(content + "\n", encoding="utf-8")
        beside.replace(path)
    return text, data


# ---------------------------------------------------------------- the figures


def _facts(result: LoopResult, command: str) -> dict[str, Any]:
    options, comparison = result.options, result.comparison
    results = list(
        ComparisonResult.objects.filter(comparison=comparison).order_by("pk").values("against", *STORED)
    )
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
        "training": {
            **result.training.summary,
            "device": result.training.device,
            "job_minutes": _job_minutes(result),
            "earlier": all(phase.name != "fine-tuning" for phase in result.phases),
            "validations": _validations(result),
        },
        "comparison": {
            "verdict": comparison.verdict,
            "sentence": comparison.sentence,
            "primary_metric": comparison.primary_metric,
            "n": comparison.n,
            "digest": comparison.digest,
            "signature": comparison.signature,
            "resamples": comparison.resamples,
            "seed": comparison.seed,
            "results": results,
        },
        "stars": _stars(result),
        "documents_apart": _documents_apart(result),
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


def _job_minutes(result: LoopResult) -> float:
    run = result.training
    if run.started_at is None or run.finished_at is None:
        return 0.0
    return (run.finished_at - run.started_at).total_seconds() / 60


def _validations(result: LoopResult) -> list[tuple[int, float]]:
    rows = TrainingMetric.objects.filter(run=result.training).order_by("step")
    return [(row.step, row.validation_loss) for row in rows if row.validation_loss is not None]


def _stars(result: LoopResult) -> dict[str, dict[str, Any]]:
    window = Window(BEGINNING, timezone.now())
    releases = {"before": result.before.release, "after": result.release}
    return {name: asdict(reviewer_voice(window, release).stars) for name, release in releases.items()}


def _documents_apart(result: LoopResult) -> list[dict[str, Any]]:
    """The largest loss, a middle change and the largest gain in ROUGE-2."""
    after = {s.example_id: s for s in ExampleScore.objects.filter(run=result.after).select_related("example")}
    before = {s.example_id: s for s in ExampleScore.objects.filter(run=result.before)}
    order = sorted(after, key=lambda pk: after[pk].rouge2 - before[pk].rouge2)
    places = (("largest loss", order[0]), ("median", order[len(order) // 2]), ("largest gain", order[-1]))
    return [
        {
            "name": name,
            "change": (after[pk].rouge2 - before[pk].rouge2) * 100,
            "document": after[pk].example.document_hash,
            "words_before": before[pk].summary_words,
            "words_after": after[pk].summary_words,
        }
        for name, pk in places
    ]


# ---------------------------------------------------------------- the words


def sentence(facts: Mapping[str, Any]) -> str:
    """The verdict in words, from the results themselves."""
    primary = facts["comparison"].get("primary_metric", PRIMARY)  # earlier reports do not say it
    return verdict_in_words(_results(facts, "baseline"), primary=primary)


def _results(facts: Mapping[str, Any], against: str) -> list[MetricComparison]:
    return [from_stored(row) for row in facts["comparison"]["results"] if row["against"] == against]


def table_1(facts: Mapping[str, Any]) -> list[Table]:
    """The paper's table 1, against the base model and against lead-3."""
    comparison = facts["comparison"]
    note = (
        f"ROUGE F-measure in points; {comparison['n']} test documents; paired bootstrap, {comparison['resamples']:,} "
        f"resamples, seed {comparison.get('seed', facts['seed'])}."
    )
    results, lead = _results(facts, "baseline"), _results(facts, "lead")
    title = "Baseline against tuned model"
    made = [comparison_table(1, title, note, results, ROUGE, before="Baseline", after="Tuned")]
    if lead:
        note = "Lead-3 takes the article's first three sentences; news is hard to beat with it."
        title = "Lead-3 against tuned model"
        made.append(comparison_table(1, title, note, lead, ROUGE, before="Lead-3", after="Tuned"))
    return made


def table_5(facts: Mapping[str, Any]) -> Table:
    """The paper's table 5: before and after the feedback loop, with ratings where there are any."""
    results = _results(facts, "baseline")
    before, after = (MeanAndDeviation(**facts["stars"][name]) for name in ("before", "after"))
    ratings = "" if before.n or after.n else " No ratings: nobody reviewed these summaries."
    whole = {row.metric: row for row in results if row.slice == "all"}
    metrics = (*ROUGE, *BESIDE)
    margins = margins_in_words((METRICS[name], whole[name].margin) for name in metrics if name in whole)
    note = f"{facts['comparison']['n']} test documents.{ratings} {margins}"
    return comparison_table(
        5, "Before and after the feedback loop", note, results, metrics, stars=(before, after)
    )


def _training(facts: Mapping[str, Any]) -> list[str]:
    training = facts["training"]
    kept = kept_in_words(
        keep=facts["recipe"]["keep"],
        step=training["best_step"],
        loss=training["validation_loss"],
        validations=[(step, loss) for step, loss in training["validations"]],
    )
    used = f", {training['cpu_seconds'] / 60:.1f} CPU-minutes" if "cpu_seconds" in training else ""
    earlier = "; it ran in an earlier call of this command" if training["earlier"] else ""
    return [
        f"- Training: {training['steps']} steps in {training['seconds']:.0f} s, "
        f"{training['examples_per_second']:.2f} examples/s, most memory "
        f"{training['peak_memory_bytes'] / 2**30:.2f} GiB. {kept}",
        f"- The training job took {training['job_minutes']:.1f} minutes{used}{earlier}.",
    ]


def _apart(facts: Mapping[str, Any]) -> list[str]:
    lines = []
    for found in facts["documents_apart"]:
        lines += [
            f"**{found['name']}** ({signed(found['change'])} ROUGE-2), document `{found['document'][:12]}`, "
            f"{found['words_before']} → {found['words_after']} words",
            "",
        ]
    return lines


def markdown(facts: Mapping[str, Any]) -> str:
    """The report of these figures."""
    machine, documents, comparison = facts["machine"], facts["documents"], facts["comparison"]
    model, training = facts["model"], facts["training"]
    parts = [
        f"# The loop on {documents['file']}",
        "",
        f"{datetime.fromisoformat(facts['made']):%d %B %Y}. {sentence(facts)}",
        "",
        facts["reviewers"],
        "",
        "```",
        facts["command"],
        "```",
        "",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Python "
        f"{machine['python']}, {training['precision']} on {training['device']}. "
        f"Time: {facts['minutes']} minutes, {facts['cpu_minutes']} CPU-minutes. Seed {facts['seed']}.",
        "",
        f"Documents: {documents['read']} read, {documents['imported']} imported, {documents['duplicates']} duplicates, "
        f"{documents['refused']} refused; {documents['train']} to train, {documents['validation']} to choose the "
        f"checkpoint, {documents['test']} to judge. Splits are by hash of the document.",
        "",
        as_markdown([*table_1(facts), table_5(facts)], level=2),
        "## What was run",
        "",
        f"- Base: {model['name']} (`{model['digest'][:12]}`), {model['parameters']:,} parameters, served by "
        f"{model['engine']} {model['precision']}; the same engine wrote what was evaluated.",
        f"- Prompt: `{json.dumps(facts['prompt']['template'], ensure_ascii=False)}`",
        f"- Decoding, before and after: `{json.dumps(facts['decoding'])}`",
        f"- Recipe: `{json.dumps(facts['recipe'])}`",
        *_training(facts),
        f"- Snapshot `{facts['snapshot'][:16]}`, test set `{facts['test_set'][:16]}`, comparison "
        f"`{comparison['digest'][:16]}`, metric signature `{comparison['signature']}`.",
        f"- {facts['drafted']} drafts by the base model; release {facts['release']['id']} {facts['release']['state']}.",
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
        *_apart(facts),
    ]
    return "\n".join(parts).rstrip()
