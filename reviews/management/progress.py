from __future__ import annotations

import sys
import time


class Progress:
    """A line on a terminal that says how far it is; nothing where nobody looks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or now - self.at < 0.5:
            return
        self.at = now
        share = f"{done / total:.0%}" if total else f"{done:,} rows"
        print(f"\r{self.name}: {share} ", end="\r" if done >= total > 0 else "", file=sys.stderr, flush=True)
