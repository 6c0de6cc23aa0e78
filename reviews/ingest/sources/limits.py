"""How large what a file holds may be. Whatever a file says of itself is looked at before anything is made of it."""

from __future__ import annotations

from django.conf import settings

#: Bytes of one row: a line, an item, what a quoted value runs over. An article of 50,000 words has about 0.4 MB.
LONGEST_ROW = 16 << 20
MOST_COLUMNS = 1000
MOST_ROWS = 10_000_000
#: Objects and lists inside each other.
DEEPEST = 32
#: Bytes of a Parquet file's description of itself.
LONGEST_FOOTER = 8 << 20
#: What a packed file of the largest size may unpack to, in its multiples. Texts become three to five times as large.
_UNPACKED = 8


def most_unpacked_mb() -> int:
    most: int = settings.GALLEY_MAX_UPLOAD_MB
    return most * _UNPACKED
