"""Whether what is judged is what there is: scores, test documents, training data, files, prompt, policy, read again.

Everything here was digested when it was made. A value that somebody rewrote since, whatever they switched off for it,
does not give the same digest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from models_app.datasets.freezing import digest_of_rows
from models_app.evaluation.comparing import read_again
from models_app.evaluation.sets import digest_of_documents
from models_app.foundation.errors import Refused
from models_app.foundation.identity import canonical_digest, release_digest
from models_app.foundation.seeds import prompt_digest
from models_app.gates.gate import Gate, Judged
from models_app.gates.results import Result, Verdict
from models_app.models import EvaluationRun, GatePolicy, ModelVersion, Release
from models_app.texts.figures import number
from models_app.texts.needs import Between
from models_app.training.lineage import made_from
from models_app.training.registering import artefact_path, files_are_missing

NAME = "integrity"
METHOD = "SHA-256, read again"


@dataclass(frozen=True)
class IntegrityPolicy:
    """`logprob_tolerance`: how far the log-probability of a token may differ between the model and what it was
    converted to, before anything is quantized."""

    LABELS: ClassVar = {"logprob_tolerance": "Largest difference of a converted model's log-probabilities"}
    HELP: ClassVar = {
        "logprob_tolerance": "Before anything is quantized; what is served is evaluated as it is."
    }

    logprob_tolerance: Annotated[float, Between(0, 1, above=True)] = 0.001


# ---------------------------------------------------------------- facts


@dataclass(frozen=True)
class Check:
    """Something that is read again. `problem`: what is wrong with it, as a sentence; empty where nothing is."""

    name: str
    label: str
    things: int
    problem: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class Conversion:
    """What serves the model. `difference`: the largest between log-probabilities of it and of the model as it was
    trained; None where nobody compared them."""

    engine: str
    difference: float | None = None
    tokenizer: bool = True
    probes: int = 0


@dataclass(frozen=True)
class Facts:
    checks: Sequence[Check]
    conversion: Conversion | None  # None: the model has no weights, or its files cannot be read
    without_weights: bool = False


def facts_of(judged: Judged) -> Facts:
    release, comparison = judged.release, judged.comparison
    judged.progress("scores")
    runs = [comparison.candidate, comparison.baseline, *([comparison.lead] if comparison.lead else [])]
    checks = [_runs(runs), *_scores_and_results(judged)]
    judged.progress("test documents")
    checks.append(_test_set(comparison.candidate))
    judged.progress("training data")
    checks.append(_snapshots(made_from(release.model_version_id).versions))
    judged.progress("model files")
    checks += [_model(release.model_version), _release(release)]
    checks += [_policy(release.environment_id)]
    return Facts(checks, _conversion(release.model_version), not release.model_version.artefact)


def _runs(runs: Sequence[EvaluationRun]) -> Check:
    """On the same documents, to the end, by the same metric."""
    problem = ""
    for run in runs:
        if run.state != EvaluationRun.State.SUCCEEDED:
            problem = f"Evaluation {run.pk} is {run.state}: it was not carried out to the end."
        elif run.evaluation_set_id != runs[0].evaluation_set_id:
            problem = f"Evaluations {runs[0].pk} and {run.pk} were made on different test sets."
        elif run.signature != runs[0].signature:
            problem = f"Evaluations {runs[0].pk} and {run.pk} were scored by different metrics."
    return Check("evaluations", "Evaluations", len(runs), problem, f"evaluationrun:{runs[0].pk}")


def _scores_and_results(judged: Judged) -> list[Check]:
    comparison = judged.comparison
    rewritten = wrong = ""
    try:
        found = read_again(comparison)
    except Refused as refused:
        rewritten = wrong = refused.message
    else:
        if found.digest != comparison.digest:
            rewritten = f"The scores or outputs are not those that comparison {comparison.pk} was made from."
        if found.wrong:
            wrong = (
                f"Figures of comparison {comparison.pk} are not what its scores give: {', '.join(found.wrong[:3])}"
                f"{' and more' if len(found.wrong) > 3 else ''}."
            )
    evidence = f"comparison:{comparison.pk}"
    return [
        Check("scores", "Scores and outputs", comparison.n, rewritten, evidence),
        Check("results", "Results of the comparison", comparison.results.count(), wrong, evidence),
    ]


def _test_set(run: EvaluationRun) -> Check:
    frozen = run.evaluation_set
    problem = ""
    if digest_of_documents(frozen) != frozen.digest:
        problem = f"The documents or references of test set {frozen.pk} are not those that were frozen."
    return Check("test_set", "Test documents", frozen.rows, problem, f"evaluationset:{frozen.pk}")


def _snapshots(versions: Iterable[ModelVersion]) -> Check:
    found = {
        version.training_run.snapshot_id: version.training_run.snapshot
        for version in versions
        if version.training_run is not None
    }
    wrong = [pk for pk, snapshot in found.items() if digest_of_rows(snapshot) != snapshot.digest]
    problem = (
        f"The rows of snapshot {' and '.join(map(str, wrong))} are not those that were frozen."
        if wrong
        else ""
    )
    rows = sum(snapshot.train_rows + snapshot.validation_rows for snapshot in found.values())
    return Check("snapshots", "Training data", rows, problem, f"datasetsnapshot:{next(iter(found), '')}")


def _model(version: ModelVersion) -> Check:
    from models_app.ml import artefacts
    from models_app.ml.errors import MLError

    evidence = f"modelversion:{version.pk}"
    if not version.artefact:
        return Check("model", "Model files", 0, "", evidence)
    if files_are_missing(version):
        return Check("model", "Model files", 0, f"The files of model {version.pk} are gone.", evidence)
    problem = ""
    try:
        manifest = artefacts.verify(artefact_path(version))
    except MLError as error:
        return Check("model", "Model files", 0, str(error), evidence)
    if manifest.digest != version.digest:
        problem = f"The directory of model {version.pk} holds another model."
    elif version.manifest and canonical_digest(manifest.to_dict()) != canonical_digest(version.manifest):
        problem = f"The manifest of model {version.pk} is not the one that was registered."
    return Check("model", "Model files", len(manifest.files), problem, evidence)


def _release(release: Release) -> Check:
    prompt = release.prompt_version
    problem = ""
    if prompt_digest(prompt.system, prompt.template) != prompt.digest:
        problem = f"The words of {prompt} are not those that its digest was made from."
    elif release_digest(release.model_version, prompt, release.decoding) != release.digest:
        problem = "Model, prompt or decoding are not those that the release was composed of."
    return Check("release", "Prompt and decoding", 2, problem, f"promptversion:{prompt.pk}")


def _policy(environment: int) -> Check:
    """All versions: a rewritten one may be the one that holds."""
    rows = list(GatePolicy.objects.filter(environment=environment))
    wrong = [row.number for row in rows if canonical_digest(row.settings) != row.digest]
    problem = (
        f"The settings of policy {', '.join(map(str, wrong))} are not those that were saved." if wrong else ""
    )
    return Check("policy", "Policy", len(rows), problem, "policy")


def _conversion(version: ModelVersion) -> Conversion | None:
    from models_app.ml import artefacts
    from models_app.ml.errors import MLError

    if not version.artefact or files_are_missing(version):
        return None
    if version.engine != "ctranslate2":
        return Conversion(version.engine)
    try:
        conversions = artefacts.read_manifest(artefact_path(version)).conversions
    except MLError:
        return None
    parity: Any = next(
        (
            entry.get("parity")
            for entry in conversions
            if entry.get("engine") == version.engine and entry.get("precision") == version.precision
        ),
        None,
    )
    if not isinstance(parity, dict) or "logprob" not in parity:
        return Conversion(version.engine)
    return Conversion(
        version.engine, float(parity["logprob"]), bool(parity["tokenizer"]), int(parity["probes"])
    )


# ---------------------------------------------------------------- deciding


def judge_facts(facts: Facts, section: IntegrityPolicy) -> list[Result]:
    return [*(_judged(check) for check in facts.checks), *_parity(facts, section)]


def _judged(check: Check) -> Result:
    things = f"{check.things:,} read again" if check.things else "nothing to read"
    return Result(
        gate=NAME,
        name=check.name,
        verdict=Verdict.FAIL if check.problem else Verdict.PASS,
        words=check.problem or f"{check.label}: as they were, {things}.",
        need="unchanged",
        method=METHOD,
        n=check.things,
        evidence=check.evidence,
    )


def _parity(facts: Facts, section: IntegrityPolicy) -> list[Result]:
    if facts.without_weights:
        return []
    need = f"log-probabilities within {number(section.logprob_tolerance, None)}"
    method = "greedy texts of probes, scored by both engines in float32"
    found = facts.conversion
    if found is None:
        return [
            Result(
                NAME, "conversion", Verdict.ERROR,
                "Nobody can say whether what serves the model is the model: its files cannot be read.", need, method,
            )
        ]  # fmt: skip
    if found.engine != "ctranslate2":
        return [
            Result(
                NAME, "conversion", Verdict.PASS, f"Nothing was converted: {found.engine} serves the weights.", need,
                method,
            )
        ]  # fmt: skip
    if found.difference is None or not math.isfinite(found.difference):
        return [
            Result(
                NAME, "conversion", Verdict.ERROR,
                "The conversion was not compared with the model. Register the model again.", need, method,
            )
        ]  # fmt: skip
    same = found.tokenizer and found.difference <= section.logprob_tolerance
    words = f"Log-probabilities of the converted model differ by up to {found.difference:.2g}"
    if not found.tokenizer:
        words += ", and its tokenizer gives other tokens"
    return [
        Result(
            NAME, "conversion", Verdict.PASS if same else Verdict.FAIL, f"{words}.", need, method,
            estimate=found.difference, threshold=section.logprob_tolerance, n=found.probes, unit="nats",
        )
    ]  # fmt: skip


def _judge(judged: Judged) -> list[Result]:
    return judge_facts(facts_of(judged), judged.policy.integrity)


GATE = Gate(NAME, "Integrity", _judge)
