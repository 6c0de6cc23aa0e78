"""Requests of clients, and what they said."""

from __future__ import annotations

import datetime as dt

from models_app.foundation.fingerprints import fingerprint
from models_app.models import (
    InferenceRequest,
    Job,
    Route,
)
from models_app.serving.client_feedback import give_feedback
from models_app.serving.routing import person_hash, read_target
from models_app.texts.measures import unsupported_numbers
from reviews.models import (
    SourceDocument,
)
from script.demo.clock import NOW, Clock
from script.demo.newsroom import Newsroom, in_this_process
from script.demo.texts import draft_of, tuned_of


class Traffic(Newsroom):
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
                        user_hash=person_hash("user", f"u{self.rng.randint(1, 70)}", salt=target.salt),
                        session_hash=person_hash("session", f"s{day}-{self.rng.randint(1, 25)}", salt=target.salt),
                        text=document.text, text_hash=fingerprint("request text", document.text),
                        input_words=document.words,
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
            Clock.moment = request.created_at + dt.timedelta(minutes=4)
            assert request.model_version is not None
            pleased = 0.72 if request.model_version.training_run_id else 0.38
            happy = self.rng.random() < pleased
            remark = self.rng.choice([row for row in said if (row["stars"] >= 4) == happy])
            give_feedback(
                request=request, stars=remark["stars"], wants=remark["wants"],
                comment=remark["comment"] if self.rng.random() < 0.55 else "",
            )  # fmt: skip
        for job in Job.objects.filter(kind="review_requests", state="queued"):
            in_this_process(job)
