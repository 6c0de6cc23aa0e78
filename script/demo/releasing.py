"""Releases: evaluated with made-up texts in the model's place, compared, decided on, live."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest import mock

import django.utils.timezone

from models_app.cases.assertions import Answers, Assertion, AtMostWords, Lacks, to_json
from models_app.cases.writing import Draft, add_case, create_case_set
from models_app.evaluation import running
from models_app.gates import policies
from models_app.gates import running as gates
from models_app.gates.comparing import compare_by_policy
from models_app.models import (
    Comparison,
    EvaluationRun,
    EvaluationSet,
    ModelVersion,
    PromptVersion,
    Release,
    Rollout,
    RolloutLook,
)
from models_app.models.releases import Environment
from models_app.releases.approving import approve, confirmation, reject
from models_app.releases.composing import compose_release, lead_release, submit_release
from models_app.releases.deploying import roll_back
from models_app.rollouts import looks
from models_app.rollouts.looks import ALPHA, EVERY, Interval, planned
from reviews.loop.sample_workspace import STARTER_DECODING
from reviews.models import SourceDocument
from script.demo.clock import at, later
from script.demo.newsroom import PASSWORD, Newsroom, in_this_process
from script.demo.texts import StoredOutputs, Writer, draft_of, lead_of, refined_of, short_of, tuned_of


class Releasing(Newsroom):
    def evaluated(
        self, release: Release, test_set: EvaluationSet, writer: Writer, *, like: Release | None = None
    ) -> EvaluationRun:
        """The real job, with made-up texts in the model's place; `like` writes the same."""
        run = running.start_evaluation(
            release=release, evaluation_set=test_set, actor=self.mila, deliver=False
        )
        if run.state == "succeeded":
            return run
        assert run.job is not None
        outputs = StoredOutputs(writer, (like or release).pk)
        with mock.patch.object(running, "open_engine", return_value=outputs):
            in_this_process(run.job)
        later(2)
        run.refresh_from_db()
        assert run.state == "succeeded", run.reason
        EvaluationRun.objects.filter(pk=run.pk).update(seconds=self.rng.uniform(40, 75))
        return EvaluationRun.objects.get(pk=run.pk)

    def compared(
        self,
        release: Release,
        writer: Writer,
        before: Release,
        before_writer: Writer,
        *,
        like: Release | None = None,
    ) -> Comparison:
        return compare_by_policy(
            candidate=self.evaluated(release, self.test_set, writer, like=like),
            baseline=self.evaluated(before, self.test_set, before_writer),
            lead=self.evaluated(lead_release(), self.test_set, lead_of),
            actor=self.mila,
        )

    def composed(
        self, model: ModelVersion, prompt: PromptVersion, origin: str, note: str, **decoding: Any
    ) -> Release:
        return compose_release(
            model_version=model, prompt_version=prompt, decoding={**STARTER_DECODING, **decoding}, origin=origin,
            note=note, actor=self.mila,
        )  # fmt: skip

    def submitted(self, release: Release, comparison: Comparison, why: str) -> None:
        """And judged by its gates, by the real job."""
        submit_release(release=release, comparison=comparison, note=why, actor=self.mila, deliver=False)
        run = gates.newest(release)
        assert run is not None and run.job is not None  # noqa: PT018
        in_this_process(run.job)
        later(1)
        release.refresh_from_db()

    def decided(self, decide: Any, release: Release, reason: str) -> None:
        later(95)
        release.refresh_from_db()
        said = {"said": confirmation(release)} if decide is approve else {}
        decide(
            release=release, actor=self.ada, reason=reason, evidence_digest=release.evidence_digest,
            password=PASSWORD, **said,
        )  # fmt: skip

    def rolled_out(self, release: Release, beside: Release) -> None:
        """As if more people had asked: a tenth of the requests for an hour, looked at forty times. Counts are made up,
        boundaries are not."""
        now = django.utils.timezone.now()
        rollout = Rollout.objects.create(
            environment=release.environment, release=release, beside=beside, step=3,
            policy=policies.holding(release.environment), began_at=now - dt.timedelta(hours=2),
            step_began_at=now - dt.timedelta(minutes=30), ended_at=now, outcome=Rollout.Outcome.LIVE,
        )  # fmt: skip
        for measure, every in (("errors", 90), ("complaints", 50), ("wishes", 32)):
            intervals: list[Interval] = []
            for number, canary in enumerate(planned(200), 1):
                events = sum(one.canary_events for one in intervals)
                more, others = canary // every - events, 50 * EVERY
                intervals.append(Interval(EVERY, more, others, others // every))
                look = looks.look(intervals, alpha=ALPHA[measure])[-1]
                RolloutLook.objects.create(
                    rollout=rollout, measure=measure, number=number, canary_requests=canary,
                    canary_events=look.canary_events, live_requests=look.live_requests, live_events=look.live_events,
                    concurrent_requests=9 * canary, concurrent_events=9 * canary // every, boundary=look.boundary,
                    p=look.p, spent=look.spent, concurrent_p=0.5, at=now - dt.timedelta(minutes=110 - number),
                )  # fmt: skip

    def cases(self) -> None:
        """What every release has to do right, made from test documents; the made-up texts do."""
        the = create_case_set(name="Acceptance", actor=self.mila)
        asserted: list[Assertion] = [Answers(), AtMostWords(120), Lacks("Lorem ipsum")]
        for document in SourceDocument.objects.filter(split="test").order_by("pk")[:5]:
            later(4)
            add_case(
                case_set=the,
                draft=Draft(
                    article=document.text,
                    title=document.title,
                    domain=document.domain,
                    assertions=[to_json(one) for one in asserted],
                    must_pass=document.domain == "news",
                    origin=f"document:{document.pk}",
                ),
                reason="A reader saw filler text.",
                actor=self.mila,
            )

    def releases(self, base: Release, tuned: ModelVersion) -> None:
        at(6, 9)
        self.cases()
        at(6, 11)
        short = self.composed(
            base.model_version, base.prompt_version, "decoding", "Shorter summaries.", max_words=25
        )
        comparison = self.compared(short, short_of, base, draft_of)
        self.submitted(short, comparison, "Readers asked for less text.")
        at(5, 10)
        release = self.composed(
            tuned, base.prompt_version, "retraining", "Fine-tuned on the first fortnight’s corrections."
        )
        comparison = self.compared(release, tuned_of, base, draft_of)
        self.places["comparison"] = comparison.pk
        self.submitted(release, comparison, "Learnt from 26 reviews and the references.")
        self.decided(
            approve,
            release,
            "The gain is clear of zero, and I read the ten worst losses: none invents anything.",
        )
        self.live(release, seconds=14)
        self.rolled_out(release, base)
        at(4, 9)
        longer = self.composed(tuned, base.prompt_version, "decoding", "Room for more words.", max_words=75)
        comparison = self.compared(longer, tuned_of, release, tuned_of, like=release)
        self.submitted(longer, comparison, "Nothing is cut any more.")
        self.decided(
            reject, longer, "Not one reader would see a difference, and each summary takes longer to write."
        )
        at(3, 15)
        beams = self.composed(tuned, base.prompt_version, "decoding", "Two beams.", beams=2)
        comparison = self.compared(beams, tuned_of, release, tuned_of, like=release)
        self.submitted(beams, comparison, "Somewhat smoother sentences.")
        self.decided(approve, beams, "No worse, and it reads better.")
        self.live(beams, seconds=12)
        later(180)
        roll_back(
            environment=Environment.objects.get(name="production"), actor=self.otto,
            to=release.pk,  # named, since a made-up model has no files
            reason="Latency doubled at noon; clients waited more than four seconds.",
        )  # fmt: skip
        at(1, 9)
        waiting = self.composed(tuned, self.refined, "prompt", "Rita’s prompt on the tuned model.")
        comparison = self.compared(waiting, refined_of, release, tuned_of)
        self.submitted(waiting, comparison, "Rita’s prompt keeps the numbers right more often.")
        self.places |= {
            "release_blocked": short.pk, "release": waiting.pk, "release_live": release.pk,
            "release_rejected": longer.pk,
        }  # fmt: skip
        self.composed(tuned, self.refined, "prompt", "With less repetition.", repetition_penalty=1.15)
