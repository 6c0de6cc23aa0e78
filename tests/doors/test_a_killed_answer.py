"""A web process is killed while it answers: the request can be sent again at once, under the same Idempotency-Key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings

from models_app.ml.engines import Generation, LeadEngine
from models_app.models import IdempotencyKey, InferenceRequest
from models_app.releases.deploying import go_live
from tests import make
from tests.api.conftest import Api, serve
from tests.process.programs import free_port, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


class Held(LeadEngine):
    """Writes nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_go_on = threading.Event(), threading.Event()

    def generate(self, requests: Sequence[Any], **more: Any) -> list[Generation]:
        self.asked.set()
        self.may_go_on.wait(60)
        return super().generate(requests, **more)


@pytest.fixture
def web() -> Iterator[tuple[str, psutil.Process]]:
    """A web server with one worker of Galley's own kind, which is started again when it dies."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class",
         "llmops_site.web_server.worker.WholeRequestWorker", "--threads", "4", "--no-control-socket",
         "llmops_site.wsgi:application"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(url))
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5):
            return True
    except OSError:
        return False


def ask(url: str, api: Api) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"{url}/api/v1/summaries/",
        json.dumps({"text": make.ARTICLE}).encode(),
        {
            "Authorization": f"Token {api.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": "order-4711",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def test_a_key_whose_process_was_killed_is_free_at_once(
    tmp_path: Path, web: tuple[str, psutil.Process]
) -> None:
    url, server = web
    engine = Held()
    release = make.release(state="warming")
    stop = serve(release, tmp_path / "live.sock", engine)
    go_live(release=release)
    api = Api(make.cast().ml_engineer, "summaries:write")
    lost: list[object] = []

    def send() -> None:
        try:
            lost.append(ask(url, api)[0])
        except OSError as error:
            lost.append(type(error))

    first = threading.Thread(target=send)
    first.start()
    assert engine.asked.wait(30)
    assert ask(url, api) == (409, ask(url, api)[1]), "while the first one is being answered"

    (worker,) = server.children()
    worker.kill()
    first.join(30)
    engine.may_go_on.set()
    wait_for(lambda: answers(url))
    status, body = ask(url, api)
    stop()
    assert lost != [201], "the first client got no answer"
    assert status == 201, f"the key is not free at the first try: {body}"
    assert ask(url, api) == (201, body), "and the same answer from now on"
    assert IdempotencyKey.objects.get().status == 201
    assert InferenceRequest.objects.filter(pk=body["id"], error="").count() == 1
