from __future__ import annotations

import json
import threading
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from models_app.api import authentication
from models_app.api.kept_answers import forget_expired
from models_app.api.summaries import SummarySerializer
from models_app.foundation.errors import Unavailable
from models_app.foundation.fingerprints import fingerprint
from models_app.ml.engines import Capacity, Generation, LeadEngine
from models_app.models import IdempotencyKey, InferenceRequest, Release, Route, Slot
from models_app.serving.routing import router
from tests import make
from tests.api.conftest import Api, error, serve

pytestmark = pytest.mark.django_db


def ask(api: Api, *, key: str = "", **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post("summaries/", {"text": make.ARTICLE, **body}, **headers)


def test_a_summary_is_answered_as_promised(api: Api, live: Release) -> None:
    answer = ask(api, title="Old pier to close", domain="News", user="reader-1", session="s-1")
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == set(SummarySerializer().fields), "as the schema says"
    assert body["summary"].startswith("The harbour authority of Nordhaven")
    assert (body["release"], body["model_version"]) == (live.pk, live.model_version_id)
    assert body["prompt_version"] == live.prompt_version_id
    assert body["input_words"] == len(make.ARTICLE.split())
    assert body["summary_words"] == len(body["summary"].split())
    assert body["latency_ms"] > 0
    assert (answer["X-Release"], answer["X-Model-Version"]) == (str(live.pk), str(live.model_version_id))
    assert uuid.UUID(answer["X-Request-ID"])
    assert "no-store" in answer["Cache-Control"]

    again = api.get(f"summaries/{body['id']}/")
    assert again.status_code == 200
    assert again.json() == body
    assert again["X-Release"] == str(live.pk)


def test_every_call_is_logged_with_people_only_as_keyed_hashes(api: Api, live: Release) -> None:
    first = ask(api, user="reader-1", session="s-1", title="Old pier", domain=" News ", max_words=40).json()
    second = ask(api, user="reader-1", session="s-2").json()
    row, other = (InferenceRequest.objects.get(pk=body["id"]) for body in (first, second))
    assert (row.outcome, row.client, row.token_key) == ("ok", api.user, api.row.token_key)
    assert (row.title, row.domain, row.max_words) == ("Old pier", "news", 40)
    assert row.text == make.ARTICLE
    assert row.text_hash == fingerprint("request text", make.ARTICLE)
    assert len(row.user_hash) == 32
    assert "reader" not in row.user_hash
    assert row.user_hash == other.user_hash
    assert row.session_hash != other.session_hash
    assert row.user_hash != row.session_hash
    assert row.queue_ms is not None
    assert row.latency_ms is not None


def test_an_answer_that_had_been_written_before_says_so(api: Api, live: Release, tmp_path: Path) -> None:
    stop = serve(live, tmp_path / "keeping.sock", keep_bytes=100_000)
    router.reread()
    try:
        first, again, other = ask(api), ask(api, key="again"), ask(api, max_words=30)
        repeated = ask(api, key="again")
    finally:
        stop()
    assert ["X-Kept-Answer" in answer for answer in (first, again, other)] == [False, True, False]
    assert again["X-Kept-Answer"] == repeated["X-Kept-Answer"] == "yes"
    assert again.json()["summary"] == first.json()["summary"]
    assert again.json()["id"] != first.json()["id"], "each request has its own row"


def test_how_sure_the_model_was_is_kept(api: Api, live: Release, tmp_path: Path) -> None:
    class Sure(LeadEngine):
        def generate(self, *args: Any, **kwargs: Any) -> list[Generation]:
            return [replace(one, confidence=0.25) for one in super().generate(*args, **kwargs)]

    ask(api)
    stop = serve(live, tmp_path / "sure.sock", Sure(3))
    router.reread()
    ask(api)
    stop()
    kept = InferenceRequest.objects.order_by("created_at").values_list("confidence", flat=True)
    assert list(kept) == [None, 0.25], "leading sentences are no model's"


def test_another_installation_gives_the_same_person_another_hash(api: Api, live: Release) -> None:
    ask(api, user="reader-1")
    Route.objects.update(salt="another")
    router.reread()
    ask(api, user="reader-1")
    assert len(set(InferenceRequest.objects.values_list("user_hash", flat=True))) == 2


def test_the_text_is_kept_only_where_the_setting_says_so(api: Api, live: Release, settings: Any) -> None:
    settings.GALLEY_KEEP_REQUEST_TEXT = False
    body = ask(api, title="Old pier").json()
    row = InferenceRequest.objects.get(pk=body["id"])
    assert (row.text, row.title, row.summary) == ("", "", "")
    assert row.text_hash == fingerprint("request text", make.ARTICLE)
    assert row.input_words == len(make.ARTICLE.split())


def test_html_is_text_and_control_characters_are_cleaned_away(api: Api, live: Release) -> None:
    text = "<script>alert('x')</script>\x00 The\u200b pier\r\nis <b>closed</b>.\ud800 " + make.ARTICLE
    body = ask(api, text=text)
    assert body.status_code == 201
    row = InferenceRequest.objects.get(pk=body.json()["id"])
    assert row.text.startswith("<script>alert('x')</script> The pier\nis <b>closed</b>. The harbour")
    assert body.json()["summary"].startswith("<script>alert('x')</script> The pier")


def test_numbers_that_the_text_does_not_have_are_flagged(cast: make.Cast, api: Api, tmp_path: Path) -> None:
    class Inventive:
        name, precision, capacity = "inventive", "none", Capacity(1, 1, 1)

        def generate(self, requests: Any, *, prompt: Any, decoding: Any) -> Any:
            from models_app.ml.engines import Generation

            return [
                Generation("It will cost 7 million euros", 700, 9, 700, 500, True, "length") for _ in requests
            ]

    release = make.release(state="warming")
    stop = serve(release, tmp_path / "s.sock", Inventive())
    make.put_live(release)
    router.reread()
    try:
        assert ask(api).json()["flags"] == ["truncated", "length_limit", "unsupported_number"]
    finally:
        stop()


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("text", {}),
        ("text", {"text": ""}),
        ("text", {"text": None}),
        ("text", {"text": ["a"]}),
        ("text", {"text": "word"}),
        ("text", {"text": "\x00\x01 \u200b"}),
        ("text", {"text": "word " * 200_000}),
        ("text", {"text": "x" * 2_000_001}),
        ("title", {"text": make.ARTICLE, "title": "x" * 301}),
        ("title", {"text": make.ARTICLE, "title": 7}),
        ("domain", {"text": make.ARTICLE, "domain": "x" * 41}),
        ("user", {"text": make.ARTICLE, "user": "x" * 201}),
        ("session", {"text": make.ARTICLE, "session": {"id": 1}}),
        ("max_words", {"text": make.ARTICLE, "max_words": 4}),
        ("max_words", {"text": make.ARTICLE, "max_words": 501}),
        ("max_words", {"text": make.ARTICLE, "max_words": "many"}),
    ],
)
def test_wrong_fields_are_named_and_nothing_is_computed(
    api: Api, live: Release, field: str, body: Any
) -> None:
    answer = api.post("summaries/", body)
    assert error(answer) == (422, "invalid")
    assert set(answer.json()["error"]["fields"]) == {field}
    assert not InferenceRequest.objects.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"{", "application/json", (400, "parse_error")),
        (b"\xff\xfe{}", "application/json", (400, "parse_error")),
        (b"[" * 100_000, "application/json", (400, "parse_error")),
        (b'{"text": NaN}', "application/json", (400, "parse_error")),
        (b"text=hello", "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
        (b'{"text": "' + b"x" * 5 * 1024 * 1024 + b'"}', "application/json", (413, "too_large")),
        (b"[1]", "application/json", (422, "invalid")),
    ],
)
def test_what_is_no_request_is_refused(
    api: Api, live: Release, body: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    answer = Client().post(
        "/api/v1/summaries/", body, content_type=content_type, headers={"Authorization": f"Token {api.token}"}
    )
    assert error(answer) == expected


def test_scopes_are_needed(cast: make.Cast, live: Release) -> None:
    reader = Api(cast.ml_engineer, "documents:read")
    assert error(ask(reader)) == (403, "permission_denied")
    writer = Api(cast.reviewer, "summaries:write")
    made = ask(writer).json()["id"]
    assert error(writer.post(f"summaries/{made}/feedback/", {"stars": 1})) == (403, "permission_denied")
    assert Client().post("/api/v1/summaries/", {"text": make.ARTICLE}, "application/json").status_code == 401


def test_summaries_of_other_clients_do_not_exist(api: Api, cast: make.Cast, live: Release) -> None:
    made = ask(api).json()["id"]
    other = Api(cast.reviewer, "summaries:write", "feedback:write")
    assert error(other.get(f"summaries/{made}/")) == (404, "not_found")
    assert error(other.post(f"summaries/{made}/feedback/", {"stars": 5})) == (404, "not_found")
    same_user = Api(api.user, "summaries:write")
    assert same_user.get(f"summaries/{made}/").status_code == 200
    assert error(api.get(f"summaries/{uuid.uuid4()}/")) == (404, "not_found")


def test_a_token_may_ask_only_so_often(api: Api, live: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    from models_app.api.authentication import TokenThrottle

    monkeypatch.setattr(TokenThrottle, "rate", "3/hour", raising=False)
    assert [ask(api).status_code for _ in range(4)] == [201, 201, 201, 429]
    answer = ask(api)
    assert error(answer) == (429, "throttled")
    assert 1 <= int(answer["Retry-After"]) <= 3600
    assert ask(Api(api.user, "summaries:write")).status_code == 201, "another token is not held up"


# ---------------------------------------------------------------- nothing to answer with


def test_without_a_live_release_503_says_when_to_come_back_and_it_is_logged(api: Api) -> None:
    router.reread()
    answer = ask(api)
    assert error(answer) == (503, "unavailable")
    assert int(answer["Retry-After"]) >= 1
    row = InferenceRequest.objects.get()
    assert (row.outcome, row.release, row.summary) == ("unavailable", None, "")
    assert "No release is live" in row.error


@pytest.mark.parametrize("slot_state", ["starting", "failed", "stopped"])
def test_a_slot_that_is_not_ready_is_503(api: Api, live: Release, slot_state: str) -> None:
    Slot.objects.filter(release=live).update(state=slot_state)
    router.reread()
    assert error(ask(api)) == (503, "unavailable")
    assert InferenceRequest.objects.get().release == live


def test_a_slot_that_nobody_listens_at_is_503(api: Api, live: Release, tmp_path: Path) -> None:
    Slot.objects.filter(release=live).update(address=str(tmp_path / "nobody.sock"))
    router.reread()
    assert error(ask(api)) == (503, "unavailable")


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (Unavailable("Too many.", code="overloaded", retry_after=7), "overloaded"),
        (Unavailable("Too long.", code="timeout", retry_after=7), "timeout"),
        (Unavailable("The model failed.", code="error", retry_after=7), "error"),
    ],
)
def test_each_way_to_fail_has_its_outcome(
    api: Api, live: Release, monkeypatch: pytest.MonkeyPatch, raised: Unavailable, outcome: str
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr("models_app.serving.client.generate", fail)
    answer = ask(api)
    assert error(answer) == (503, raised.code)
    assert answer["Retry-After"] == "7"
    row = InferenceRequest.objects.get()
    assert (row.outcome, row.release, row.error) == (outcome, live, raised.message)


def test_a_fault_of_ours_is_logged_too(api: Api, live: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("models_app.serving.client.generate", fail)
    with pytest.raises(ZeroDivisionError):
        ask(api)
    assert InferenceRequest.objects.get().error == "ZeroDivisionError: oops"


# ---------------------------------------------------------------- Idempotency-Key


def test_a_repeated_request_gets_the_same_answer_and_is_computed_once(api: Api, live: Release) -> None:
    first, again = ask(api, key="a-1"), ask(api, key="a-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again["X-Release"] == first["X-Release"]
    assert again["Idempotent-Replayed"] == "true"
    assert not first.has_header("Idempotent-Replayed")
    assert InferenceRequest.objects.count() == 1


def test_another_body_or_path_with_the_same_key_is_refused(api: Api, live: Release) -> None:
    made = ask(api, key="a-1").json()["id"]
    assert error(ask(api, key="a-1", title="Other")) == (422, "idempotency_key")
    said = api.post(f"summaries/{made}/feedback/", {"text": make.ARTICLE}, **{"Idempotency-Key": "a-1"})
    assert error(said) == (422, "idempotency_key")
    assert error(ask(api, key="x" * 101)) == (422, "idempotency_key")


def test_keys_of_different_tokens_do_not_meet(api: Api, live: Release) -> None:
    ask(api, key="a-1")
    assert not ask(Api(api.user, "summaries:write"), key="a-1").has_header("Idempotent-Replayed")
    assert InferenceRequest.objects.count() == 2


def test_the_order_of_a_body_s_fields_does_not_matter(api: Api, live: Release) -> None:
    bodies = [
        json.dumps({"text": make.ARTICLE, "title": "T"}),
        json.dumps({"title": "T", "text": make.ARTICLE}),
    ]
    answers = [api.post("summaries/", body, **{"Idempotency-Key": "a-1"}) for body in bodies]
    assert answers[0].json() == answers[1].json()


def test_a_first_request_whose_process_died_is_taken_over(api: Api, live: Release) -> None:
    ask(api, key="a-1")
    IdempotencyKey.objects.update(status=None, answer=None)
    assert ask(api, key="a-1").status_code == 201
    assert ask(api, key="a-1")["Idempotent-Replayed"] == "true"


def test_after_a_failure_the_same_key_may_be_tried_again(api: Api, live: Release) -> None:
    Slot.objects.update(state="starting")
    router.reread()
    assert ask(api, key="a-1").status_code == 503
    Slot.objects.update(state="ready")
    assert ask(api, key="a-1").status_code == 201
    assert error(ask(api, key="a-2", text="short")) == (422, "invalid")
    assert ask(api, key="a-2").status_code == 201


def test_answers_are_kept_for_a_day_and_no_longer(api: Api, live: Release) -> None:
    """Also where no further request comes: they quote summaries."""
    now = timezone.now()
    for key, hours in (("a-1", 23), ("a-2", 25), ("a-3", 25)):
        assert ask(api, key=key).status_code == 201
        IdempotencyKey.objects.filter(key=fingerprint("idempotency key", key)).update(
            created_at=now - timedelta(hours=hours)
        )
    assert ask(api, key="a-1")["Idempotent-Replayed"] == "true"
    assert not ask(api, key="a-2").has_header("Idempotent-Replayed"), "it is a new request by now"
    assert forget_expired() == 1
    assert set(IdempotencyKey.objects.values_list("key", flat=True)) == {
        fingerprint("idempotency key", key) for key in ("a-1", "a-2")
    }


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_time_with_one_key_are_computed_once(api: Api, live: Release) -> None:
    start = threading.Barrier(4)
    answers: list[Any] = []

    def act() -> None:
        start.wait()
        answers.append(ask(api, key="a-1"))
        connection.close()

    threads = [threading.Thread(target=act) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert InferenceRequest.objects.count() == 1


def test_a_request_that_is_not_plain_asks_the_database_few_questions(
    api: Api, live: Release, django_assert_num_queries: Any
) -> None:
    def ask_django() -> None:
        headers = {"Authorization": f"Token {api.token}"}
        path, body = "/api/v1/summaries/", {"text": make.ARTICLE}
        assert Client().post(path, body, "application/json", headers=headers).status_code == 201

    ask_django()
    with django_assert_num_queries(1):  # the log; token and route have just been looked up
        ask_django()
    authentication._recent.clear()
    router.reread()
    with django_assert_num_queries(3):  # the token, and what its person may do
        ask_django()


@pytest.mark.django_db(transaction=True)
def test_the_log_does_not_wait_for_the_disk_and_feedback_does(api: Api, live: Release) -> None:
    """What is set for the log's transaction must not stay with the connection."""
    made = ask(api).json()["id"]
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)
    stored = InferenceRequest.objects.get(pk=made)
    assert stored.flags == []
    assert stored.created_at is not None
