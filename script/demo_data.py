"""A made-up history for pictures of the pages: nobody reviewed, trained or asked for anything of it.

It tells two weeks of a small newsroom with the sample articles, through the same use cases that pages and jobs call,
so that rules, audit trail, scores and comparisons are real. What needs a model or time is made up and says so here:
summaries (lead sentences with small mistakes, or references with small changes), training curves, request log.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import uuid

import django.utils.timezone

from models_app.foundation import jobs
from models_app.foundation.tokens import create_token
from models_app.ml.recipe import PRESETS
from models_app.models import (
    DatasetSnapshot,
    Job,
    ModelVersion,
    Release,
    Route,
    Slot,
)
from models_app.texts.sentences import split_sentences
from models_app.webhooks import deliveries
from models_app.webhooks.endpoints import create_endpoint
from models_app.webhooks.posting import Answer
from reviews.desk.claims import claim_next
from reviews.desk.reviews import Answers, save_draft
from reviews.discussion.comments import Span, open_thread, reply, resolve
from reviews.exports import requests
from reviews.exports.request import Request
from reviews.external_ratings import rows as rating_rows
from reviews.external_ratings.imports import RATINGS
from reviews.external_ratings.options import Options as RatingOptions
from reviews.ingest import uploads
from reviews.models import (
    QueueItem,
    Review,
    ReviewQueue,
    SourceDocument,
    Summary,
)
from reviews.queues.grounding import link
from reviews.texts.error_labels import suggest
from reviews.texts.marks import Mark, Support
from reviews.texts.spans import sentences
from script.demo.clock import NOW, Clock, at, later, story
from script.demo.learning import Learning
from script.demo.newsroom import in_this_process
from script.demo.releasing import Releasing
from script.demo.reviewing import Reviewing
from script.demo.texts import lead_of, tuned_of
from script.demo.traffic import Traffic


class Demo(Reviewing, Learning, Releasing, Traffic):
    def build(self) -> None:
        with story():
            at(13, 9)
            self.accounts()
            self.policy()
            self.documents()
            base = self.base_release()
            self.drafts(base)
            self.reviews(26)
            self.prompts()
            snapshot = self.training_data()
            tuned = self.training(snapshot)
            self.webhook()
            self.releases(base, tuned)
            self.choices()
            self.second_opinions()
            self.gold_items()
            self.traffic()
            self.requests()
            self.loose_ends(snapshot, tuned)
            self.told()
        heartbeat()

    def webhook(self) -> None:
        self.endpoint, _ = create_endpoint(
            name="Build server", url="https://ci.example.org/hooks/galley",
            events=["release.approved", "deployment.live", "training.finished", "audit.anchored"], actor=self.otto,
        )  # fmt: skip

    def told(self) -> None:
        """The build server took what it was told, until it broke a moment ago."""
        deliveries.make_what_is_to_be_told()
        taken = Answer(200, "It answered 200.", "queued", "93.184.215.14", 184)
        broken = Answer(503, "It answered 503.", "<h1>Service unavailable</h1>", "93.184.215.14", 2031)
        waiting = deliveries.due().count()
        for left in range(waiting, 0, -1):
            delivery = deliveries.claim_next(self.endpoint.pk)
            assert delivery is not None
            deliveries.write_down(delivery, taken if left > 1 else broken, django.utils.timezone.now())

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
            path = uploads.keep(chunks=chunks, name=f"{name}.jsonl", place=RATINGS.place)
            batch = RATINGS.submit_file(path=path, options=RatingOptions(), actor=self.mila)
            if batch.job is not None:
                in_this_process(batch.job)
                batch.refresh_from_db()
            if name == "experts-spring":
                found = rating_rows.guess(batch.report["sample"]["paths"], keys, "reviews")
                options = RatingOptions(mapping={**found, "rater": "=city-desk"}, rounding=True)
                in_this_process(RATINGS.start(row=batch, options=options, actor=self.mila))

    def loose_ends(self, snapshot: DatasetSnapshot, tuned: ModelVersion) -> None:
        """What goes on at the moment of the pictures."""
        Clock.moment = max(Clock.moment, NOW - dt.timedelta(minutes=40))
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
            in_this_process(requests.request_export(request=asked, actor=self.mila).job)
        requests.request_export(request=Request("edits", format="csv", compressed=True), actor=self.mila)
        queue = ReviewQueue.objects.get(slug="new-drafts")
        lease = claim_next(queue=queue, reviewer=self.rita)
        assert lease is not None
        draft = lease.assignment.item.summary
        link(summaries=[draft.pk])
        labels = [
            change.label
            for change in suggest(source=draft.document.text, draft=draft.text, edited=_corrected(draft))
            if change.label
        ]
        first = sentences(draft.text)[0]
        save_draft(
            item=lease.assignment.item,
            answers=Answers(
                verdict="fair", stars=3, ratings={"consistency": 2, "relevance": 4, "coherence": 4},
                edited_text=_corrected(draft), active_seconds=94,
                marks=tuple(Mark(**dataclasses.asdict(label), suggested=True) for label in labels[:1]),
                support=(Support(*first, supported=True),),
            ),
            reviewer=self.rita, base_revision=0,
        )  # fmt: skip
        self.places["desk_item"] = lease.assignment.item.pk
        self.talk(lease.assignment.item)
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
        resolved = open_thread(
            about=item, text="Does the headline count as part of the source?", actor=self.rita
        )
        later(3)
        reply(thread=resolved.pk, text="Yes, it does.", actor=self.mila)
        resolve(thread=resolved.pk, actor=self.mila)
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


def heartbeat() -> None:
    """No serving process runs: the pages are told that it does."""
    ready = Slot.objects.filter(state="ready")
    live = Route.objects.get()
    ready.exclude(release__in=[pk for pk in (live.release_id, live.previous_id) if pk]).update(
        state="stopped", pid=None, rss_bytes=None
    )
    ready.update(heartbeat_at=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
