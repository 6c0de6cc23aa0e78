"""Which split a document belongs to: by salted hash, for ever. Pure."""

from __future__ import annotations

import hashlib


def split_of(key: str, *, salt: str, shares: tuple[int, int, int]) -> str:
    """'train', 'validation' or 'test' for a group key or content hash; `shares` are percentages in that order.

    The hash decides, so that the same document gets the same split in every installation of the same salt and shares,
    whatever else is imported before or after it.
    """
    bucket = int.from_bytes(hashlib.sha256(f"{salt}\x1f{key}".encode()).digest()[:8], "big") % 10_000
    train, validation, _ = shares
    if bucket < train * 100:
        return "train"
    return "validation" if bucket < (train + validation) * 100 else "test"
