"""Snapshot rows in the shapes that training tools read. Pure but for `rows_of`, which streams from the database."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from models_app.ml.prompting import PromptSpec, render
from models_app.models import DatasetSnapshot, SnapshotExample

FORMATS = {
    "sft": "prompt and completion",
    "chat": "messages: system, user, assistant",
    "dpo": "prompt, chosen, rejected; only rows with a draft that lost",
    "csv": "article, summary, title, domain, split, rejected",
}
COLUMNS = ("article", "summary", "title", "domain", "split", "rejected")


@dataclass(frozen=True)
class Prompting:
    """The prompt as a model is shown it in training and serving. `max_words` fills {max_words}."""

    spec: PromptSpec
    max_words: int = 60

    def system(self, row: SnapshotExample) -> str:
        return render(self.spec.system, self._values(row))

    def user(self, row: SnapshotExample) -> str:
        return render(self.spec.template, self._values(row))

    def flat(self, row: SnapshotExample) -> str:
        """Where there is no place for a system message, it goes before."""
        system, user = self.system(row), self.user(row)
        return f"{system}\n\n{user}" if system else user

    def _values(self, row: SnapshotExample) -> dict[str, str]:
        return {
            "text": row.source, "title": row.title, "domain": row.domain, "max_words": str(self.max_words),
        }  # fmt: skip


def _sft(row: SnapshotExample, prompting: Prompting) -> dict[str, Any]:
    return {"prompt": prompting.flat(row), "completion": row.target}


def _chat(row: SnapshotExample, prompting: Prompting) -> dict[str, Any]:
    system = prompting.system(row)
    messages = [{"role": "system", "content": system}] if system else []
    messages += [
        {"role": "user", "content": prompting.user(row)},
        {"role": "assistant", "content": row.target},
    ]
    return {"messages": messages}


def _dpo(row: SnapshotExample, prompting: Prompting) -> dict[str, Any] | None:
    if not row.rejected:
        return None
    return {"prompt": prompting.flat(row), "chosen": row.target, "rejected": row.rejected}


_SHAPES: dict[str, Callable[[SnapshotExample, Prompting], dict[str, Any] | None]] = {
    "sft": _sft,
    "chat": _chat,
    "dpo": _dpo,
}


def shaped(row: SnapshotExample, *, format: str, prompting: Prompting) -> dict[str, Any] | None:  # noqa: A002
    """One row as "sft", "chat" or "dpo"; None where it has nothing for that."""
    return _SHAPES[format](row, prompting)


def rows_of(snapshot: DatasetSnapshot, split: str = "") -> Iterator[SnapshotExample]:
    """In their frozen order, a few at a time."""
    rows = SnapshotExample.objects.filter(snapshot=snapshot).order_by("position")
    return (rows.filter(split=split) if split else rows).iterator(chunk_size=200)


def lines(rows: Iterable[SnapshotExample], *, format: str, prompting: Prompting) -> Iterator[str]:  # noqa: A002
    """The file's lines with their line ends. Raises KeyError for a format that is not in FORMATS."""
    if format == "csv":
        yield from _csv_lines(rows)
        return
    for row in rows:
        values = shaped(row, format=format, prompting=prompting)
        if values is not None:
            yield json.dumps(values, ensure_ascii=False) + "\n"


class _Line:
    def write(self, line: str) -> str:
        return line


def _csv_lines(rows: Iterable[SnapshotExample]) -> Iterator[str]:
    writer = csv.writer(_Line(), lineterminator="\n")
    yield writer.writerow(COLUMNS)
    for row in rows:
        yield writer.writerow([row.source, row.target, row.title, row.domain, row.split, row.rejected])
