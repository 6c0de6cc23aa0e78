"""What is learnt: prompts, training data, a training run whose curve is made up."""

from __future__ import annotations

from typing import Any
from unittest import mock

import django.utils.timezone

from models_app.foundation.transitions import move
from models_app.ml.recipe import PRESETS
from models_app.models import (
    DatasetSnapshot,
    ModelVersion,
    Release,
    TrainingMetric,
    TrainingRun,
)
from models_app.prompts.versions import create_version
from models_app.serving.client import ServedSummary
from models_app.training.starting import start_training
from reviews.examples.decisions import approve_example, decline_example
from reviews.examples.proposals import propose_from_references
from reviews.examples.references import freeze_test_set
from reviews.examples.snapshots import freeze_snapshot
from reviews.improvement.requests import decline, open_request, vote
from reviews.models import (
    FeedbackExample,
    PromptTrial,
    QueueItem,
    SourceDocument,
)
from reviews.prompts import trials
from reviews.prompts.suggestions import adopt_suggestion, decline_suggestion, suggest_prompt
from reviews.prompts.trials import failing_articles, start_trial
from script.demo.clock import at, later
from script.demo.newsroom import Newsroom, first_prompt
from script.demo.texts import draft_of, refined_of, tuned_of


class Learning(Newsroom):
    def requests(self) -> None:
        """One that was refused for want of prompts, and one that waits."""
        declined = open_request(
            kind="prompt", reason="Summaries begin with the place name far too often.", actor=self.ruben
        )
        later(40)
        decline(request=declined, reason="The newest prompt says so already.", actor=self.mila)
        waiting = open_request(
            kind="retraining",
            reason="Numbers of people are copied wrong where an article names several of them.",
            actor=self.rita,
        )
        later(25)
        vote(request=waiting, text="Every second court report has it.", actor=self.ruben)

    def prompts(self) -> None:
        based_on = first_prompt()
        # who decides on a suggestion reviews, too, and sees those on articles that nobody judges any more
        judged = QueueItem.objects.exclude(state="done").values("summary__document")
        documents = list(SourceDocument.objects.filter(split="train").exclude(pk__in=judged)[:3])
        wishes = [
            ("Say who did what in the first sentence. Copy every number exactly.\n\n{text}",
             "It kept all three numbers right.", self.rita),
            ("Summarize for a ten-year-old:\n\n{text}", "Easier to read.", self.ruben),
            ("{text}\n\nIn at most {max_words} words, what does a reader in a hurry have to know?",
             "Shorter, and the deadline is in it.", self.rita),
        ]  # fmt: skip
        self.suggestions = []
        for document, (template, note, who) in zip(documents, wishes, strict=True):
            later(14)
            self.suggestions.append(
                suggest_prompt(
                    document=document, based_on=based_on, template=template, system=based_on.system, note=note,
                    output=tuned_of(document, self.rng), actor=who,
                )
            )  # fmt: skip
        at(8, 11)
        self.refined = adopt_suggestion(suggestion=self.suggestions[0], actor=self.mila)
        decline_suggestion(
            suggestion=self.suggestions[1],
            reason="Our readers are not ten; facts went missing.",
            actor=self.mila,
        )
        later(30)
        create_version(
            prompt=self.refined.prompt, template=self.refined.template, parent=self.refined, actor=self.mila,
            system="You are a careful sub-editor. You never add anything that the article does not say.",
            note="A system message against invented detail.",
        )  # fmt: skip

    def trial(self) -> None:
        """Would the refined prompt correct what reviewers found failing? What the model wrote is made up."""
        trial = start_trial(
            based_on=self.refined, template=self.refined.template, actor=self.mila, deliver=False,
            articles=failing_articles(queue=None, count=12, actor=self.mila), purpose=PromptTrial.Purpose.FAILURES,
        )  # fmt: skip

        def ask(document: SourceDocument, live: Release, spec: Any, should_stop: Any) -> ServedSummary:
            text = (refined_of if spec is not None else draft_of)(document, self.rng)
            return ServedSummary(
                text=text, release_id=live.pk, model_version_id=live.model_version_id, prompt_version_id=None,
                latency_ms=self.rng.uniform(900, 2400), queue_ms=1.0, input_tokens=380, output_tokens=60,
                truncated=False, finish="stop", kept_text_tokens=360, total_text_tokens=360, confidence=0.7,
            )  # fmt: skip

        with mock.patch.object(trials, "_ask", ask):
            trials.carry_out(trial=trial, progress=lambda *_: None, should_stop=lambda: False)
        assert trial.job is not None
        self.ended(trial.job, minutes=0.6, result={"articles": trial.results.count()})
        self.places["trial"] = trial.pk

    def training_data(self) -> DatasetSnapshot:
        at(7, 14)
        proposed = FeedbackExample.objects.filter(state="proposed", kind="demonstration").order_by("pk")
        for example in list(proposed)[:-6]:
            later(0.6)
            approve_example(example=example, actor=self.mila)
        for example in list(proposed)[:2]:
            decline_example(
                example=example, actor=self.mila, reason="The correction is longer than the draft."
            )
        have = FeedbackExample.objects.values("document")
        documents = SourceDocument.objects.filter(split__in=("train", "validation")).exclude(pk__in=have)
        for example in propose_from_references(documents=list(documents)[:-3], actor=self.mila):
            approve_example(example=example, actor=self.mila)
        later(10)
        snapshot = freeze_snapshot(
            name="First fortnight", note="All domains, to see what feedback gives.", actor=self.mila
        )
        self.test_set = freeze_test_set(actor=self.mila, name="Newsroom test documents")
        return snapshot

    def training(self, snapshot: DatasetSnapshot) -> ModelVersion:
        from django.db import transaction

        base = ModelVersion.objects.get(name="SmolLM2-135M-Instruct")
        recipe = PRESETS["starter-cpu"]
        failed = self.run(snapshot, base, recipe.but(learning_rate=3e-3, seed=2))
        self.curve(failed, steps=22, total=66, start=2.9, end=3.8)
        self.end_run(failed, "cancelled", reason="Cancelled.")
        at(6, 9)
        run = self.run(snapshot, base, recipe)
        self.curve(run, steps=66, total=66, start=2.71, end=1.92)
        with transaction.atomic():
            version = self.model(
                f"SmolLM2-135M-Instruct on snapshot {snapshot.pk}",
                parent=base,
                training_run=run,
                created_by=self.mila,
            )
        self.end_run(run, "succeeded", result={"model_version": version.pk})
        # the recipe keeps the weights of the end
        kept = TrainingMetric.objects.filter(run=run, validation_loss__isnull=False).latest("step")
        TrainingRun.objects.filter(pk=run.pk).update(
            device="cpu",
            summary={
                "model_version": version.pk, "seconds": 1384.0, "steps": 66, "best_step": kept.step,
                "train_loss": kept.loss,
                "validation_loss": kept.validation_loss, "examples_per_second": 0.93, "tokens_per_second": 412.0,
                "peak_memory_bytes": 2_280_000_000, "stopped_early": False, "precision": "fp32",
            },
        )  # fmt: skip
        self.places["training_run"] = run.pk
        return version

    def run(self, snapshot: DatasetSnapshot, base: ModelVersion, recipe: Any) -> TrainingRun:
        run = start_training(
            snapshot=snapshot, base=f"model:{base.pk}", prompt_version=first_prompt(), recipe=recipe, actor=self.mila,
            deliver=False,
        )  # fmt: skip
        later(0.1)
        move(run, to="running", actor=None, action="training.running", started_at=django.utils.timezone.now())
        return run

    def curve(self, run: TrainingRun, *, steps: int, total: int, start: float, end: float) -> None:
        rows = [TrainingMetric(run=run, step=0, epoch=0, validation_loss=start + 0.2)]
        for step in range(1, steps + 1):
            share = step / total
            loss = end + (start - end) * (1 - share) ** 2.2 + self.rng.uniform(-0.06, 0.06)
            validation = loss + 0.12 + 0.25 * share**3 if step % 11 == 0 else None
            rows.append(
                TrainingMetric(
                    run=run, step=step, epoch=share * 2, loss=loss, validation_loss=validation,
                    learning_rate=2e-4 * min(1, share * 10) * (1 - share * 0.9),
                    tokens_per_second=self.rng.uniform(395, 425), examples_per_second=self.rng.uniform(0.85, 0.98),
                )
            )  # fmt: skip
        TrainingMetric.objects.bulk_create(rows)
        TrainingRun.objects.filter(pk=run.pk).update(
            step=steps, total_steps=total, phase="training", device="cpu", eta_seconds=(total - steps) * 21.0
        )

    def end_run(
        self, run: TrainingRun, state: str, reason: str = "", result: dict[str, Any] | None = None
    ) -> None:
        assert run.job is not None
        self.ended(run.job, minutes=23, state=state, reason=reason, result=result or {})
        move(
            run,
            to=state,
            actor=None,
            action=f"training.{state}",
            reason=reason,
            finished_at=django.utils.timezone.now(),
        )
        if reason:
            TrainingRun.objects.filter(pk=run.pk).update(reason=reason)
