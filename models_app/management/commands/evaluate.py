from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.urls import reverse

from models_app import queries
from models_app.evaluation.comparing import SEED
from models_app.evaluation.reporting import FORMATS
from models_app.evaluation.running import start_evaluation
from models_app.foundation import jobs
from models_app.foundation.errors import GalleyError, Refused
from models_app.gates import policies, reporting, running
from models_app.gates.comparing import compare_by_policy, usual_test_set
from models_app.gates.results import Verdict
from models_app.management import arguments
from models_app.management.verdicts import CODES, ERROR, VerdictCommand
from models_app.models import (
    Comparison,
    EvaluationRun,
    EvaluationSet,
    GateRun,
    Job,
    ModelVersion,
    Release,
)
from models_app.models.releases import PRODUCTION, Environment, live_release
from models_app.releases.composing import (
    compose_release,
    lead_release,
    origin_beside,
    usual_decoding,
    usual_prompt,
)

PASSES = {"improved": 0, "not worse": 0, "worse": 1, "inconclusive": 2}


class Command(VerdictCommand):
    help = (
        "Let two releases write summaries of the same test documents and compare them. Ends with 0 where the candidate "
        "improved or is not worse, 1 where it is worse, 2 where that is inconclusive, 3 on an error. With --gate the "
        "gates of an environment decide: 0 pass, 1 fail, 2 inconclusive, 3 error."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--candidate",
            required=True,
            metavar="RELEASE",
            help="number of a release, or model:ID for a new one of it",
        )
        parser.add_argument(
            "--baseline", default="live", metavar="RELEASE", help="live, lead, or a number [live]"
        )
        parser.add_argument(
            "--gate",
            metavar="ENVIRONMENT",
            help="judge all gates of this environment too, such as production",
        )
        parser.add_argument(
            "--test-set",
            type=int,
            metavar="ID",
            help="its number [the policy's, else the newest]",
        )
        parser.add_argument("--no-lead", action="store_true", help="leave the first three sentences out")
        parser.add_argument(
            "--seed",
            type=int,
            default=SEED,
            help=f"of the bootstrap, to see how much of an interval is chance; gates judge by {SEED} alone [{SEED}]",
        )
        arguments.add_user(parser)
        parser.add_argument("--format", choices=sorted(FORMATS), default="text")
        parser.add_argument("--output", type=Path, metavar="FILE", help="where to write it [standard output]")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            environment = self._environment(options["gate"])
            comparison = self._compare(options, environment)
            run = self._judged(comparison, options) if environment is not None else None
        except GalleyError as error:
            raise CommandError(error.message, returncode=ERROR) from error
        if run is None:
            text = FORMATS[options["format"]](queries.comparison_report(comparison, url=_url(comparison)))
            self.write(text, options["output"], said=comparison.verdict)
            self.end(PASSES[comparison.verdict])
        else:
            self._tell(comparison, run, options)

    def _environment(self, name: str | None) -> Environment | None:
        if name is None:
            return None
        found = Environment.objects.filter(name=name).first()
        if found is None:
            names = ", ".join(Environment.objects.order_by("name").values_list("name", flat=True))
            raise CommandError(f"There is no environment {name!r}; there are {names}.", returncode=ERROR)
        return found

    # ---------------------------------------------------------------- the gates

    def _judged(self, comparison: Comparison, options: dict[str, Any]) -> GateRun:
        """Of a draft: judged now. What was submitted stands on the gates that were judged for that."""
        release = comparison.candidate.release
        if release.state == Release.State.DRAFT:
            actor = arguments.actor(options["user"], returncode=ERROR)
            run = running.start(release=release, comparison=comparison, actor=actor, deliver=False)
        else:
            run = self._submitted(release, comparison)
        self._waited_for(run, self._watcher(release))
        return GateRun.objects.select_related("release__environment", "comparison", "policy").get(pk=run.pk)

    def _submitted(self, release: Release, comparison: Comparison) -> GateRun:
        run = running.newest(release)
        if run is None or run.comparison_id != comparison.pk:
            raise Refused(
                f"Release {release.pk} is {release.state}, and its gates were not judged on comparison "
                f"{comparison.pk}. They are when it is submitted with it: release submit {release.pk} --comparison "
                f"{comparison.pk}"
            )
        if run.policy_id != policies.holding(release.environment_id).pk:
            raise Refused(
                f"The policy of {release.environment.name} was changed after the gates of release {release.pk} had "
                f"been judged. Submit it again: release submit {release.pk}"
            )
        return run

    def _tell(self, comparison: Comparison, run: GateRun, options: dict[str, Any]) -> None:
        gates = reporting.report_of(
            run, url=f"{settings.PUBLIC_URL}{reverse('release_gates', args=[run.release_id])}"
        )
        compared = queries.comparison_report(comparison, url=_url(comparison))
        form = options["format"]
        if form == "json":
            values = {**reporting.as_values(gates), "compared": asdict(compared)}
            text = json.dumps(values, indent=2, ensure_ascii=False)
        elif form == "junit":
            text = reporting.as_junit(gates)
        else:
            text = f"{reporting.FORMATS[form](gates)}\n\n{FORMATS[form](compared)}"
        verdict = Verdict(gates.verdict or Verdict.ERROR)
        self.write(text, options["output"], said=verdict)
        self.end(CODES[verdict])

    # ---------------------------------------------------------------- evaluating and comparing

    def _compare(self, options: dict[str, Any], environment: Environment | None) -> Comparison:
        actor = arguments.actor(options["user"], returncode=ERROR)
        where = environment.name if environment is not None else PRODUCTION
        test_set = self._test_set(options["test_set"], where)
        baseline = self._baseline(options["baseline"], where)
        candidate = self._candidate(options["candidate"], actor, where)
        if environment is not None and candidate.environment_id != environment.pk:
            raise Refused(
                f"Release {candidate.pk} is for {candidate.environment.name}; the gates of {environment.name} judge "
                "releases that were composed for it."
            )
        if candidate.pk == baseline.pk:
            raise Refused(f"Release {candidate.pk} would be compared with itself.")
        lead = None if options["no_lead"] else lead_release()
        runs = {
            release.pk: self._evaluated(release, test_set, actor)
            for release in (candidate, baseline, *([lead] if lead is not None else []))
        }
        return compare_by_policy(
            candidate=runs[candidate.pk],
            baseline=runs[baseline.pk],
            lead=runs[lead.pk] if lead is not None and lead.pk not in (candidate.pk, baseline.pk) else None,
            actor=actor,
            seed=options["seed"],
        )

    def _test_set(self, number: int | None, environment: str) -> EvaluationSet:
        found = (
            usual_test_set(Environment.objects.get(name=environment))
            if number is None
            else EvaluationSet.objects.filter(pk=number).first()
        )
        if found is None:
            what = "There is no test set yet" if number is None else f"There is no test set {number}"
            raise CommandError(
                f"{what}. Freeze the test documents into one on the Snapshots page.", returncode=ERROR
            )
        return found

    def _baseline(self, asked: str, environment: str) -> Release:
        if asked == "lead":
            return lead_release()
        if asked != "live":
            return self._release(asked)
        live = live_release(environment)
        if live is None:
            raise CommandError(
                "Nothing is live. Name a baseline: --baseline lead, or a release's number.", returncode=ERROR
            )
        return live

    def _candidate(self, asked: str, actor: User | None, environment: str) -> Release:
        if not asked.startswith("model:"):
            return self._release(asked)
        number = asked.removeprefix("model:")
        models = ModelVersion.objects.select_related("training_run")
        model = models.filter(pk=int(number)).first() if number.isdecimal() else None
        if model is None:
            raise CommandError(f"There is no model {number!r}.", returncode=ERROR)
        live = live_release(environment)
        prompt = usual_prompt(model, live)
        if prompt is None:
            raise CommandError(f"There is no prompt that a {model.family} model reads.", returncode=ERROR)
        release = compose_release(
            model_version=model,
            prompt_version=prompt,
            decoding=usual_decoding(model, live),
            origin=origin_beside(live, model_version=model, prompt_version=prompt),
            note="Composed for an evaluation on the command line.",
            actor=actor,
            environment=environment,
        )
        self.stderr.write(f"Release {release.pk}: {model} with {prompt}.")
        return release

    def _release(self, number: str) -> Release:
        release = Release.objects.filter(pk=int(number)).first() if number.isdecimal() else None
        if release is None:
            raise CommandError(f"There is no release {number!r}.", returncode=ERROR)
        return release

    def _evaluated(self, release: Release, test_set: EvaluationSet, actor: User | None) -> EvaluationRun:
        """By this process; one that a worker has in hand is waited for."""
        run = start_evaluation(release=release, evaluation_set=test_set, actor=actor, deliver=False)
        self._waited_for(run, self._watcher(release))
        if run.state != EvaluationRun.State.SUCCEEDED:
            raise Refused(f"The evaluation of release {release.pk} {run.state}: {run.reason}")
        return run

    def _waited_for(self, run: EvaluationRun | GateRun, watch: Callable[[Job], None]) -> None:
        """Its job, by this process; one that a worker has in hand is waited for."""
        while run.state in ("queued", "running"):
            if run.job is None:
                raise Refused(f"What judges {run.release} has no job.")
            job = Job.objects.get(pk=run.job.pk)
            if job.state == Job.State.QUEUED:
                jobs.supervise(job.pk, watch=watch)
            else:
                time.sleep(1)
            run.refresh_from_db()

    def _watcher(self, release: Release) -> Callable[[Job], None]:
        last: dict[str, Any] = {"phase": "", "at": 0.0}

        def watch(job: Job) -> None:
            now = time.monotonic()
            if job.phase != last["phase"] or now - last["at"] >= 10:
                last.update(phase=job.phase, at=now)
                far = f" {job.step} of {job.total}" if job.total else ""
                self.stderr.write(f"release {release.pk}: {job.phase}{far}")

        return watch


def _url(comparison: Comparison) -> str:
    return f"{settings.PUBLIC_URL}{reverse('comparison', args=[comparison.pk])}"
