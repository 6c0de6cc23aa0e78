from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from models_app.foundation.errors import GalleyError
from models_app.web.pages import capability
from reviews.models import ReviewQueue

manages = capability("manage_queues")


def put_errors(form: forms.Form, error: GalleyError) -> None:
    for name, message in (error.fields or {"": error.message}).items():
        form.add_error(name if name in form.fields else None, message)


def queue_of(slug: str) -> ReviewQueue:
    return get_object_or_404(ReviewQueue.objects.select_related("rubric"), slug=slug)


def say(request: HttpRequest, error: GalleyError) -> None:
    messages.error(request, " ".join(dict.fromkeys([error.message, *error.fields.values()])))
