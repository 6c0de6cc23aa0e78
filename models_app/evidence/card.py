"""The model card of a release, in Hugging Face's format: everything in it is read from the tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import Count

from models_app.evaluation.metrics import METRICS
from models_app.evaluation.people import preferences
from models_app.evaluation.statistics import EVERYTHING
from models_app.evaluation.wording import figures_of
from models_app.evidence.human_side import KnownErrors, human_side
from models_app.evidence.keys import public_key
from models_app.gates import running
from models_app.ml.recipe import Decoding
from models_app.models import (
    Comparison,
    ComparisonResult,
    EvaluationExample,
    ExampleScore,
    Release,
    SnapshotExample,
    TrainingRun,
)
from models_app.releases.accounts import Circle
from models_app.releases.hands import training_lineage
from models_app.texts.normalise import one_line

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

STARTER = "HuggingFaceTB/SmolLM2-135M-Instruct"
STARTER_LICENCE = "apache-2.0"
NOT_STATED = "not stated"
NOT_RECORDED = "not recorded"
#: The Hub's own word for it.
UNKNOWN = "unknown"
MOST_NAMED = 12


def model_card(release: Release) -> str:
    """`README.md` with metadata that the Hub reads. Raises ValueError where huggingface_hub finds them wrong.

    About 20 queries, and 3 for each training run of the lineage."""
    from huggingface_hub import ModelCard

    comparison = release.comparison
    results = (
        list(ComparisonResult.objects.filter(comparison=comparison, against="baseline"))
        if comparison is not None
        else []
    )
    data = _metadata(release, comparison, results)
    parts = [
        f"# Release {release.pk}: {_text(release.model_version.name)}",
        _about(release),
        _intended_use(release, comparison),
        _training_data(release),
        _evaluation(release, comparison, results),
        _slices(results),
        _gates(release),
        _limits(release, comparison, results),
        _known_failures(human_side().errors_of(release.pk)),
        _energy(release),
        _provenance(release),
    ]
    content = f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"
    read = ModelCard(content)
    if read.data.to_dict() != data.to_dict():
        raise ValueError(
            f"the metadata of the card of release {release.pk} are not read as they were written"
        )
    return content


# ---------------------------------------------------------------- metadata


def _metadata(
    release: Release, comparison: Comparison | None, results: Sequence[ComparisonResult]
) -> ModelCardData:
    from huggingface_hub import ModelCardData

    base, licence = _base(release)
    named: dict[str, Any] = {"base_model": base} if base else {}
    scores = _scores(comparison, results)
    if scores:
        named |= {"eval_results": scores, "metrics": ["rouge"]}
    languages = _languages(comparison)
    if languages:
        named["language"] = languages
    return ModelCardData(
        model_name=f"galley-release-{release.pk}",
        license=licence or UNKNOWN,
        library_name="transformers",
        pipeline_tag="summarization",
        tags=["summarization", "galley"],
        **named,
    )


def _scores(comparison: Comparison | None, results: Sequence[ComparisonResult]) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    if comparison is None:
        return []
    test_set = comparison.candidate.evaluation_set
    return [
        EvalResult(
            task_type="summarization",
            dataset_type="galley-test-set",
            dataset_name=one_line(test_set.name) or f"test set {test_set.pk}",
            dataset_split="test",
            dataset_revision=test_set.digest,
            metric_type="rouge" if row.metric.startswith("rouge") else row.metric,
            metric_name=METRICS[row.metric].label,
            metric_value=round(row.after, 4),
        )
        for row in results
        if row.slice == EVERYTHING and METRICS[row.metric].better != "neither"
    ]


def _base(release: Release) -> tuple[str, str]:
    """(its name on the Hub, its licence), as far as they are known: what was registered says nothing of its licence."""
    base = release.model_version.base
    if base == "starter":
        return STARTER, STARTER_LICENCE
    return (base if base.count("/") == 1 and not base.startswith("/") else ""), ""


def _languages(comparison: Comparison | None) -> list[str]:
    return [code for code, _ in _counted(comparison, "fields__language") if len(code) == 2]


def _counted(comparison: Comparison | None, field: str) -> list[tuple[str, int]]:
    """Values of the test documents with how many have them, the most first."""
    if comparison is None:
        return []
    found = EvaluationExample.objects.filter(evaluation_set=comparison.candidate.evaluation_set_id).order_by()
    counts = found.values_list(field).annotate(n=Count("pk")).order_by("-n", field)
    return [(str(value), n) for value, n in counts if value]


# ---------------------------------------------------------------- sections


def _about(release: Release) -> str:
    model = release.model_version
    size = f"{model.parameters:,} parameters" if model.parameters else "no learned parameters"
    lines = [
        f"Writes summaries of articles. {_text(model.architecture)}, {size}, served by {model.engine}"
        f"{f' in {model.precision}' if model.precision else ''}; made from {_text(model.base)}.",
        f"Written by Galley {settings.VERSION} from its own records; nobody typed a word of it.",
    ]
    return "\n\n".join(lines)


def _intended_use(release: Release, comparison: Comparison | None) -> str:
    decoding = Decoding.from_dict(release.decoding)
    lines = [
        f"Summaries of about {decoding.max_words} words for {_text(release.environment.name)}, with the prompt "
        f"“{_text(str(release.prompt_version))}” and the decoding settings below; other prompts and settings were not "
        "tried with this release.",
        _sentence("Domains it was tested on", _counted(comparison, "domain")),
        _sentence("Languages it was tested on", _counted(comparison, "fields__language")),
        "Use on other domains or languages, and use without a person who can look at the article, was not evaluated.",
        _table(["setting", "value"], [(name, str(value)) for name, value in decoding.to_dict().items()]),
    ]
    return _section("Intended use", lines)


def _training_data(release: Release) -> str:
    lineage = training_lineage(release)
    if not lineage:
        return _section("Training data", ["Nothing was trained here: the weights are as they came."])
    licences_of = human_side().licences_of
    rows, licences = [], []
    for run in lineage:
        examples = SnapshotExample.objects.filter(snapshot=run.snapshot_id)
        corrected = examples.filter(origin__startswith="feedback:").count()
        rows.append(
            (
                f"training {run.pk}", f"snapshot {run.snapshot_id}", f"{run.snapshot.train_rows:,}",
                f"{run.snapshot.validation_rows:,}", f"{corrected:,}", run.snapshot.digest[:12],
            )
        )  # fmt: skip
        licences.append(_licences(run, licences_of(examples.values_list("document_hash", flat=True))))
    table = _table(["run", "data", "training rows", "validation rows", "from feedback", "digest"], rows)
    return _section("Training data", [table, *licences])


def _licences(run: TrainingRun, found: Mapping[str, int]) -> str:
    words = [f"{_text(licence) or NOT_STATED} ({count:,})" for licence, count in found.items()]
    more = f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    said = ", ".join(words[:MOST_NAMED]) or NOT_STATED
    return f"Licences of the articles in snapshot {run.snapshot_id}, by documents: {said}{more}."


def _evaluation(release: Release, comparison: Comparison | None, results: Sequence[ComparisonResult]) -> str:
    if comparison is None:
        return _section("Evaluation", ["It was not compared with another release."])
    rows = []
    for row in results:
        if row.slice == EVERYTHING:
            said = figures_of(row)
            rows.append((said.label, said.before, said.after, said.difference, said.interval, said.verdict))
    test_set = comparison.candidate.evaluation_set
    people = [
        f"People, against release {said.baseline}: {said.sentence}"
        for said in preferences(candidate=release, hands=Circle(release).no_judges)
    ]
    return _section(
        "Evaluation",
        [
            f"**{comparison.verdict.capitalize()}.** {_text(comparison.sentence)}",
            f"{comparison.n:,} documents of test set {test_set.pk} (`{test_set.digest[:12]}`), against release "
            f"{comparison.baseline.release_id}; 95 % intervals of the paired difference, {comparison.resamples:,} "
            f"resamples, seed {comparison.seed}. Scored by `{_text(comparison.signature)}`.",
            _table(["metric", "before", "after", "difference", "95 % interval", "verdict"], rows),
            *people,
        ],
    )


def _slices(results: Sequence[ComparisonResult]) -> str:
    rows = []
    for row in results:
        if row.slice != EVERYTHING and row.metric == results[0].comparison.primary_metric:
            said = figures_of(row)
            judged = said.verdict if row.low is not None else "not judged: too few documents"
            rows.append((row.slice, said.n, said.difference, said.interval, judged))
    if not rows:
        return ""
    label = METRICS[results[0].comparison.primary_metric].label
    table = _table(["slice", "documents", f"difference of {label}", "95 % interval", "verdict"], rows)
    return _section("Slices", ["Verdicts are corrected for the number of slices (Holm).", table])


def _gates(release: Release) -> str:
    run = running.newest(release)
    if run is None:
        return _section("Gates", ["No gate has judged it."])
    outcome = running.outcome(run)
    rows = [
        (
            one.label, one.row.name, "waived" if one.waiver is not None else one.row.verdict, one.row.words,
            f"until {one.waiver.expires_at:%Y-%m-%d}: {one.waiver.reason}" if one.waiver is not None else "",
        )
        for one in outcome.findings
    ]  # fmt: skip
    said = f"By policy {run.policy.number} of {_text(release.environment.name)}: {_text(outcome.words)}"
    return _section("Gates", [said, _table(["gate", "row", "state", "found", "waiver"], rows)])


def _limits(release: Release, comparison: Comparison | None, results: Sequence[ComparisonResult]) -> str:
    decoding = Decoding.from_dict(release.decoding)
    lines = [f"- Of an article it reads {decoding.max_input_tokens:,} tokens at most; the rest is cut off."]
    if comparison is not None:
        scores = ExampleScore.objects.filter(run=comparison.candidate_id)
        cut = scores.filter(truncated=True).count()
        lines.append(f"- {cut:,} of {comparison.n:,} test articles were longer than that.")
        for name, words in (
            ("unsupported_numbers", "a number"), ("unsupported_names", "a name"),
        ):  # fmt: skip
            count = scores.filter(**{f"{name}__gt": 0}).count()
            lines.append(f"- {count:,} of {comparison.n:,} summaries have {words} that the article lacks.")
        thin = sorted({row.slice for row in results if row.low is None and row.slice != EVERYTHING})
        if thin:
            lines.append(
                f"- Too few documents to judge by themselves: {', '.join(map(_text, thin[:MOST_NAMED]))}."
            )
        lines.append("- ROUGE measures likeness to a reference, not truth.")
    return _section("Limits", ["\n".join(lines)])


def _known_failures(known: KnownErrors) -> str:
    if not known.reviews:
        return _section("Known failures", ["No summary of this release has been reviewed yet."])
    reviews = f"{known.reviews:,} review{'s' * (known.reviews != 1)}"
    if not known.by_type:
        return _section("Known failures", [f"In {reviews} of its summaries nobody marked an error."])
    rows = [
        (name, f"{count:,}", f"{count / known.reviews:.0%}".replace("%", " %"))
        for name, count in known.by_type.items()
    ]
    table = _table(["error", "reviews that marked one", "share"], rows)
    return _section("Known failures", [f"Marked by reviewers in {reviews} of its summaries:", table])


def _energy(release: Release) -> str:
    rows = [
        (
            f"training {run.pk}", run.device or NOT_RECORDED,
            _measured(run.summary, "seconds", "{:,.0f} s"),
            _measured(run.summary, "energy_kwh", "{:.3f} kWh"),
        )
        for run in training_lineage(release)
    ]  # fmt: skip
    if not rows:
        return _section(
            "Energy and cost", [f"Nothing was trained here. What the base model took: {NOT_RECORDED}."]
        )
    notes = "Time is that of training steps; energy is what the machine's processors counted, where it lets Galley "
    notes += "read that. Galley knows no prices, so no cost is given."
    return _section("Energy and cost", [_table(["run", "device", "time", "energy"], rows), notes])


def _measured(summary: Mapping[str, Any], name: str, form: str) -> str:
    value = summary.get(name)
    return form.format(value) if isinstance(value, int | float) else NOT_RECORDED


def _provenance(release: Release) -> str:
    model = release.model_version
    rows = [
        ("release", release.digest), ("weights", model.weights_digest or NOT_RECORDED), ("model", model.digest),
        ("prompt", release.prompt_version.digest), ("evidence", release.evidence_digest or "not submitted"),
        ("key that signs evidence files", public_key()),
    ]  # fmt: skip
    recipes = [
        f"Recipe of training {run.pk}: `{json.dumps(run.recipe, sort_keys=True).replace('`', '')}`, seed {run.seed}."
        for run in training_lineage(release)
    ]
    table = _table(["of", "SHA-256, or key"], [(name, f"`{value}`") for name, value in rows], plain=True)
    return _section("Where it comes from", [table, *recipes])


# ---------------------------------------------------------------- Markdown


def _section(head: str, parts: Iterable[str]) -> str:
    return "\n\n".join([f"## {head}", *(part for part in parts if part)])


def _sentence(head: str, counts: Sequence[tuple[str, int]]) -> str:
    if not counts:
        return ""
    words = [f"{_text(value)} ({n:,})" for value, n in counts[:MOST_NAMED]]
    more = f" and {len(counts) - MOST_NAMED} more" if len(counts) > MOST_NAMED else ""
    return f"{head}, by documents: {', '.join(words)}{more}."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, plain: bool = False) -> str:
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *([cell if plain else _text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(words: str) -> str:
    """In a line of Markdown: what people wrote begins no heading, no link and no tag."""
    escaped = one_line(words).replace("\\", "\\\\")
    for letter in "`*_[]<>|#":
        escaped = escaped.replace(letter, f"\\{letter}")
    return escaped
