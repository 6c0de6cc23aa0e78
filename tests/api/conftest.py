from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from models_app.evaluation.running import start_evaluation
from models_app.foundation.tokens import create_token
from models_app.ml.engines import LeadEngine
from models_app.models import ApiToken, PromptVersion, Release, Slot
from models_app.serving.routing import router
from models_app.serving.slot import Slot as ServedSlot
from models_app.serving.slot import SlotSpec, _Server
from reviews.desk.claims import claim_next
from reviews.discussion.comments import open_thread
from reviews.exports import requests
from reviews.exports.request import Request as ExportRequest
from reviews.improvement.requests import open_request
from tests import make
from tests.api.plainly import FrontClient
from tests.releases import scene as scenes


class Api:
    """A client program with a token."""

    def __init__(self, user: Any, *scopes: str) -> None:
        self.user = user
        self.row, self.token = create_token(
            user=user, name="a program", scopes=scopes or list(ApiToken.SCOPES)[:2], days=9, actor=user
        )

    def get(self, path: str) -> Any:
        return Client().get(f"/api/v1/{path}", headers=self._headers())

    def delete(self, path: str) -> Any:
        return Client().delete(f"/api/v1/{path}", headers=self._headers())

    def post(self, path: str, body: Any, **headers: str) -> Any:
        client = FrontClient() if path == "summaries/" else Client()
        return client.post(
            f"/api/v1/{path}", body, content_type="application/json", headers={**self._headers(), **headers}
        )

    def put(self, path: str, body: Any) -> Any:
        return Client().put(f"/api/v1/{path}", body, content_type="application/json", headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"}


@pytest.fixture
def cast(db: None) -> Iterator[make.Cast]:
    cache.clear()
    yield make.cast()
    cache.clear()


@pytest.fixture
def api(cast: make.Cast) -> Api:
    return Api(cast.operator, "summaries:write", "feedback:write")


def serve(
    release: Release, address: Path, engine: Any = None, *, quotes: bool = True, keep_bytes: int = 0
) -> Callable[[], None]:
    """A slot in this process; returns what stops it."""
    spec = SlotSpec(
        release=release.pk, engine="lead", artefact="", digest="", stamp="", address=str(address),
        prompt={"kind": "prefix", "system": "", "template": "summarize: {text}"}, decoding=release.decoding,
        threads=1, device="cpu", most_waiting=4, parent=os.getpid(), quotes=quotes, keep_bytes=keep_bytes,
    )  # fmt: skip
    server = _Server(ServedSlot(spec, engine or LeadEngine(3)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    now = timezone.now()
    Slot.objects.update_or_create(
        release=release,
        defaults={"state": "ready", "address": str(address), "heartbeat_at": now, "pid": os.getpid()},
    )

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


@pytest.fixture
def live(cast: make.Cast, tmp_path: Path) -> Iterator[Release]:
    """A live release of leading sentences, with a slot that answers."""
    release = make.release(state="warming")
    stop = serve(release, tmp_path / "live.sock")
    make.put_live(release)
    router.reread()
    yield release
    stop()


@pytest.fixture
def one_of_each(cast: make.Cast, live: Release) -> dict[str, Any]:
    """A row of each kind, found by the place that names it in a path."""
    for _ in range(3):
        make.queue_item()
    queue = make.queue()
    document = make.document()
    person = cast.administrator
    claimed = claim_next(queue=queue, reviewer=person)
    assert claimed is not None
    version = PromptVersion.objects.earliest("pk")
    thread = open_thread(about=version, text="Is this said well?", actor=person)
    export = requests.request_export(request=ExportRequest(kind="reviews"), actor=person)
    asked = Api(person, "summaries:write").post("summaries/", {"text": make.ARTICLE}).json()
    return {
        "summaries": asked["id"],
        "releases": live.pk,
        "documents": document.pk,
        "queues": queue.slug,
        "items": claimed.assignment.item_id,
        "prompt-versions": version.pk,
        "threads": thread.pk,
        "comments": thread.comments.get().pk,
        "exports": export.pk,
        "improvement-requests": open_request(kind="prompt", reason="Too long.", actor=person).pk,
        **of_a_pipeline(live),
    }


def of_a_pipeline(live: Release) -> dict[str, int]:
    """A training run, an evaluation, a comparison and a job."""
    on = scenes.evaluation_set(3)
    comparison = scenes.compared(make.release(decoding={"max_words": 44}), live, on)
    evaluation = start_evaluation(release=live, evaluation_set=scenes.evaluation_set(4), actor=None)
    data = scenes.snapshot(by=None, curators=[])
    model = scenes.trained_model(scenes.base_model(), data, by=None)
    assert model.training_run_id is not None and evaluation.job is not None  # noqa: PT018 (for the types)
    return {
        "training-runs": model.training_run_id,
        "evaluations": evaluation.pk,
        "comparisons": comparison.pk,
        "jobs": evaluation.job.pk,
    }


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]
