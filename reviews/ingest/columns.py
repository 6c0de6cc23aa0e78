"""Which column of a file or data set holds what, whatever it is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from models_app.foundation.errors import InvalidInput
from reviews.ingest.fields import kept_columns

# Names that columns usually have, the best first. The keys are DocumentRow's fields.
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "text": ("article", "text", "document", "content", "body", "story", "dialogue", "source"),
    "reference": ("highlights", "summary", "reference", "abstract", "tldr", "target"),
    "title": ("title", "headline"),
    "external_id": ("id", "external_id", "guid", "doc_id"),
    "domain": ("domain", "category", "section"),
    "group_key": ("group", "group_key"),
    "licence": ("licence", "license"),
}
#: What stands before the name of a field that has no place of its own.
OTHER = "fields."
_SHORT_NAMES = {"id": "external_id", "group": "group_key", "license": "licence"}


def full_mapping(mapping: Mapping[str, str] | None) -> dict[str, str]:
    """With DocumentRow's names. Raises InvalidInput for fields that there are not."""
    named = {_SHORT_NAMES.get(name, name): column for name, column in (mapping or {}).items()}
    for name in named:
        if name not in USUAL_NAMES:
            known = "text, title, reference, id, domain, group, licence"
            raise InvalidInput(f"There is no field {name!r} to map a column to. There are {known}.",
                               fields={"mapping": f"unknown field {name}"})  # fmt: skip
    return named


def choose_columns(
    columns: Iterable[str], mapping: Mapping[str, str] | None = None, keep: Iterable[str] = ()
) -> dict[str, str]:
    """Field → column: those that `mapping` names, the rest by usual names, then the columns to keep beside them, as
    OTHER and a name. Raises InvalidInput for a column that is not there, and where nothing can be the text."""
    columns = tuple(columns)
    named = full_mapping(mapping)
    for name, column in named.items():
        if column and column not in columns:
            raise InvalidInput(
                f"There is no column {column!r} for {name}. The columns are {listed(columns)}.",
                fields={name: f"There is no column {column!r}."},
            )
    chosen = guess_columns(columns, named)
    if "text" not in chosen:
        raise InvalidInput(
            f"No column is known to hold the article's text. The columns are {listed(columns)}; "
            f"usual names are {', '.join(USUAL_NAMES['text'])}. Say which it is (text=COLUMN).",
            fields={"text": "Say which column holds the article's text."},
        )
    if chosen.get("reference") == chosen["text"]:
        raise InvalidInput(
            f"{chosen['text']!r} cannot be both the text and its reference summary.",
            fields={"reference": "This column is the text already."},
        )
    return chosen | {f"{OTHER}{name}": column for name, column in kept_columns(columns, keep).items()}


def guess_columns(columns: tuple[str, ...], named: Mapping[str, str]) -> dict[str, str]:
    """What is named, and for the fields that are not, columns of usual names; perhaps without the text."""
    chosen = {name: column for name, column in named.items() if column}
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    for name, usual in USUAL_NAMES.items():
        if name in named:
            continue
        found = next((by_name[word] for word in usual if word in by_name), None)
        if found is not None and found not in chosen.values():
            chosen[name] = found
    return chosen


def listed(columns: tuple[str, ...]) -> str:
    shown = [column if len(column) <= 40 else column[:39] + "…" for column in columns[:30]]
    more = f" and {len(columns) - 30} more" if len(columns) > 30 else ""
    return (", ".join(repr(column) for column in shown) or "none") + more
