"""What people say about a release on its page, beside the decisions: questions, answers, what they looked at."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from models_app.foundation import audit
from models_app.foundation.errors import InvalidInput, NotAllowed
from models_app.foundation.roles import require
from models_app.models import Release, ReleaseComment
from models_app.texts.normalise import normalise

LONGEST_COMMENT = 5000


def comment_on_release(*, release: Release, text: str, actor: Any | None) -> ReleaseComment:
    """For all who see the release. It decides nothing, and nobody changes it afterwards."""
    if not isinstance(actor, User):
        raise NotAllowed("Only a person comments on a release.")
    require(actor, "view_models")
    text = normalise(text)
    if not text:
        raise InvalidInput("Write a comment.", fields={"text": "Write a comment."})
    if len(text) > LONGEST_COMMENT:
        message = f"Write at most {LONGEST_COMMENT:,} characters."
        raise InvalidInput(message, fields={"text": message})
    with transaction.atomic():
        comment = ReleaseComment.objects.create(release=release, author=actor, text=text)
        audit.record(actor=actor, action="release.comment", subject=release, data={"comment": comment.pk})
    return comment
