"""With GALLEY_KEEP_REQUEST_TEXT=no nothing of a request's texts is kept, by any way that a request takes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import connection
from django.test import Client
from django.utils import timezone

from models_app.foundation.fingerprints import fingerprint
from models_app.ml.engines import Generation, LeadEngine
from models_app.ml.errors import MLError
from models_app.models import ClientFeedback, IdempotencyKey, InferenceRequest, Job, Release
from models_app.monitoring.traffic import Window, voice
from models_app.serving.routing import router
from reviews.filling.client_feedback import bring_back
from reviews.models import SourceDocument
from tests.api.conftest import Api, api, cast, error, live, serve  # noqa: F401  (fixtures)

pytestmark = pytest.mark.django_db

# One marker in each text that could be kept somewhere; no other row has them.
ARTICLE = "Zyzzogeton left the harbour on Monday. " + "Divers found the piles rotten, they said again. " * 6
TITLE = "Quixotry of a pier"
COMMENT = "This is wrong: Xylopyrography was never said. Why does it say so?"
EDIT = "Vivisepulture of the old pier in nine months."
MARKERS = ("zyzzogeton", "quixotry", "xylopyrography", "vivisepulture")


@pytest.fixture(autouse=True)
def keeps_nothing(settings: Any) -> None:
    settings.GALLEY_KEEP_REQUEST_TEXT = False


def body(**more: Any) -> dict[str, Any]:
    return {"text": ARTICLE, "title": TITLE, "user": "reader-4711", **more}


def rows() -> Iterator[tuple[str, str]]:
    """(table, row) of all that the database holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{table}" t')
            for (row,) in cursor.fetchall():
                yield table, row


def plain_hashes(*texts: str) -> set[str]:
    """What somebody who guesses a text would look for."""
    return {
        hashlib.new(name, form.encode()).hexdigest()
        for text in texts
        for form in {text, text.strip()}
        for name in ("md5", "sha1", "sha256", "sha512")
    }


def found_in_the_database(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    wanted = {*MARKERS, *plain_hashes(*texts)}
    assert [row for table, row in rows() if table == "auth_user" and "mila" in row], "the search reads"
    return [(table, word) for table, row in rows() for word in wanted if word in row.lower()]


def found_in_files() -> list[Path]:
    return [
        path
        for path in Path(configured.GALLEY_HOME).rglob("*")
        if path.is_file() and any(word in path.read_bytes().lower() for word in map(str.encode, MARKERS))
    ]


def test_nothing_of_a_request_is_kept_and_no_hash_finds_it(
    api: Api,  # noqa: F811
    live: Release,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    key = hashlib.sha256(ARTICLE.encode()).hexdigest()  # as client programs make keys
    answered = api.post("summaries/", body(), **{"Idempotency-Key": key})
    assert answered.status_code == 201
    summary = answered.json()["summary"]
    assert "Zyzzogeton" in summary, "the client gets it"
    made = answered.json()["id"]
    said = api.post(
        f"summaries/{made}/feedback/",
        {"stars": 1, "comment": COMMENT, "edited_summary": EDIT, "wants": "retrain"},
        **{"Idempotency-Key": "k"},
    )
    assert said.status_code == 201
    api.post("summaries/", body(), **{"Idempotency-Key": key})
    api.get(f"summaries/{made}/")
    texts = (ARTICLE, TITLE, summary, COMMENT, EDIT, "reader-4711", json.dumps(body(), sort_keys=True), key)
    assert found_in_the_database(texts) == []
    assert found_in_files() == []
    written = (caplog.text + "".join(capfd.readouterr())).lower()
    assert "api/v1/summaries" in written, "there is a log"
    assert [word for word in MARKERS if word in written] == []


def test_the_hashes_that_are_kept_need_the_installation_s_secret(
    api: Api,  # noqa: F811
    live: Release,  # noqa: F811
    settings: Any,
) -> None:
    api.post("summaries/", body())
    row = InferenceRequest.objects.get()
    assert (row.text, row.title, row.summary) == ("", "", "")
    assert row.text_hash == fingerprint("request text", ARTICLE.strip())
    settings.SECRET_KEY = "another installation's, long enough to be one"
    assert row.text_hash != fingerprint("request text", ARTICLE.strip())
    api.post("summaries/", body())
    assert len(set(InferenceRequest.objects.values_list("text_hash", flat=True))) == 2
    assert len(set(InferenceRequest.objects.values_list("user_hash", flat=True))) == 2


def test_reading_a_summary_again_says_why_it_is_not_there(api: Api, live: Release) -> None:  # noqa: F811
    made = api.post("summaries/", body()).json()
    assert made["summary_missing"] is None
    again = api.get(f"summaries/{made['id']}/")
    assert again.status_code == 200
    assert again.json() == {**made, "summary": None, "summary_missing": "not_kept"}


def test_a_repeated_key_is_not_computed_twice_and_says_that_the_answer_is_not_kept(
    api: Api,  # noqa: F811
    live: Release,  # noqa: F811
) -> None:
    made = api.post("summaries/", body(), **{"Idempotency-Key": "order-1"}).json()["id"]
    again = api.post("summaries/", body(), **{"Idempotency-Key": "order-1"})
    assert error(again) == (409, "answer_not_kept")
    assert made in again.json()["error"]["message"]
    assert InferenceRequest.objects.count() == 1
    other = api.post("summaries/", body(title="x"), **{"Idempotency-Key": "order-1"})
    assert error(other) == (422, "idempotency_key")
    assert not IdempotencyKey.objects.filter(key="order-1").exists()


def test_feedback_is_answered_again_since_its_answer_quotes_nothing(api: Api, live: Release) -> None:  # noqa: F811
    made = api.post("summaries/", body()).json()["id"]
    say = {"stars": 2, "comment": COMMENT}
    first = api.post(f"summaries/{made}/feedback/", say, **{"Idempotency-Key": "f"})
    again = api.post(f"summaries/{made}/feedback/", say, **{"Idempotency-Key": "f"})
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"


def test_of_a_comment_its_tone_and_class_are_kept_and_of_an_edit_that_there_was_one(
    api: Api,  # noqa: F811
    live: Release,  # noqa: F811
) -> None:
    made = api.post("summaries/", body()).json()
    for edit in (EDIT, f"  {made['summary']} ", ""):
        api.post(
            f"summaries/{made['id']}/feedback/",
            {"stars": 2, "comment": "It gets the numbers wrong.", "edited_summary": edit},
        )
    kept = ClientFeedback.objects.order_by("pk")
    assert [(row.comment, row.edited_summary) for row in kept] == [("", "")] * 3
    assert [row.edited for row in kept] == [True, False, False], "the same words are no edit"
    assert all(row.category and row.sentiment for row in kept)
    request = InferenceRequest.objects.get()
    assert voice(Window(request.created_at, timezone.now())).edited == 1


def test_what_is_not_kept_cannot_be_sent_to_the_desk_and_says_so(api: Api, live: Release) -> None:  # noqa: F811
    made = api.post("summaries/", body()).json()["id"]
    api.post(f"summaries/{made}/feedback/", {"stars": 1, "comment": COMMENT})
    assert not Job.objects.filter(kind="review_requests").exists()
    assert "was not kept" in bring_back(feedback=ClientFeedback.objects.get()).said
    assert not SourceDocument.objects.exists()


def test_remarks_on_a_text_that_was_not_kept_are_not_kept_later_either(
    api: Api,  # noqa: F811
    live: Release,  # noqa: F811
    settings: Any,
) -> None:
    made = api.post("summaries/", body()).json()["id"]
    settings.GALLEY_KEEP_REQUEST_TEXT = True
    api.post(f"summaries/{made}/feedback/", {"stars": 1, "comment": COMMENT, "edited_summary": EDIT})
    assert found_in_the_database((COMMENT, EDIT)) == []


class _Quoting(LeadEngine):
    """Fails with words that quote what it was given."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__(3)
        self.error = error

    def generate(self, *args: Any, **kwargs: Any) -> list[Generation]:
        raise self.error(f"cannot summarize {ARTICLE}")


@pytest.mark.parametrize("raised", [RuntimeError, ValueError, MLError])
def test_errors_that_quote_a_text_leave_nothing_of_it(
    api: Api,  # noqa: F811
    live: Release,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    raised: type[Exception],
) -> None:
    stop = serve(live, tmp_path / "quoting.sock", _Quoting(raised), quotes=False)
    router.reread()
    answer = api.post("summaries/", body())
    stop()
    assert answer.status_code in (422, 503)
    assert InferenceRequest.objects.get().error
    assert found_in_the_database((ARTICLE,)) == []
    assert "zyzzogeton" not in (caplog.text + "".join(capfd.readouterr())).lower()


def test_a_fault_of_galley_s_own_is_logged_without_its_words(
    api: Api,  # noqa: F811
    live: Release,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def quoting(**asked: Any) -> Any:
        raise KeyError(asked["text"])

    monkeypatch.setattr("models_app.serving.client.generate", quoting)
    answer = Client(raise_request_exception=False).post(
        "/api/v1/summaries/", body(), content_type="application/json", headers=api._headers()
    )
    assert answer.status_code == 500
    assert "KeyError" in caplog.text
    assert "quoting" in caplog.text, "and where"
    assert "zyzzogeton" not in caplog.text.lower()
    assert found_in_the_database((ARTICLE,)) == []
