"""Figures as a person reads them, the same on pages, in reports and in what commands print."""

from __future__ import annotations

DASH = "–"
MINUS = "−"


def number(value: float | None, places: int | None = 0) -> str:
    """1,204, 27.3 or −0.1 with a proper minus sign, never "−0.0"; as many places as it takes where they are None, and a
    dash where there is no value."""
    if value is None:
        return DASH
    written = f"{abs(value):,.10g}" if places is None else f"{abs(value):,.{places}f}"
    return f"{MINUS}{written}" if value < 0 and not _is_zero(written) else written


def signed(value: float | None, places: int | None = 1) -> str:
    """+2.2 or −0.1; 0.0 has no sign."""
    written = number(value, places)
    return f"+{written}" if value is not None and value > 0 and not _is_zero(written) else written


def interval(low: float | None, high: float | None, places: int) -> str:
    """−0.9 … 3.1, or a dash."""
    return DASH if low is None or high is None else f"{number(low, places)} … {number(high, places)}"


def _is_zero(written: str) -> bool:
    return not any(digit in written for digit in "123456789")
