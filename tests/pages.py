"""Pages as a browser reads them."""

from __future__ import annotations

import re
from typing import Any


def markup(answer: Any) -> str:
    """An answer with each run of spaces and line breaks as one space, and none before the end of a tag: how a template
    is laid out, and where it breaks a sentence, is nothing that a reader sees. A no-break space is."""
    return re.sub(r"[ \t\r\n]+", " ", re.sub(r"\s+>", ">", answer.content.decode()))
