"""Data sets of Hugging Face, streamed."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from django.conf import settings

from models_app.foundation.errors import InvalidInput, Unavailable
from reviews.ingest.sources.source import Record, Source

# Which configuration is meant where none is named.
_CONFIGS = {"abisee/cnn_dailymail": "3.0.0", "ccdv/cnn_dailymail": "3.0.0", "cnn_dailymail": "3.0.0"}


def open_hub(name: str, *, config: str = "", split: str = "") -> Source:
    """Ask the hub for a data set. Raises InvalidInput for names that it does not know, Unavailable without it."""
    from models_app.ml import hub_data  # loads a large library

    name = name.strip()
    config = config.strip() or _CONFIGS.get(name, "")
    try:
        found = hub_data.open_data_set(
            name, config=config, split=split.strip() or "train", offline=_offline()
        )
    except hub_data.DataSetRefused as error:
        raise InvalidInput(error.message, fields={"hub": error.message}) from error
    except hub_data.HubUnreachable as error:
        raise Unavailable(error.message, retry_after=60, code="hub_unreachable") from error
    if not found.columns:
        raise InvalidInput(f"{found.name} has no rows.", fields={"hub": "It has no rows."})

    done = 0

    def records(wanted: Collection[str] | None) -> Iterator[Record]:
        nonlocal done
        done = 0
        try:
            for values in found.rows(None if wanted is None else list(wanted)):
                done += 1
                yield done, values
        except hub_data.HubUnreachable as error:
            raise Unavailable(error.message, retry_after=60, code="hub_unreachable") from error

    return Source(found.name, "hub", found.columns, records, lambda: (done, found.total))


def _offline() -> bool:
    return bool(settings.GALLEY_OFFLINE)
