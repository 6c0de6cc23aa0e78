"""Uploads end where the limit is: the rest of a file that is too large is read away and kept nowhere."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.forms import Form
from django.http import HttpRequest

from reviews.ingest.uploads import too_large

_MARK = "galley.upload_too_large"


class UploadLimit(FileUploadHandler):
    """First in the chain of handlers. The form puts its other fields before the file, so that they arrive."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self.received += len(raw_data)
        if self.received > settings.GALLEY_MAX_UPLOAD_MB << 20:
            if self.request is not None:
                self.request.META[_MARK] = self.file_name
            raise StopUpload(connection_reset=False)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """The handlers after this one make the file."""


def came_whole(request: HttpRequest, form: Form) -> bool:
    """Whether the form is valid and its file was not cut off; else it says what is wrong."""
    cut_off: str = request.META.get(_MARK, "")
    if cut_off:
        form.full_clean()
        form.errors["file"] = form.error_class([too_large(cut_off).message])
    return not cut_off and form.is_valid()
