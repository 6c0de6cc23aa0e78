from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from models_app.evaluation.comparing import COMPARED
from models_app.evaluation.metrics import METRICS
from models_app.evaluation.reporting import FORMATS, Line, Report
from models_app.evaluation.running import start_evaluation
from models_app.evaluation.wording import margins_in_words
from models_app.foundation import jobs
from models_app.foundation.errors import GalleyError, Refused
from models_app.gates.comparing import compare_by_policy
from models_app.management import arguments
from models_app.models import (
    Comparison,
    ComparisonResult,
    EvaluationRun,
    EvaluationSet,
    Job,
    ModelVersion,
    Release,
)
from models_app.models.releases import live_release
from models_app.releases.composing import (
    compose_release,
    lead_release,
    origin_beside,
    usual_decoding,
    usual_prompt,
)

PASSES = {"improved": 0, "not worse": 0, "worse": 1, "inconclusive": 2}
ERROR = 3


class Command(BaseCommand):
    help = (
        "Let two releases write summaries of the same test documents and compare them. Ends with 0 where the candidate "
        "improved or is not worse, 1 where it is worse, 2 where that is inconclusive, 3 on an error."
    )
    judged = False

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
        parser.add_argument("--test-set", type=int, metavar="ID", help="number of the test set [the newest]")
        parser.add_argument("--no-lead", action="store_true", help="leave the first three sentences out")
        parser.add_argument("--seed", type=int, default=7, help="of the bootstrap [7]")
        arguments.add_user(parser)
        parser.add_argument("--format", choices=sorted(FORMATS), default="text")
        parser.add_argument("--output", type=Path, metavar="FILE", help="where to write it [standard output]")

    def run_from_argv(self, argv: list[str]) -> None:
        """1 and 2 mean worse and inconclusive: whatever else goes wrong, wrong arguments included, is 3."""
        try:
            super().run_from_argv(argv)
        except SystemExit as ended:
            if self.judged or ended.code in (0, None):
                raise
            raise SystemExit(ERROR) from ended
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(ERROR) from error

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            comparison = self._compare(options)
        except GalleyError as error:
            raise CommandError(error.message, returncode=ERROR) from error
        text = FORMATS[options["format"]](report(comparison))
        if options["output"]:
            options["output"].write_text(text + "\n", encoding="utf-8")
            self.stderr.write(f"{options['output']}: {comparison.verdict}")
        else:
            self.stdout.write(text)
        code = PASSES[comparison.verdict]
        if code:
            self.judged = True
            sys.exit(code)

    def _compare(self, options: dict[str, Any]) -> Comparison:
        actor = arguments.actor(options["user"], returncode=ERROR)
        test_set = self._test_set(options["test_set"])
        baseline = self._baseline(options["baseline"])
        candidate = self._candidate(options["candidate"], actor)
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

    def _test_set(self, number: int | None) -> EvaluationSet:
        sets = EvaluationSet.objects.order_by("-pk")
        found = sets.first() if number is None else sets.filter(pk=number).first()
        if found is None:
            what = "There is no test set yet" if number is None else f"There is no test set {number}"
            raise CommandError(
                f"{what}. Freeze the test documents into one on the Snapshots page.", returncode=ERROR
            )
        return found

    def _baseline(self, asked: str) -> Release:
        if asked == "lead":
            return lead_release()
        if asked != "live":
            return self._release(asked)
        live = live_release()
        if live is None:
            raise CommandError(
                "Nothing is live. Name a baseline: --baseline lead, or a release's number.", returncode=ERROR
            )
        return live

    def _candidate(self, asked: str, actor: User | None) -> Release:
        if not asked.startswith("model:"):
            return self._release(asked)
        number = asked.removeprefix("model:")
        models = ModelVersion.objects.select_related("training_run")
        model = models.filter(pk=int(number)).first() if number.isdecimal() else None
        if model is None:
            raise CommandError(f"There is no model {number!r}.", returncode=ERROR)
        live = live_release()
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
        while run.state in (EvaluationRun.State.QUEUED, EvaluationRun.State.RUNNING):
            if run.job is None:
                raise Refused(f"Evaluation {run.pk} has no job.")
            job = Job.objects.get(pk=run.job.pk)
            if job.state == Job.State.QUEUED:
                jobs.supervise(job.pk, watch=self._watcher(release))
            else:
                time.sleep(1)
            run.refresh_from_db()
        if run.state != EvaluationRun.State.SUCCEEDED:
            raise Refused(f"The evaluation of release {release.pk} {run.state}: {run.reason}")
        return run

    def _watcher(self, release: Release) -> Callable[[Job], None]:
        last: dict[str, Any] = {"phase": "", "at": 0.0}

        def watch(job: Job) -> None:
            now = time.monotonic()
            if job.phase != last["phase"] or now - last["at"] >= 10:
                last.update(phase=job.phase, at=now)
                far = f" {job.step} of {job.total}" if job.total else ""
                self.stderr.write(f"release {release.pk}: {job.phase}{far}")

        return watch


def report(comparison: Comparison) -> Report:
    results = {
        (row.against, row.metric): row
        for row in ComparisonResult.objects.filter(comparison=comparison, slice="all")
    }
    live = live_release()
    return Report(
        comparison=comparison.pk,
        candidate=comparison.candidate.release_id,
        baseline=comparison.baseline.release_id,
        baseline_is_live=live is not None and live.pk == comparison.baseline.release_id,
        test_set=comparison.candidate.evaluation_set_id,
        n=comparison.n,
        verdict=comparison.verdict,
        sentence=comparison.sentence,
        seed=comparison.seed,
        resamples=comparison.resamples,
        signature=comparison.signature,
        digest=comparison.digest,
        lines=[
            _line(results["baseline", name], results.get(("lead", name)))
            for name in COMPARED
            if ("baseline", name) in results
        ],
        margins=margins_in_words(
            (METRICS[name], results["baseline", name].margin)
            for name in COMPARED
            if ("baseline", name) in results
        ),
        url=f"{settings.PUBLIC_URL}{reverse('comparison', args=[comparison.pk])}",
    )


def _line(row: ComparisonResult, lead: ComparisonResult | None) -> Line:
    metric = METRICS[row.metric]
    return Line(
        metric=row.metric, label=metric.label, decimals=metric.decimals, n=row.n, before=row.before, after=row.after,
        delta=row.delta, low=row.low, high=row.high, mde=row.mde, margin=row.margin, verdict=row.verdict,
        lead=lead.before if lead is not None else None,
    )  # fmt: skip
