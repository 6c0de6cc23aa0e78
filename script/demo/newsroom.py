"""The newsroom: its people, articles, first model and drafts, and what every chapter of its history needs."""

from __future__ import annotations

import dataclasses
import json
import random
import uuid
from pathlib import Path
from typing import Any

import django.utils.timezone
from django.contrib.auth.models import Group, User

from models_app.foundation import audit, jobs
from models_app.foundation.tokens import create_token
from models_app.gates import policies
from models_app.ml import artefacts
from models_app.models import (
    ApiToken,
    EvaluationSet,
    Job,
    ModelVersion,
    PromptVersion,
    Release,
    Slot,
)
from models_app.models.releases import Environment
from models_app.releases.composing import compose_release
from models_app.releases.deploying import go_live, install_first_release
from models_app.training.registering import store
from reviews.ingest.imports import DOCUMENTS, ImportOptions
from reviews.ingest.sources.files import open_file
from reviews.loop.sample_workspace import STARTER_DECODING, create_administrator, create_sample_accounts
from reviews.models import (
    SourceDocument,
    Summary,
)
from reviews.queues.items import put_in_queue
from script.demo.clock import later
from script.demo.texts import draft_of

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "reviews" / "loop" / "sample"
PASSWORD = "a made-up password for pictures"
PEOPLE = ("reviewer", "reviewer2", "engineer", "approver", "operator")
NAMES = {"reviewer": "rita", "reviewer2": "ruben", "engineer": "mila", "approver": "ada", "operator": "otto"}


class Newsroom:
    """`places` says afterwards which rows the pictures show."""

    token: ApiToken
    refined: PromptVersion
    test_set: EvaluationSet

    def __init__(self) -> None:
        self.rng = random.Random(11)
        self.comments = [json.loads(line) for line in (SAMPLE / "comments.jsonl").read_text().splitlines()]
        self.places: dict[str, int] = {}

    def accounts(self) -> None:
        create_administrator(username="admin", password=PASSWORD)
        list(create_sample_accounts())
        for user in User.objects.filter(username__in=PEOPLE):
            user.username = NAMES[user.username]
            user.set_password(PASSWORD)
            user.save()
        # Rita and Ruben wrote what the model learns from, so that somebody else judges what it writes.
        self.jana = User.objects.create_user("jana", password=PASSWORD)
        self.jana.groups.set(Group.objects.filter(name="reviewer"))
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
        options = ImportOptions(licence="CC0-1.0")
        DOCUMENTS.import_at_once(source=open_file(path), options=options, actor=self.mila)

    def model(self, name: str, **fields: Any) -> ModelVersion:
        """With files that are what its manifest says; nobody loads them."""
        relative = f"newsroom-{uuid.uuid5(uuid.NAMESPACE_OID, name).hex[:16]}"
        directory = store() / relative
        for path in ("weights/model.safetensors", "ct2-int8/model.bin"):
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(f"{name} {path}")
        parent, run = fields.get("parent"), fields.get("training_run")
        manifest = artefacts.Manifest(
            format=artefacts.FORMAT, family="llama", architecture="LlamaForCausalLM", kind="decoder-only",
            base="starter", parent_digest=parent.digest if parent is not None else None,
            snapshot_digest=run.snapshot.digest if run is not None else None, recipe=None, seed=None,
            libraries={"torch": "2.8.0", "transformers": "4.57.1", "ctranslate2": "4.6.0"}, parameters=134_515_008,
            files=artefacts.hash_files(directory, artefacts.WEIGHTS), digest="", created="2026-01-01T00:00:00+00:00",
        )  # fmt: skip
        artefacts._write(
            directory, dataclasses.replace(manifest, digest=artefacts._digest(manifest.to_dict()))
        )
        parity = {"probes": 8, "tokenizer": True, "logprob": 0.0002, "beam_score": 0.0, "tolerance": 0.001}
        manifest = artefacts.record_conversion(
            directory, {"engine": "ctranslate2", "precision": "int8", "path": "ct2-int8", "parity": parity}
        )
        values: dict[str, Any] = {
            "family": "llama", "architecture": "LlamaForCausalLM", "base": "starter", "artefact": relative,
            "digest": manifest.digest, "engine": "ctranslate2", "precision": "int8", "parameters": 134_515_008,
            "size_bytes": 538_100_000, "weights_digest": uuid.uuid5(uuid.NAMESPACE_URL, name).hex * 2,
            "manifest": manifest.to_dict(),
        }  # fmt: skip
        version = ModelVersion.objects.create(name=name, **{**values, **fields})
        audit.record(actor=fields.get("created_by"), action="model.registered", subject=version)
        return version

    def policy(self) -> None:
        """For a newsroom that has one approver and few test documents."""
        environment = Environment.objects.get(name="production")
        held = policies.holding(environment)
        few = {"least_documents": 10}
        policies.change_policy(
            environment=environment, expected=held.number, actor=None,
            reason="A small desk: one approver, few test documents, made-up times.",
            settings={
                "approvals": {"approvers": 1}, "primary": few,
                "guards": {**few, "margins": {"rouge1": 2.0, "rougeL": 2.0, "rougeLsum": 2.0}},
                "safety": {**few, "numbers_percent": 90.0, "names_percent": 95.0},
                "slices": {"fields": []}, "speed": {"times_slower": None}, "preference": {"ask": "never"},
            },
        )  # fmt: skip

    def base_release(self) -> Release:
        from django.db import transaction

        later(5)
        with transaction.atomic():
            base = self.model("SmolLM2-135M-Instruct")
        release = compose_release(
            model_version=base, prompt_version=first_prompt(), decoding=STARTER_DECODING, origin="initial", actor=None,
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


def first_prompt() -> PromptVersion:
    return PromptVersion.objects.get(prompt__name="news summary", number=1)


def in_this_process(job: Job | None) -> None:
    assert job is not None
    claimed = jobs.claim(job.pk)
    assert claimed is not None
    jobs.run(claimed.pk, str(claimed.lease_token))
