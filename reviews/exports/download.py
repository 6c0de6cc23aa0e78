"""The answer that carries an export's file, for the page and for the API: streamed from the disk, kept by no cache."""

from __future__ import annotations

from base64 import b64encode

from django.contrib.auth.models import User
from django.http import FileResponse

from reviews.exports import requests
from reviews.models import Export

CONTENT_TYPES = {".csv": "text/csv; charset=utf-8", ".jsonl": "application/jsonl", ".zip": "application/zip"}


def download_of(*, export: Export, actor: User) -> FileResponse:
    """Raises what `exporting.open_file` raises."""
    file = requests.open_file(export=export, actor=actor)
    name = export.file.rpartition("/")[2]
    packed = name.endswith(".gz")
    suffix = name[name.index(".") :].removesuffix(".gz")
    kind = "application/gzip" if packed else CONTENT_TYPES[suffix]
    answer = FileResponse(file, as_attachment=True, filename=name, content_type=kind)
    answer["Cache-Control"] = "private, no-store"
    answer["Repr-Digest"] = f"sha-256=:{b64encode(bytes.fromhex(export.digest)).decode()}:"  # RFC 9530
    return answer
