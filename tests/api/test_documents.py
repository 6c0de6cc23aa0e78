"""Documents from client programs: one or many, each with its own result, by scope, in one shape of errors."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app.foundation.tokens import create_token
from models_app.models import AuditEvent
from reviews.ingest.documents import content_hash
from reviews.models import SourceDocument
from tests import make
from tests.api.conftest import Api, error

TEXT = make.ARTICLE


@pytest.fixture
def engineer(cast: make.Cast) -> Api:
    return Api(cast.ml_engineer, "documents:read", "documents:write")


def test_a_document_is_taken_and_answered_whole(engineer: Api) -> None:
    answer = engineer.post(
        "documents/",
        {
            "text": TEXT + "\x00",
            "title": "Old pier",
            "domain": "News",
            "reference": "It closes.",
            "external_id": "a-1",
        },
    )
    assert answer.status_code == 201
    body = answer.json()
    document = SourceDocument.objects.get()
    assert (body["id"], body["text"], body["result"]) == (document.pk, TEXT, "imported")
    assert (body["domain"], body["origin"], body["has_reference"]) == ("news", "API", True)
    assert body["split"] == document.split
    assert body["content_hash"] == content_hash(TEXT)
    assert answer["Location"] == f"/api/v1/documents/{document.pk}/"
    assert document.created_by == engineer.user
    assert AuditEvent.objects.get(action="documents.import").actor == engineer.user
    read = engineer.get(f"documents/{document.pk}/").json()
    assert read == {name: value for name, value in body.items() if name != "result"}


def test_the_same_text_is_answered_with_the_document_there_is(engineer: Api) -> None:
    first = engineer.post("documents/", {"text": TEXT, "title": "First"}).json()
    answer = engineer.post("documents/", {"text": f"  {TEXT}\n", "title": "Second"})
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["title"], answer.json()["result"]) == (
        first["id"],
        "First",
        "duplicate",
    )


def test_a_list_has_a_result_for_each_in_its_order(engineer: Api) -> None:
    there = make.document(TEXT, content_hash=content_hash(TEXT))
    given: list[Any] = [
        {"text": TEXT + " It was Tuesday."},
        {"text": "Too short."},
        {"text": TEXT},
        {"title": "no text"},
        "not an object",
        {"text": TEXT + " It was Tuesday."},
        {"text": 17},
        {"text": TEXT, "group": "x" * 121},
    ]
    answer = engineer.post("documents/", given)
    assert answer.status_code == 207
    body = answer.json()
    results = body["results"]
    assert [result["index"] for result in results] == list(range(8))
    assert [result["result"] for result in results] == [
        "imported", "refused", "duplicate", "refused", "refused", "duplicate", "refused", "refused",
    ]  # fmt: skip
    assert (body["imported"], body["duplicates"], body["refused"]) == (1, 2, 5)
    assert results[2]["id"] == there.pk
    assert results[5]["id"] == results[0]["id"]
    assert "2 words; an article has at least 20" in results[1]["error"]["fields"]["text"]
    assert "text" in results[3]["error"]["fields"]
    assert "group" in results[7]["error"]["fields"]
    assert SourceDocument.objects.count() == 2


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"text": "One."}, "text", "1 word; an article has at least 20"),
        ({"text": "word " * 50_001}, "text", "at most 50,000"),
        ({"text": " \x00 "}, "text", "There is no text"),
        ({"title": "x"}, "text", "required"),
        ({"text": TEXT, "title": "x" * 301}, "title", "300"),
        ({"text": TEXT, "domain": None}, "domain", "null"),
        ([], "non_field_errors", "Send 1 to 500 documents"),
        ([{"text": "x"}] * 501, "non_field_errors", "these are 501"),
        ("text", "non_field_errors", "Expected a dictionary"),
    ],
)
def test_what_cannot_be_taken_says_which_field_and_why(
    engineer: Api, body: Any, field: str, words: str
) -> None:
    answer = engineer.post("documents/", body if not isinstance(body, str) else f'"{body}"')
    assert error(answer) == (422, "invalid")
    fields = answer.json()["error"]["fields"]
    assert words in fields.get(field, ""), fields
    assert not SourceDocument.objects.exists()


def test_an_idempotency_key_takes_a_list_once(engineer: Api) -> None:
    body = [{"text": TEXT}]
    first = engineer.post("documents/", body, **{"Idempotency-Key": "k1"})
    again = engineer.post("documents/", body, **{"Idempotency-Key": "k1"})
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"


def test_lists_are_pages_newest_first_with_filters(engineer: Api) -> None:
    documents = [make.document(split=split) for split in ("train", "test", "train")]
    make.document(split="train", domain="sport", title="Volleyball final", reference="")
    body = engineer.get("documents/?split=train&domain=news").json()
    assert [row["id"] for row in body["results"]] == [documents[2].pk, documents[0].pk]
    assert body["count"] == 2
    assert "text" not in body["results"][0]
    assert engineer.get("documents/?q=volley").json()["count"] == 1
    assert engineer.get("documents/?reference=no").json()["results"][0]["title"] == "Volleyball final"
    second = engineer.get("documents/?page_size=3&page=2").json()
    assert (len(second["results"]), second["next"]) == (1, None)
    assert error(engineer.get("documents/?page=99")) == (404, "not_found")
    for query in ("split=dev", "reference=perhaps"):
        assert error(engineer.get(f"documents/?{query}")) == (422, "invalid")


def test_a_list_costs_the_same_whatever_its_length(engineer: Api, django_assert_num_queries: Any) -> None:
    engineer.get("documents/")  # what is looked up once
    for count in (1, 40):
        for _ in range(count):
            make.document()
        with django_assert_num_queries(7):  # two for the token and what its person may do
            assert engineer.get("documents/?page_size=100").status_code == 200


def test_what_is_not_there_is_not_found(engineer: Api) -> None:
    assert error(engineer.get("documents/987654321/")) == (404, "not_found")
    assert error(engineer.delete("documents/")) == (405, "method_not_allowed")


def test_scopes_decide(cast: make.Cast) -> None:
    reader = Api(cast.reviewer, "documents:read")
    assert reader.get("documents/").status_code == 200
    assert error(reader.post("documents/", {"text": TEXT}))[0] == 403
    assert Client().get("/api/v1/documents/").status_code == 401
    _, token = create_token(
        user=cast.ml_engineer, name="x", scopes=["documents:write"], days=1, actor=cast.ml_engineer
    )
    cast.ml_engineer.groups.clear()
    answer = Client().post(
        "/api/v1/documents/", {"text": TEXT}, content_type="application/json",
        headers={"Authorization": f"Token {token}"},
    )  # fmt: skip
    assert answer.status_code == 403
    assert not SourceDocument.objects.exists()
