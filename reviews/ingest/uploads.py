"""Files that were uploaded to be imported, from their arrival until they are in or nobody wants them.

One lies in `<GALLEY_HOME>/<place>/<SHA-256>/<name>`. The same file uploaded twice is kept once, and goes with the last
import that waits for it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from models_app.foundation import locks
from models_app.foundation.errors import Refused, TooLarge, Unavailable
from models_app.texts.normalise import one_line
from reviews.models import Import

_NOT_IN_NAMES = re.compile(r"[^\w.() -]+")


# ---------------------------------------------------------------- coming in


def keep(*, chunks: Iterable[bytes], name: str, place: str) -> Path:
    """Write an uploaded file to its place. Raises TooLarge, and Unavailable where the disk is full; leaves nothing
    behind then."""
    store = Path(settings.GALLEY_HOME) / place
    digest = hashlib.sha256()
    most = settings.GALLEY_MAX_UPLOAD_MB << 20
    size = 0
    with _room_on_disk(), _temporary(store) as beside:
        with beside.open("wb") as file:
            for chunk in chunks:
                size += len(chunk)
                if size > most:
                    raise too_large(name)
                digest.update(chunk)
                file.write(chunk)
        final = store / digest.hexdigest() / _safe_name(name)
        final.parent.mkdir(exist_ok=True)
        beside.rename(final)
    return final


def too_large(name: str) -> TooLarge:
    most = settings.GALLEY_MAX_UPLOAD_MB
    said = f"{name} has more than {most} MB, the most that is taken (GALLEY_MAX_UPLOAD_MB). Split it, or import it by"
    message = f"{said} the command import_documents after raising the limit."
    return TooLarge(message, fields={"file": message})


@contextmanager
def _temporary(store: Path) -> Iterator[Path]:
    store.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".incoming-", dir=store)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def _room_on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable("There is no room on the disk for this file. Nothing was kept of it.") from error


def _safe_name(name: str) -> str:
    """The file's name without anything that could lead out of its directory; it is shown in messages."""
    cleaned = one_line(_NOT_IN_NAMES.sub("_", one_line(name.replace("\\", "/").rpartition("/")[2])))
    stem, dot, suffix = cleaned.lstrip(".").rpartition(".")
    return f"{stem[:100]}{dot}{suffix[:20]}" if stem else (suffix[:100] or "upload")


# ---------------------------------------------------------------- waiting


def hold(path: Path) -> str:
    """For a new row that waits for the file, in its transaction: nobody removes the file until it is committed. Returns
    what the row keeps. Raises Unavailable where somebody who uploaded the same file has just removed it."""
    upload = str(path.relative_to(settings.GALLEY_HOME))
    _lock(upload)
    if not path.is_file():
        raise Unavailable(
            f"Another upload of {path.name} has just been removed, and this one with it. Send it again."
        )
    return upload


def _lock(upload: str) -> None:
    """Until the transaction ends: either a row comes to wait for the file, or the file goes."""
    locks.alone(locks.number_of(upload))


def path_of(row: Import) -> Path:
    """The file that waits to be imported. Raises Refused where it is gone."""
    path = Path(settings.GALLEY_HOME) / row.upload
    if not row.upload or not path.is_file():
        raise Refused(f"The file of {row.name} is not kept any more. Upload it again.")
    return path


def time_is_over() -> datetime:
    """What came before is forgotten."""
    return timezone.now() - timedelta(days=settings.GALLEY_UPLOAD_DAYS)


# ---------------------------------------------------------------- going


def drop(path: Path, *, waits: type[Import], but: int | None = None) -> None:
    """Remove a file, unless another import of this table waits for it."""
    upload = str(path.relative_to(settings.GALLEY_HOME))
    with transaction.atomic():
        _lock(upload)
        others = waits.objects.waiting_for(upload)
        if (others if but is None else others.exclude(pk=but)).exists():
            return
        path.unlink(missing_ok=True)
        with suppress(OSError):  # another file of the same content is in there
            path.parent.rmdir()


def drop_of(row: Import) -> None:
    """Of an import that is in, or forgotten."""
    drop(Path(settings.GALLEY_HOME) / row.upload, waits=type(row), but=row.pk)


def drop_strays(table: type[Import], *, place: str) -> None:
    """Files that came long ago and no import waits for: a process died between the two."""
    store, before = Path(settings.GALLEY_HOME) / place, time_is_over().timestamp()
    for path in store.glob("*/*") if store.is_dir() else ():
        with suppress(FileNotFoundError):  # another process tidies up too
            if path.stat().st_mtime < before:
                drop(path, waits=table)
