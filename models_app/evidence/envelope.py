"""A document with its signature: Ed25519 over canonical JSON. Knows no Django; nothing here needs a database or a net.

The signature is over the content and not over the file's bytes, so that indenting a file breaks nothing. Therefore the
content has to be unambiguous: a name that occurs twice, NaN, or a number too large for a double is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT = "galley-evidence-1"
ALGORITHM = "Ed25519"
#: Signed before the content, so that the signature is good for nothing else that the key might sign one day.
PURPOSE = b"galley evidence of a release, format 1\n"
LARGEST = 64 * 1024 * 1024


class NotEvidence(Exception):
    """The file is no evidence that can be trusted; the message says why, in one sentence."""


@dataclass(frozen=True)
class Evidence:
    """A document whose signature was checked. `key` is the one that signed it, which the file itself names."""

    document: Mapping[str, Any]
    key: str

    @property
    def made_at(self) -> datetime:
        return datetime.fromisoformat(self.document["made_at"])

    @property
    def release(self) -> int:
        return int(self.document["release"]["id"])

    @property
    def submitted_at(self) -> datetime | None:
        at = self.document["release"]["submitted_at"]
        return datetime.fromisoformat(at) if at else None

    def is_superseded_by(self, other: Evidence) -> bool:
        """By a later submission of the same release, or by what was written later of the same."""
        if (self.key, self.release) != (other.key, other.release):
            return False
        return self._age < other._age

    @property
    def _age(self) -> tuple[float, float]:
        submitted = self.submitted_at
        return (submitted.timestamp() if submitted is not None else 0.0, self.made_at.timestamp())


# ---------------------------------------------------------------- keys


def written_key(key: Ed25519PublicKey) -> str:
    """A public key as people copy it: 43 characters."""
    return base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip("=")


def read_key(words: str) -> Ed25519PublicKey:
    """Raises ValueError where this is no public key."""
    words = words.strip()
    try:
        raw = base64.b64decode(words + "=" * (-len(words) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise ValueError("it is not written as a public key is") from error
    if len(raw) != 32:
        raise ValueError("a public key has 43 characters")
    return Ed25519PublicKey.from_public_bytes(raw)


def fingerprint(key: str) -> str:
    """Short enough to be read aloud: `91fa 3b6c 0d2e 7754`."""
    digest = hashlib.sha256(read_key(key).public_bytes_raw()).hexdigest()[:16]
    return " ".join(digest[at : at + 4] for at in range(0, 16, 4))


# ---------------------------------------------------------------- signing and checking


def sign(document: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """The file. Raises ValueError where the document holds what JSON cannot say for certain, such as NaN."""
    signature = key.sign(PURPOSE + _canonical(document))
    envelope = {
        "format": FORMAT,
        "document": document,
        "signature": {
            "algorithm": ALGORITHM,
            "key": written_key(key.public_key()),
            "value": base64.b64encode(signature).decode(),
        },
    }
    return json.dumps(envelope, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def check(content: bytes, *, key: str | None = None) -> Evidence:
    """`key`: the public key that it has to be signed with; without it, the one that the file names. Raises NotEvidence,
    and ValueError where `key` is none."""
    wanted = written_key(read_key(key)) if key is not None else None
    envelope = _read(content)
    if envelope.get("format") != FORMAT:
        raise NotEvidence("It is not an evidence file of this format.")
    document, signature = envelope.get("document"), envelope.get("signature")
    if not isinstance(document, dict) or not isinstance(signature, dict) or len(envelope) != 3:
        raise NotEvidence("A part of it is missing, or there is a part that does not belong there.")
    if signature.get("algorithm") != ALGORITHM:
        raise NotEvidence("It is signed by another method.")
    try:
        named = read_key(str(signature.get("key")))
        value = base64.b64decode(str(signature.get("value")), validate=True)
    except ValueError as error:
        raise NotEvidence("Its signature cannot be read.") from error
    if wanted is not None and written_key(named) != wanted:
        raise NotEvidence(
            f"It is signed with another key: {fingerprint(written_key(named))}, not {fingerprint(wanted)}."
        )
    try:
        named.verify(value, PURPOSE + _canonical(document))
    except (InvalidSignature, ValueError, RecursionError) as error:
        raise NotEvidence("It was changed after it was signed: the signature does not fit.") from error
    return _evidence(document, written_key(named))


def _evidence(document: dict[str, Any], key: str) -> Evidence:
    found = Evidence(document, key)
    try:
        _ = (found.made_at.timestamp(), found.release, found.submitted_at)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotEvidence("It does not say which release it is about, or when it was written.") from error
    return found


def _canonical(document: Mapping[str, Any]) -> bytes:
    """ASCII only, so that a lone surrogate is signed as it is written."""
    return json.dumps(
        document, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":")
    ).encode("ascii")


def _read(content: bytes) -> dict[str, Any]:
    if len(content) > LARGEST:
        raise NotEvidence(f"It is larger than {LARGEST // 1024**2} MB.")
    try:
        found = json.loads(
            content.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number, parse_float=_float
        )
    except NotEvidence:
        raise
    except (ValueError, RecursionError) as error:
        raise NotEvidence("It is cut off, or no JSON at all.") from error
    if not isinstance(found, dict):
        raise NotEvidence("It is not an evidence file.")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotEvidence("A name occurs twice in it, so that it could be read in two ways.")
    return found


def _no_number(words: str) -> NoReturn:
    raise NotEvidence(f"It holds {words}, which is no number.")


def _float(words: str) -> float:
    value = float(words)
    if value in (float("inf"), float("-inf")):
        raise NotEvidence(f"It holds a number that is too large: {words[:30]}.")
    return value
