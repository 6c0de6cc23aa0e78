"""Writing large files: whether there is room, and one clear error when there was none."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models_app.ml.errors import OutOfDisk

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# safetensors reports a failed write in the words of the system, torch in words of its own.
_FULL_IN_WORDS = re.compile(
    rf"os error ({'|'.join(map(str, _FULL))})\)|unexpected pos|PytorchStreamWriter failed", re.IGNORECASE
)


def require_room(directory: Path, needed: int, purpose: str) -> None:
    """Raises OutOfDisk unless `needed` bytes and a little more are free."""
    free = shutil.disk_usage(directory).free
    if free < needed + 64 * 2**20:
        raise OutOfDisk(
            f"{purpose} needs {needed / 1e9:.2f} GB, and the disk of {directory} has {free / 1e9:.2f} GB left. "
            "Free some space and try again."
        )


@contextmanager
def disk_errors(directory: Path) -> Iterator[None]:
    """Turns what libraries raise on a full disk into OutOfDisk."""
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        raise OutOfDisk(
            f"The disk of {directory} is full: {error}. Free some space and resume; what was saved before is whole."
        ) from error


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return _FULL_IN_WORDS.search(str(error)) is not None
