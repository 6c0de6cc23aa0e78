"""Secrets of endpoints, and signatures made with them.

A secret is computed from the installation's key and the endpoint's salt whenever it is needed: no table holds it,
sealed or otherwise, and the database alone signs nothing. With another key there are other secrets; the digest beside
the salt tells.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"


def new_salt() -> str:
    return secrets.token_hex(32)


def secret_of(salt: str, key: str) -> str:
    made = hmac.new(key.encode(), f"galley webhook {salt}".encode(), hashlib.sha256).digest()
    return PREFIX + base64.urlsafe_b64encode(made).decode().rstrip("=")


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def signature(signed_with: Sequence[str], timestamp: int, body: bytes) -> str:
    """The header's value: `t=…,v1=…`, with one v1 for each secret that holds. Over `timestamp.body`."""
    message = str(timestamp).encode() + b"." + body
    made = (hmac.new(secret.encode(), message, hashlib.sha256).hexdigest() for secret in signed_with)
    return ",".join([f"t={timestamp}", *(f"v1={one}" for one in made)])
