"""The installation's signing key: made once, kept in the data directory, readable by its owner only."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from models_app.evidence.envelope import written_key
from models_app.foundation.errors import Unavailable

NAME = "evidence_key"


def path() -> Path:
    return Path(settings.GALLEY_HOME) / NAME


def signing_key() -> Ed25519PrivateKey:
    """Makes it where it is missing. Raises Unavailable where the file is there and holds no key: a new one would be
    another signature to everybody who knows the old one, so nobody replaces it unasked."""
    file = path()
    if not file.exists():
        _make(file)
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(file.read_text(), validate=True))
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"{file} holds no signing key. Restore it from a backup; or move it away, and a new one is made, whose "
            "public key everybody who checks evidence has to learn."
        ) from error


def public_key() -> str:
    return written_key(signing_key().public_key())


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{NAME}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as written:
        written.write(base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()))
        written.flush()
        os.fsync(written.fileno())
    with suppress(FileExistsError):  # the first of several makers wins; the others read what it wrote
        os.link(beside, file)
    beside.unlink()
