"""A signed file: what was changed, cut off, signed by somebody else, or could be read in two ways, is not trusted."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as some

from models_app.evidence.envelope import NotEvidence, check, fingerprint, read_key, sign, written_key

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
PUBLIC = written_key(KEY.public_key())


def document(**fields: Any) -> dict[str, Any]:
    return {
        "made_at": "2026-11-24T10:40:00Z",
        "release": {"id": 14, "submitted_at": "2026-11-24T10:12:00Z", "state": "awaiting approval"},
        "delta": 2.2,
        "people": {"ada": ["trained it"]},
        **fields,
    }


def test_what_was_signed_is_read_again_with_the_key_that_signed_it() -> None:
    found = check(sign(document(), KEY), key=PUBLIC)
    assert (found.release, found.key, found.document) == (14, PUBLIC, document())
    assert found.submitted_at is not None


def test_another_layout_of_the_same_content_still_holds() -> None:
    content = sign(document(), KEY)
    assert check(json.dumps(json.loads(content)).encode(), key=PUBLIC).document == document()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"id": 14', '"id": 15'),
        ("2.2", "2.3"),
        ("2.2", '"2.2"'),
        ("trained it", "did nothing"),
        ("awaiting approval", "live"),
        ("2026-11-24T10:12", "2026-11-25T10:12"),
        ('"ada"', '"eve"'),
    ],
)
def test_a_changed_word_or_figure_is_found(before: str, after: str) -> None:
    content = sign(document(), KEY).decode()
    assert before in content
    with pytest.raises(NotEvidence, match="changed after it was signed"):
        check(content.replace(before, after, 1).encode())


def test_a_key_that_the_forger_writes_into_the_file_does_not_help_where_the_right_one_is_given() -> None:
    forged = sign(document(delta=9.9), OTHER)
    assert check(forged).key == written_key(OTHER.public_key())
    with pytest.raises(NotEvidence, match="another key"):
        check(forged, key=PUBLIC)
    stolen = json.loads(forged)
    stolen["signature"]["key"] = PUBLIC
    with pytest.raises(NotEvidence, match="does not fit"):
        check(json.dumps(stolen).encode(), key=PUBLIC)


def test_every_beginning_of_a_file_is_refused() -> None:
    content = sign(document(), KEY).rstrip()
    for length in range(len(content)):
        with pytest.raises(NotEvidence):
            check(content[:length])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe", b"null", b"[]", b"{}", b"[" * 100_000, b'{"a":' * 5_000, b"1e999", b"9" * 6_000,
        b'{"format": "galley-evidence-1", "document": {}, "signature": {}}',
    ],
)  # fmt: skip
def test_what_is_no_evidence_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(NotEvidence):
        check(content)


def test_a_name_that_occurs_twice_is_refused_although_the_last_one_is_what_was_signed() -> None:
    content = sign(document(), KEY).decode()
    twice = content.replace('"delta": 2.2', '"delta": 9.9, "delta": 2.2')
    with pytest.raises(NotEvidence, match="twice"):
        check(twice.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(NotEvidence):
        check(sign(document(), KEY).decode().replace("2.2", number).encode())
    with pytest.raises(ValueError, match="Out of range"):
        sign(document(delta=float(number.replace("Infinity", "inf"))), KEY)


def test_more_beside_the_document_is_refused() -> None:
    more = json.loads(sign(document(), KEY)) | {"summary": "It is better."}
    with pytest.raises(NotEvidence, match="does not belong"):
        check(json.dumps(more).encode())


def test_a_signature_for_something_else_is_none() -> None:
    content = json.loads(sign(document(), KEY))
    plain = json.dumps(document(), sort_keys=True, separators=(",", ":")).encode()
    content["signature"]["value"] = base64.b64encode(KEY.sign(plain)).decode()
    with pytest.raises(NotEvidence, match="does not fit"):
        check(json.dumps(content).encode())


def test_the_later_submission_supersedes_the_earlier_one_of_the_same_release_and_key() -> None:
    def file(
        at: str, release: int = 14, key: Ed25519PrivateKey = KEY, made: str = "2026-11-30T00:00:00Z"
    ) -> Any:
        about = {"id": release, "submitted_at": at, "state": "draft"}
        return check(sign(document(release=about, made_at=made), key))

    old, new = file("2026-11-24T10:12:00Z"), file("2026-11-25T10:12:00Z", made="2026-11-29T00:00:00Z")
    assert old.is_superseded_by(new)
    assert not new.is_superseded_by(old)
    assert not old.is_superseded_by(old)
    assert not old.is_superseded_by(file("2026-11-25T10:12:00Z", release=15))
    assert not old.is_superseded_by(file("2026-11-25T10:12:00Z", key=OTHER))


@given(some.binary(max_size=80) | some.text(max_size=80).map(str.encode))
def test_no_bytes_whatever_break_the_check(content: bytes) -> None:
    with pytest.raises(NotEvidence):
        check(content)


@given(
    some.recursive(
        some.none()
        | some.booleans()
        | some.integers()
        | some.text()
        | some.floats(allow_nan=False, allow_infinity=False),
        lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4),
        max_leaves=12,
    )
)  # fmt: skip
def test_whatever_json_can_say_is_signed_and_read_again(value: Any) -> None:
    try:
        content = sign(document(more=value), KEY)
    except UnicodeEncodeError:  # a lone surrogate, which no text of the database is
        return
    assert check(content, key=PUBLIC).document["more"] == value


@pytest.mark.parametrize("words", ["", "abc", "é" * 43, "A" * 44, " ", PUBLIC[:-2], PUBLIC + "AAAA", "a\0b"])
def test_what_is_no_public_key_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r"key"):
        read_key(words)


def test_a_fingerprint_is_short_and_of_the_key() -> None:
    assert fingerprint(PUBLIC) != fingerprint(written_key(OTHER.public_key()))
    assert len(fingerprint(PUBLIC)) == 19
