"""Data sets on the Hugging Face hub, streamed row by row. No code that a data set brings along is run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models_app.ml.errors import MLError

NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_ASK_SECONDS = 15


class HubUnreachable(MLError):
    """The hub does not answer, or not any more."""


class DataSetRefused(MLError):
    """The hub answers, but not with this data set, configuration or split."""


@dataclass(frozen=True)
class DataSet:
    """`columns` is empty where there are no rows; `total` is 0 where the hub does not say."""

    name: str
    columns: tuple[str, ...]
    total: int
    rows: Callable[[Sequence[str] | None], Iterator[dict[str, Any]]]


def hub() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def open_data_set(name: str, *, config: str = "", split: str = "train", offline: bool = False) -> DataSet:
    """Find the data set and its columns. Raises DataSetRefused, HubUnreachable."""
    if not NAME.fullmatch(name):
        raise DataSetRefused(
            f"{name!r} is not the name of a data set on {hub()}, such as abisee/cnn_dailymail. "
            "Files are imported as files."
        )
    if Path(name).exists():
        raise DataSetRefused(f"{name} is a file or directory on this machine. Import files as files.")
    if offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise HubUnreachable(
            f"{name} was not fetched: this installation never asks the hub (GALLEY_OFFLINE, HF_HUB_OFFLINE). "
            + _by_hand(name)
        )
    _ask_for(name)
    return _streamed(name, config, split)


def _by_hand(name: str) -> str:
    return (
        f"On a machine with a network, download the Parquet or JSON Lines files of {name} from "
        f"{hub()}/datasets/{name} and import them as files."
    )


def _token() -> str | Literal[False]:
    return os.environ.get("HF_TOKEN") or False


def _ask_for(name: str) -> None:
    """One quick question first: the streaming library retries for half a minute before it gives up."""
    from huggingface_hub import HfApi, errors

    try:
        HfApi(endpoint=hub(), token=_token()).dataset_info(name, timeout=_ASK_SECONDS)
    except errors.GatedRepoError as error:
        raise DataSetRefused(
            f"{name} is gated: accept its terms on {hub()}/datasets/{name}, then set HF_TOKEN to a token of yours."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise DataSetRefused(
            f"{hub()} shows no data set {name}, or only to those with a token (HF_TOKEN). Check the name."
        ) from error
    except (errors.HTTPError, OSError) as error:
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> HubUnreachable:
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    return HubUnreachable(
        f"{name} could not be fetched from {hub()}: {reason}. Connect to the network and try again. {_by_hand(name)}"
    )


def _streamed(name: str, config: str, split: str) -> DataSet:
    import datasets
    from huggingface_hub import errors

    network = (ConnectionError, TimeoutError, errors.HTTPError)
    try:
        stream = datasets.load_dataset(name, config or None, split=split, streaming=True, token=_token())
        columns = tuple(stream.column_names or next(iter(stream), {}))
    except network as error:
        raise _unreachable(name, error) from error
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataSetRefused(f"{name}: {error}") from error
    except (ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        # unknown configuration or split (the message lists what there is), or a data set that is a script
        said = " ".join(str(error).partition("Example of usage")[0].split())
        raise DataSetRefused(f"{name} cannot be read: {said[:600]}") from error

    def rows(wanted: Sequence[str] | None) -> Iterator[dict[str, Any]]:
        chosen = stream.select_columns(list(wanted)) if wanted is not None else stream
        try:
            yield from chosen
        except network as error:
            raise _unreachable(name, error) from error

    label = " ".join(part for part in (name, config, split) if part)
    return DataSet(label, columns, _known_rows(stream.info, split), rows)


def _known_rows(info: Any, split: str) -> int:
    found = (info.splits or {}).get(split)
    return int(found.num_examples) if found is not None else 0
