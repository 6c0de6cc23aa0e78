"""A made-up history for pictures of the pages: nobody reviewed, trained or asked for anything of it.

It tells two weeks of a small newsroom with the sample articles, through the same use cases that pages and jobs call,
so that rules, audit trail, scores and comparisons are real. What needs a model or time is made up and says so here:
summaries (lead sentences with small mistakes, or references with small changes), training curves, request log.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import random
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import django.utils.timezone
from django.contrib.auth.models import User
from django.db import connection

from models_app.evaluation import running
from models_app.evaluation.comparing import compare_releases
from models_app.evaluation.measures import unsupported_numbers
from models_app.foundation import audit, jobs
from models_app.foundation.tokens import create_token
from models_app.foundation.transitions import move
from models_app.ml.recipe import PRESETS
from models_app.ml.sentences import split_sentences
from models_app.models import (
    Comparison,
    DatasetSnapshot,
    EvaluationRun,
    EvaluationSet,
    InferenceRequest,
    Job,
    ModelVersion,
    PromptVersion,
    Release,
    Route,
    Slot,
    TrainingMetric,
    TrainingRun,
)
from models_app.models.releases import Environment
from models_app.prompts.versions import create_version
from models_app.releases.approving import approve, reject
from models_app.releases.composing import compose_release, lead_release, submit_release
from models_app.releases.deploying import go_live, install_first_release, roll_back
from models_app.serving.client import ServedSummary
from models_app.serving.client_feedback import give_feedback
from models_app.serving.routing import keyed_hash, read_target
from models_app.training.starting import start_training
from reviews import exporting, playground, rating_import, rating_rows, uploads
from reviews.adjudicating import Ruling, settle
from reviews.bootstrap import STARTER_DECODING, create_administrator, create_sample_accounts
from reviews.corrections import suggest
from reviews.export_rows import Request
from reviews.feedback import (
    approve_example,
    decline_example,
    freeze_snapshot,
    freeze_test_set,
    propose_from_references,
)
from reviews.gold import Known, mark_gold, set_gold_percent, start_round
from reviews.importing import ImportOptions, import_at_once
from reviews.linking import link
from reviews.marks import Mark, Support
from reviews.models import (
    FeedbackExample,
    PromptTrial,
    QueueItem,
    Review,
    ReviewQueue,
    ReviewSlot,
    SourceDocument,
    Summary,
)
from reviews.pairing import pair_comparison, pairwise_queue
from reviews.pairwise import Judgement, begin, choose, save_choice
from reviews.playground import failing_articles, start_trial
from reviews.queueing import claim_next, put_in_queue
from reviews.rating_import import Options as RatingOptions
from reviews.reviewing import Answers, save_draft, submit_review
from reviews.sources.files import open_file
from reviews.spans import sentences
from reviews.suggestions import adopt_suggestion, decline_suggestion, suggest_prompt
from reviews.talking import Span, open_thread, reply, resolve

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "reviews" / "sample"
PASSWORD = "a made-up password for pictures"
PEOPLE = ("reviewer", "reviewer2", "engineer", "approver", "operator")
NAMES = {"reviewer": "rita", "reviewer2": "ruben", "engineer": "mila", "approver": "ada", "operator": "otto"}
NOW = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)


# ---------------------------------------------------------------- the clock of the story


class _Clock(dt.datetime):
    """Stands in for the clock that `django.utils.timezone.now` reads."""

    moment = NOW - dt.timedelta(days=20)

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
        cls.moment += dt.timedelta(milliseconds=60)
        return cls.moment.astimezone(tz)


@contextmanager
def story() -> Iterator[None]:
    """What is written inside has the story's time on it."""
    with mock.patch.object(django.utils.timezone, "datetime", _Clock):
        yield


def at(days_ago: float, hour: int, minute: int = 0) -> None:
    """Go on with the story at this hour, so many days ago; the clock never runs backwards."""
    day = (NOW - dt.timedelta(days=days_ago)).replace(hour=hour, minute=minute)
    _Clock.moment = max(_Clock.moment, day)


def later(minutes: float) -> None:
    _Clock.moment += dt.timedelta(minutes=minutes)


# ---------------------------------------------------------------- made-up summaries


def _number_slip(text: str, rng: random.Random) -> str:
    """One number with two of its digits swapped or one changed."""
    numbers = list(re.finditer(r"\b\d{2,4}\b", text))
    if not numbers:
        return text
    found = rng.choice(numbers)
    digits = found.group()
    slip = digits[1] + digits[0] + digits[2:]
    if slip == digits or slip.startswith("0"):
        slip = str(int(digits) + 10)
    return text[: found.start()] + slip + text[found.end() :]


def draft_of(document: SourceDocument, rng: random.Random) -> str:
    """What a small model that was not tuned might write: the beginning, too long, with a slip or a repetition."""
    sentences = split_sentences(document.text)
    words = " ".join(sentences[:3]).split()
    text = " ".join(words[: rng.randint(46, 62)])
    if not text.endswith((".", "”")):
        text = text.rstrip(",;:–") + "."
    kind = rng.random()
    if kind < 0.45:
        return _number_slip(text, rng)
    return f"{text} {sentences[0]}" if kind < 0.55 else text


def tuned_of(document: SourceDocument, rng: random.Random) -> str:
    """What a tuned one might write: shorter, now and then in the words of the reference, seldom with a slip."""
    if rng.random() < 0.45:
        return draft_of(document, rng)
    opening, second, *_ = split_sentences(document.text)
    *_, last = split_sentences(document.reference.replace("\n", " "))
    text = f"{opening} {last if rng.random() < 0.4 else second}"
    return _number_slip(text, rng) if rng.random() < 0.1 else text


def refined_of(document: SourceDocument, rng: random.Random) -> str:
    opening, *_ = split_sentences(document.text)
    *_, last = split_sentences(document.reference.replace("\n", " "))
    return f"{opening} {last}" if rng.random() < 0.35 else tuned_of(document, rng)


def short_of(document: SourceDocument, rng: random.Random) -> str:
    return split_sentences(document.text)[rng.randint(0, 1)]


def lead_of(document: SourceDocument, rng: random.Random) -> str:
    return " ".join(split_sentences(document.text)[:3])


Writer = Callable[[SourceDocument, random.Random], str]


class _Written:
    def __init__(self, text: str) -> None:
        self.text, self.truncated, self.finish = text, False, "stop"


class _StoredOutputs:
    """Stands in for a release's engine: gives made-up texts instead of running a model."""

    def __init__(self, writer: Writer, seed: int) -> None:
        self.writer, self.rng = writer, random.Random(seed)
        self.documents = {document.text: document for document in SourceDocument.objects.filter(split="test")}

    def __enter__(self) -> _StoredOutputs:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, articles: Sequence[tuple[str, str, str]]) -> list[_Written]:
        return [_Written(self.writer(self.documents[text], self.rng)) for text, _, _ in articles]


# ---------------------------------------------------------------- the story


class Demo:
    """Builds it; `places` says afterwards which rows the pictures show."""

    def __init__(self) -> None:
        self.rng = random.Random(11)
        self.comments = [json.loads(line) for line in (SAMPLE / "comments.jsonl").read_text().splitlines()]
        self.places: dict[str, int] = {}

    def build(self) -> None:
        with story():
            at(13, 9)
            self.accounts()
            self.documents()
            base = self.base_release()
            self.drafts(base)
            self.reviews(26)
            self.prompts()
            snapshot = self.training_data()
            tuned = self.training(snapshot)
            self.releases(base, tuned)
            self.choices()
            self.second_opinions()
            self.gold_items()
            self.traffic()
            self.loose_ends(snapshot, tuned)
        heartbeat()

    def accounts(self) -> None:
        create_administrator(username="admin", password=PASSWORD)
        create_sample_accounts()
        for user in User.objects.filter(username__in=PEOPLE):
            user.username = NAMES[user.username]
            user.set_password(PASSWORD)
            user.save()
        self.rita, self.ruben, self.mila, self.ada, self.otto = (
            User.objects.get(username=NAMES[name]) for name in PEOPLE
        )

    def documents(self) -> None:
        later(10)
        path = Path(django.conf.settings.GALLEY_HOME) / "newsroom-articles.jsonl"
        lines = (SAMPLE / "articles.jsonl").read_text().splitlines()
        broken = [
            json.dumps({"id": "news-empty", "title": "Nothing in it", "text": "Too short."}),
            lines[3],
            "{",
        ]
        path.write_text("\n".join([*lines[:40], *broken, *lines[40:]]))
        import_at_once(source=open_file(path), options=ImportOptions(licence="CC0-1.0"), actor=self.mila)

    def model(self, name: str, **fields: Any) -> ModelVersion:
        values: dict[str, Any] = {
            "family": "llama", "architecture": "LlamaForCausalLM", "base": "starter",
            "artefact": f"models/{name.lower()[:16]}", "digest": uuid.uuid5(uuid.NAMESPACE_OID, name).hex * 2,
            "engine": "ctranslate2", "precision": "int8", "parameters": 134_515_008, "size_bytes": 538_100_000,
            "manifest": {
                "libraries": {"torch": "2.8.0", "transformers": "4.57.1", "ctranslate2": "4.6.0"},
                "conversions": [
                    {"engine": "ctranslate2", "precision": "int8", "parity": {"prompts": 8, "equal_first_tokens": 8}}
                ],
            },
        }  # fmt: skip
        version = ModelVersion.objects.create(name=name, **{**values, **fields})
        audit.record(actor=fields.get("created_by"), action="model.registered", subject=version)
        return version

    def base_release(self) -> Release:
        from django.db import transaction

        later(5)
        with transaction.atomic():
            base = self.model("SmolLM2-135M-Instruct")
        release = compose_release(
            model_version=base, prompt_version=_prompt(), decoding=STARTER_DECODING, origin="initial", actor=None,
            note="The starter model as it comes.",
        )  # fmt: skip
        install_first_release(release=release)
        self.live(release, seconds=9)
        return release

    def live(self, release: Release, seconds: float) -> None:
        """Its slot answers, after so long."""
        started = django.utils.timezone.now()
        later(seconds / 60)
        now = django.utils.timezone.now()
        Slot.objects.update_or_create(
            release=release,
            defaults={
                "state": "ready", "pid": 41_200 + release.pk * 17, "rss_bytes": (404 + release.pk) << 20,
                "started_at": started, "ready_at": now, "heartbeat_at": now,
            },
        )  # fmt: skip
        release.refresh_from_db()
        if release.state == "warming":
            go_live(release=release)

    def drafts(self, release: Release) -> None:
        later(20)
        self.token, _ = create_token(
            user=self.mila, name="web shop of the paper", scopes=["summaries:write", "feedback:write"], days=90,
            actor=self.mila,
        )  # fmt: skip
        for document in SourceDocument.objects.order_by("content_hash"):
            text = draft_of(document, self.rng)
            summary = Summary.objects.create(
                document=document, release=release, model_version=release.model_version,
                prompt_version=release.prompt_version, text=text, words=len(text.split()),
                latency_ms=self.rng.uniform(900, 2400),
            )  # fmt: skip
            if document.split != "test":
                put_in_queue(summary=summary, queue_slug="new-drafts", reason="new draft", actor=None)
        job = jobs.enqueue(
            kind="generate_summaries", actor=self.mila, subject=f"release:{release.pk}", deliver=False
        )
        self.ended(job, minutes=2.4, result={"drafted": 66})

    def ended(
        self, job: Job, *, minutes: float, state: str = "succeeded", reason: str = "", **values: Any
    ) -> None:
        """A job whose work is made up: only its row."""
        started = django.utils.timezone.now()
        later(minutes)
        Job.objects.filter(pk=job.pk).update(
            state=state, reason=reason, attempts=1, started_at=started, finished_at=django.utils.timezone.now(),
            log_file=f"jobs/{job.pk}.log", **values,
        )  # fmt: skip
        path = jobs.log_path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"{started:%Y-%m-%d %H:%M:%S} starting\n{started:%Y-%m-%d %H:%M:%S} {job.kind}\n{reason}\n"
        )

    def reviews(self, count: int) -> None:
        queue = ReviewQueue.objects.get(slug="new-drafts")
        remarks = [row["comment"] for row in self.comments if row["author"] == "reviewer"]
        for number in range(count):
            if number % 7 == 0:
                at(12 - number // 7, 9, 30)
            later(self.rng.uniform(2, 9))
            reviewer = self.ruben if number % 3 == 2 else self.rita
            lease = claim_next(queue=queue, reviewer=reviewer)
            assert lease is not None
            item = lease.slot.item
            document, draft = item.summary.document, item.summary.text
            wrong = bool(unsupported_numbers(document.text, draft))
            fine = not wrong and self.rng.random() < 0.35
            verdict, stars = (
                ("good", self.rng.choice((4, 5)))
                if fine
                else ("fair", 3)
                if not wrong
                else ("poor", self.rng.choice((1, 2)))
            )
            base = {"good": 4, "fair": 3, "poor": 2}[verdict]
            ratings = {
                criterion.key: min(
                    5, max(1, base + self.rng.choice((0, 0, 1)) + (criterion.key == "fluency"))
                )
                for criterion in queue.rubric.criteria.all()
            }
            submit_review(
                item=item,
                answers=Answers(
                    stars=stars, verdict=verdict, ratings=ratings,
                    edited_text=draft if fine else document.reference,
                    comment=self.rng.choice(remarks) if self.rng.random() < 0.5 else "",
                    wants_retrain=wrong and self.rng.random() < 0.6, wants_refine=not fine and self.rng.random() < 0.25,
                    active_seconds=self.rng.randint(70, 320),
                ),
                reviewer=reviewer,
            )  # fmt: skip

    def second_opinions(self) -> None:
        """A queue where two people review each item; Ruben is stricter, and some of it is in dispute."""
        at(1, 11)
        first = ReviewQueue.objects.get(slug="new-drafts")
        queue = ReviewQueue.objects.create(
            name="Second opinions", slug="second-opinions", rubric=first.rubric, reviews_per_item=2,
            description="Two people each, so that we see whether we mean the same.",
        )  # fmt: skip
        summaries = Summary.objects.filter(queue_items__state="done").order_by("document__content_hash")[:22]
        for summary in summaries:
            put_in_queue(summary=summary, queue_slug=queue.slug, reason="random share", actor=None)
        for number in range(len(summaries)):
            worth = self.rng.choice((2, 3, 3, 4, 4, 5))
            for reviewer in (self.rita, self.ruben):
                later(self.rng.uniform(1, 3))
                lease = claim_next(queue=queue, reviewer=reviewer)
                assert lease is not None
                strict = reviewer == self.ruben and number % 3 == 0
                self.opinion(lease.slot.item, reviewer, worth - (1 + (number % 6 == 0)) * strict)
        disputes = QueueItem.objects.filter(state="disputed").order_by("-disagreement")
        settled = disputes.last()
        assert settled is not None
        seen = {review.pk: review.revision for review in settled.reviews.all()}
        fixed = settled.summary.document.reference.replace("\n", " ")
        settle(
            item=settled, seen=seen, actor=self.mila,
            ruling=Ruling(
                3, "fair", dict.fromkeys([c.key for c in queue.rubric.criteria.all()], 3), fixed,
                "The main point is there, but the sum in the second sentence is not the one in the article.",
            ),
        )  # fmt: skip
        self.places |= {"dispute_settled": settled.pk}

    def opinion(self, item: QueueItem, reviewer: User, worth: int) -> None:
        """Answers about `worth`, from 1 to 5."""
        worth = min(5, max(1, worth))
        verdict = "poor" if worth < 3 else "fair" if worth == 3 else "good"
        submit_review(
            item=item, reviewer=reviewer,
            answers=Answers(
                stars=worth, verdict=verdict,
                ratings={
                    criterion.key: min(5, max(1, worth + self.rng.choice((0, 0, 0, 1))))
                    for criterion in item.queue.rubric.criteria.all()
                },
                edited_text=item.summary.text if worth > 3 else item.summary.document.reference,
                comment="The sum is not the one in the article." if worth < 3 else "",
                active_seconds=self.rng.randint(60, 200),
            ),
        )  # fmt: skip

    def gold_items(self) -> None:
        """Four known answers, and a calibration round that Rita is half through."""
        later(30)
        queue = ReviewQueue.objects.get(slug="new-drafts")
        golds = []
        for summary in Summary.objects.filter(queue_items=None, document__split="test").order_by("pk")[:4]:
            wrong = bool(unsupported_numbers(summary.document.text, summary.text))
            worth = 2 if wrong else 4
            golds.append(
                mark_gold(
                    summary=summary, rubric=queue.rubric, actor=self.mila,
                    known=Known(
                        worth, "poor" if wrong else "good",
                        {one.key: worth + (one.key == "fluency") for one in queue.rubric.criteria.all()},
                        1,
                        "A number in the summary stands nowhere in the article: consistency is 2 at most, however well "
                        "the rest reads." if wrong else
                        "Everything in it is supported, and the main point comes first. It could name the date.",
                    ),
                )
            )  # fmt: skip
        calibration = start_round(
            name="Calibration, November", golds=golds, reviewers=[self.rita, self.ruben], actor=self.mila
        )
        for reviewer, count in ((self.rita, 3), (self.ruben, 2)):
            for number in range(count):
                later(3)
                lease = claim_next(queue=calibration, reviewer=reviewer)
                assert lease is not None
                self.opinion(lease.slot.item, reviewer, 4 - (number == 1) - (reviewer == self.ruben))
        set_gold_percent(queue=ReviewQueue.objects.get(slug="second-opinions"), percent=5, actor=self.mila)

    def prompts(self) -> None:
        based_on, documents = _prompt(), list(SourceDocument.objects.filter(split="train")[:3])
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
        best = TrainingMetric.objects.filter(run=run, validation_loss__isnull=False).earliest(
            "validation_loss"
        )
        TrainingRun.objects.filter(pk=run.pk).update(
            device="cpu",
            summary={
                "model_version": version.pk, "seconds": 1384.0, "steps": 66, "best_step": best.step,
                "train_loss": best.loss,
                "validation_loss": best.validation_loss, "examples_per_second": 0.93, "tokens_per_second": 412.0,
                "peak_memory_bytes": 2_280_000_000, "stopped_early": False, "precision": "fp32",
            },
        )  # fmt: skip
        self.places["training_run"] = run.pk
        return version

    def run(self, snapshot: DatasetSnapshot, base: ModelVersion, recipe: Any) -> TrainingRun:
        run = start_training(
            snapshot=snapshot, base=f"model:{base.pk}", prompt_version=_prompt(), recipe=recipe, actor=self.mila,
            deliver=False,
        )  # fmt: skip
        later(0.1)
        move(run, to="running", actor=None, action="training.running", started_at=django.utils.timezone.now())
        return run

    def curve(self, run: TrainingRun, *, steps: int, total: int, start: float, end: float) -> None:
        rows = []
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

    def evaluated(self, release: Release, test_set: EvaluationSet, writer: Writer) -> EvaluationRun:
        """The real job, with made-up texts in the model's place."""
        run = running.start_evaluation(
            release=release, evaluation_set=test_set, actor=self.mila, deliver=False
        )
        if run.state == "succeeded":
            return run
        assert run.job is not None
        outputs = _StoredOutputs(writer, release.pk)
        with mock.patch.object(running, "open_engine", return_value=outputs):
            _in_this_process(run.job)
        later(2)
        run.refresh_from_db()
        assert run.state == "succeeded", run.reason
        EvaluationRun.objects.filter(pk=run.pk).update(seconds=self.rng.uniform(40, 75))
        return EvaluationRun.objects.get(pk=run.pk)

    def compared(
        self, release: Release, writer: Writer, before: Release, before_writer: Writer
    ) -> Comparison:
        return compare_releases(
            candidate=self.evaluated(release, self.test_set, writer),
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

    def decided(self, decide: Any, release: Release, reason: str) -> None:
        later(95)
        release.refresh_from_db()
        decide(
            release=release,
            actor=self.ada,
            reason=reason,
            evidence_digest=release.evidence_digest,
            password=PASSWORD,
        )

    def releases(self, base: Release, tuned: ModelVersion) -> None:
        at(6, 11)
        short = self.composed(
            base.model_version, base.prompt_version, "decoding", "Shorter summaries.", max_words=25
        )
        comparison = self.compared(short, short_of, base, draft_of)
        submit_release(
            release=short, comparison=comparison, note="Readers asked for less text.", actor=self.mila
        )
        self.decided(
            reject, short, "Too much is lost: deadlines and sums are gone in half of the losses I read."
        )
        at(5, 10)
        release = self.composed(
            tuned, base.prompt_version, "retraining", "Fine-tuned on the first fortnight’s corrections."
        )
        comparison = self.compared(release, tuned_of, base, draft_of)
        self.places["comparison"] = comparison.pk
        submit_release(
            release=release,
            comparison=comparison,
            note="Learnt from 26 reviews and the references.",
            actor=self.mila,
        )
        self.decided(
            approve,
            release,
            "The gain is clear of zero, and I read the ten worst losses: none invents anything.",
        )
        self.live(release, seconds=14)
        at(3, 15)
        beams = self.composed(tuned, base.prompt_version, "decoding", "Two beams.", beams=2)
        comparison = self.compared(beams, tuned_of, release, tuned_of)
        submit_release(
            release=beams, comparison=comparison, note="Somewhat smoother sentences.", actor=self.mila
        )
        self.decided(approve, beams, "No worse, and it reads better.")
        self.live(beams, seconds=12)
        later(180)
        roll_back(
            environment=Environment.objects.get(name="production"), actor=self.otto,
            reason="Latency doubled at noon; clients waited more than four seconds.",
        )  # fmt: skip
        at(1, 9)
        waiting = self.composed(tuned, self.refined, "prompt", "Rita’s prompt on the tuned model.")
        comparison = self.compared(waiting, refined_of, release, tuned_of)
        submit_release(
            release=waiting,
            comparison=comparison,
            note="Rita’s prompt keeps the numbers right more often.",
            actor=self.mila,
        )
        self.places |= {"release": waiting.pk, "release_live": release.pk, "release_rejected": short.pk}
        self.composed(tuned, self.refined, "prompt", "With less repetition.", repetition_penalty=1.15)

    def choices(self) -> None:
        """People choose between what was live and what went live then; one pair is begun."""
        at(2, 10)
        comparison = Comparison.objects.get(pk=self.places["comparison"])
        queue = pairwise_queue(actor=self.mila)
        with connection.cursor() as cursor:
            cursor.execute("SELECT setseed(0.29)")  # the sides are drawn in the database
        pair_comparison(comparison=comparison, queue=queue, limit=80, actor=self.mila)
        reasons = (
            "The number is right here.",
            "Says by when.",
            "Nothing that is not in the article.",
            "",
            "",
            "",
        )
        left_to_do = 9
        while ReviewSlot.objects.filter(queue=queue, state="free").count() > left_to_do:
            reviewer = self.ruben if self.rng.random() < 0.4 else self.rita
            lease = claim_next(queue=queue, reviewer=reviewer, kind="pairwise")
            assert lease is not None
            mine = begin(item=lease.slot.item, reviewer=reviewer)
            assert mine is not None
            kind = self.rng.choices(["after", "before", "tie", "both bad"], [55, 24, 15, 6])[0]
            side = (
                {"after": "left", "before": "right"}
                if mine.after_was_left
                else {"after": "right", "before": "left"}
            )
            choose(
                item=lease.slot.item,
                judgement=Judgement(
                    answer=side.get(kind, kind),
                    strength=self.rng.choice([1, 2, 2, 3]) if kind in side else None,
                    reason=self.rng.choice(reasons),
                    active_seconds=self.rng.randrange(15, 80),
                ),
                reviewer=reviewer,
            )  # fmt: skip
            later(self.rng.uniform(0.4, 1.5))
        lease = claim_next(queue=queue, reviewer=self.rita, kind="pairwise")
        assert lease is not None
        save_choice(
            item=lease.slot.item,
            judgement=Judgement("right", 2, "It keeps to what the article says.", 41),
            reviewer=self.rita,
            base_revision=0,
        )

    def traffic(self) -> None:
        """Twelve days of requests, and what clients said."""
        target = read_target()
        documents = list(SourceDocument.objects.order_by("content_hash"))
        spans = [
            (row.release, row.live_from, row.live_to or NOW)
            for row in Route.objects.get().environment.deployments.select_related("release__model_version")
        ]
        rows = []
        for day in range(12, -1, -1):
            for _ in range(self.rng.randint(34, 60) if day else 30):
                moment = NOW - dt.timedelta(days=day) + dt.timedelta(hours=self.rng.triangular(-9, 8, 1))
                release = next((r for r, start, end in spans if start <= moment <= end), None)
                if moment >= NOW - dt.timedelta(minutes=10) or release is None:
                    continue
                document = self.rng.choice(documents)
                tuned = release.model_version.training_run_id is not None
                summary = (tuned_of if tuned else draft_of)(document, self.rng)
                slow = 2.1 if release.decoding.get("beams") == 2 else 1
                ok = self.rng.random() > 0.012
                rows.append(
                    InferenceRequest(
                        release=release, model_version=release.model_version,
                        prompt_version_id=release.prompt_version_id, token_key=self.token.token_key, client=self.mila,
                        title=document.title, domain=document.domain,
                        user_hash=keyed_hash("user", f"u{self.rng.randint(1, 70)}", salt=target.salt),
                        session_hash=keyed_hash("session", f"s{day}-{self.rng.randint(1, 25)}", salt=target.salt),
                        text=document.text, text_hash=document.content_hash, input_words=document.words,
                        summary=summary if ok else "", summary_words=len(summary.split()) if ok else 0,
                        latency_ms=slow * self.rng.lognormvariate(7.25, 0.32) if ok else None,
                        queue_ms=self.rng.expovariate(1 / 60) if ok else None,
                        outcome="ok" if ok else "overloaded",
                        error="" if ok else "The model is busy. Try again in 2 s.",
                        flags=["unsupported_number"] if ok and unsupported_numbers(document.text, summary) else [],
                        created_at=moment,
                    )
                )  # fmt: skip
        InferenceRequest.objects.bulk_create(rows)
        self.voices([row for row in rows if row.outcome == "ok"])

    def voices(self, answered: list[InferenceRequest]) -> None:
        said = [row for row in self.comments if row["author"] == "client"]
        chosen = sorted(self.rng.sample(answered, 110), key=lambda row: row.created_at)
        for request in chosen:
            _Clock.moment = request.created_at + dt.timedelta(minutes=4)
            assert request.model_version is not None
            pleased = 0.72 if request.model_version.training_run_id else 0.38
            happy = self.rng.random() < pleased
            remark = self.rng.choice([row for row in said if (row["stars"] >= 4) == happy])
            give_feedback(
                request=request, stars=remark["stars"], wants=remark["wants"],
                comment=remark["comment"] if self.rng.random() < 0.55 else "",
            )  # fmt: skip
        for job in Job.objects.filter(kind="review_requests", state="queued"):
            _in_this_process(job)

    def ratings(self) -> None:
        """Two files of another newsroom's ratings: one is in, one waits to be looked at."""
        for name, documents in (("experts-spring", slice(0, 5)), ("experts-summer", slice(5, 12))):
            rows = []
            for document in SourceDocument.objects.order_by("pk")[documents]:
                systems = {"lead": lead_of(document, self.rng), "tuned": tuned_of(document, self.rng)}
                keys = ("consistency", "relevance", "coherence", "fluency")
                ratings = {each: {key: self.rng.choice((3, 4, 4.5, 5)) for key in keys} for each in systems}
                rows.append(
                    {
                        "id": document.external_id,
                        "article": document.text,
                        "systems": systems,
                        "ratings": ratings,
                    }
                )
            chunks = (json.dumps(row).encode() + b"\n" for row in rows)
            path = uploads.keep(chunks=chunks, name=f"{name}.jsonl", place=rating_import.PLACE)
            batch = rating_import.hand_in(path=path, options=RatingOptions(), actor=self.mila)
            if name == "experts-spring":
                found = rating_rows.guess(batch.report["sample"]["paths"], keys, "reviews")
                options = RatingOptions(mapping={**found, "rater": "=city-desk"}, rounding=True)
                _in_this_process(rating_import.start(batch=batch, options=options, actor=self.mila))

    def loose_ends(self, snapshot: DatasetSnapshot, tuned: ModelVersion) -> None:
        """What goes on at the moment of the pictures."""
        _Clock.moment = max(_Clock.moment, NOW - dt.timedelta(minutes=40))
        job = jobs.enqueue(
            kind="register_model", actor=self.mila, subject="base:google-t5/t5-small", deliver=False
        )
        self.ended(
            job, minutes=0.2, state="failed",
            reason="google-t5/t5-small could not be fetched: there is no connection to the Hugging Face hub. "
            "Connect the machine, or give a local directory.",
        )  # fmt: skip
        run = self.run(snapshot, tuned, PRESETS["starter-cpu"].but(seed=29, epochs=3.0))
        self.curve(run, steps=38, total=99, start=2.05, end=1.71)
        now = dt.datetime.now(dt.UTC)
        Job.objects.filter(subject=f"trainingrun:{run.pk}").update(
            state="running", lease_token=uuid.uuid4(), lease_until=now + dt.timedelta(days=1), heartbeat_at=now,
            started_at=now - dt.timedelta(minutes=14), phase="training", step=38, total=99, attempts=1,
        )  # fmt: skip
        self.places["training_running"] = run.pk
        jobs.enqueue(
            kind="generate_summaries",
            actor=self.mila,
            subject=f"release:{self.places['release']}",
            deliver=False,
        )
        self.ratings()
        for asked in (
            Request("reviews", queue="new-drafts"),
            Request("spans"),
            Request("sft", format="datasets"),
        ):
            _in_this_process(exporting.request_export(request=asked, actor=self.mila).job)
        exporting.request_export(request=Request("edits", format="csv", compressed=True), actor=self.mila)
        queue = ReviewQueue.objects.get(slug="new-drafts")
        lease = claim_next(queue=queue, reviewer=self.rita)
        assert lease is not None
        draft = lease.slot.item.summary
        link(summaries=[draft.pk])
        labels = [
            change.label
            for change in suggest(source=draft.document.text, draft=draft.text, edited=_corrected(draft))
            if change.label
        ]
        first = sentences(draft.text)[0]
        save_draft(
            item=lease.slot.item,
            answers=Answers(
                verdict="fair", stars=3, ratings={"consistency": 2, "relevance": 4, "coherence": 4},
                edited_text=_corrected(draft), active_seconds=94,
                marks=tuple(Mark(**dataclasses.asdict(label), suggested=True) for label in labels[:1]),
                support=(Support(*first, supported=True),),
            ),
            reviewer=self.rita, base_revision=0,
        )  # fmt: skip
        self.places["desk_item"] = lease.slot.item.pk
        self.talk(lease.slot.item)
        self.trial()
        live = Release.objects.get(state="live")
        for review in Review.objects.filter(reviewer=self.rita, state="submitted").order_by("-submitted_at")[
            :5
        ]:
            document = review.summary.document
            text = tuned_of(document, self.rng)
            Summary.objects.get_or_create(
                document=document,
                release=live,
                source="batch",
                defaults={"text": text, "words": len(text.split())},
            )  # what the live model writes now, beside her corrections
        create_token(
            user=self.rita, name="my own script", scopes=["documents:read"], days=30, actor=self.rita
        )

    def trial(self) -> None:
        """Would the refined prompt mend what reviewers found failing? What the model wrote is made up."""
        trial = start_trial(
            based_on=self.refined, template=self.refined.template, actor=self.mila, deliver=False,
            articles=failing_articles(queue=None, count=12, actor=self.mila), purpose=PromptTrial.Purpose.MENDING,
        )  # fmt: skip

        def ask(document: SourceDocument, live: Release, spec: Any, should_stop: Any) -> ServedSummary:
            text = (refined_of if spec is not None else draft_of)(document, self.rng)
            return ServedSummary(
                text=text, release_id=live.pk, model_version_id=live.model_version_id, prompt_version_id=None,
                latency_ms=self.rng.uniform(900, 2400), queue_ms=1.0, input_tokens=380, output_tokens=60,
                truncated=False, finish="stop", kept_text_tokens=360, total_text_tokens=360,
            )  # fmt: skip

        with mock.patch.object(playground, "_ask", ask):
            playground.carry_out(trial=trial, progress=lambda *_: None, should_stop=lambda: False)
        assert trial.job is not None
        self.ended(trial.job, minutes=0.6, result={"articles": trial.results.count()})
        self.places["trial"] = trial.pk

    def talk(self, item: QueueItem) -> None:
        """Two conversations on rita's item, and one on a prompt."""
        words = " ".join(item.summary.text.split()[:7])
        thread = open_thread(
            about=item, text="Is this how the article says it, or does it promise more?\n@mila, is it worth a label?",
            span=Span("summary", words), actor=self.rita,
        )  # fmt: skip
        later(4)
        reply(
            thread=thread.pk,
            text="Where the article is more careful: yes, as an unsupported fact. I have put it into the guide.",
            actor=self.mila,
        )
        settled = open_thread(
            about=item, text="Does the headline count as part of the source?", actor=self.rita
        )
        later(3)
        reply(thread=settled.pk, text="Yes, it does.", actor=self.mila)
        resolve(thread=settled.pk, actor=self.mila)
        prompt = open_thread(
            about=self.refined,
            text="“In the first sentence” makes it put everything there.",
            actor=self.ruben,
        )
        reply(thread=prompt.pk, text="I see it too, @rita?", actor=self.mila)


def _corrected(draft: Summary) -> str:
    """The draft's first two sentences with their numbers put right, and what the reference ends with."""
    first = split_sentences(draft.document.text)[:2]
    last = split_sentences(draft.document.reference.replace("\n", " "))[-1]
    return " ".join([*first, last])


def _prompt() -> PromptVersion:
    return PromptVersion.objects.get(prompt__name="news summary", number=1)


def _in_this_process(job: Job | None) -> None:
    assert job is not None
    claimed = jobs.claim(job.pk)
    assert claimed is not None
    jobs.run(claimed.pk, str(claimed.lease_token))


def heartbeat() -> None:
    """No serving process runs: the pages are told that it does."""
    ready = Slot.objects.filter(state="ready")
    live = Route.objects.get()
    ready.exclude(release__in=[pk for pk in (live.release_id, live.previous_id) if pk]).update(
        state="stopped", pid=None, rss_bytes=None
    )
    ready.update(heartbeat_at=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
