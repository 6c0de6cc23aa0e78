"""Keyed hashes: the same text gives the same one in this installation, and nobody without its secret finds a text they
guess at, whatever they have of the database."""

from __future__ import annotations

from django.utils.crypto import salted_hmac


def fingerprint(purpose: str, text: str) -> str:
    """64 hex digits of HMAC-SHA256, by a key derived from the installation's secret; another for each purpose."""
    data = text.encode(errors="surrogatepass")
    return salted_hmac(f"galley.fingerprint.{purpose}", data, algorithm="sha256").hexdigest()
