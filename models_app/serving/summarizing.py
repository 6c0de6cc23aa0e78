"""A client's request for a summary: checked, served by the live release, logged whatever the outcome."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from models_app.foundation.errors import GalleyError, InvalidInput, Unavailable
from models_app.foundation.fingerprints import fingerprint
from models_app.models import InferenceRequest
from models_app.monitoring import metrics
from models_app.serving import client as serving
from models_app.serving.client import ServedSummary
from models_app.serving.request_log import request_log
from models_app.serving.routing import Arm, person_hash, router
from models_app.texts.measures import unsupported_numbers
from models_app.texts.normalise import normalise, one_line


class Unquoted(Exception):
    """In place of an error whose words may quote a text that is not to be kept."""


OUTCOMES = {
    "overloaded": InferenceRequest.Outcome.OVERLOADED,
    "unavailable": InferenceRequest.Outcome.UNAVAILABLE,
    "timeout": InferenceRequest.Outcome.TIMEOUT,
    "abandoned": InferenceRequest.Outcome.ABANDONED,
}


def summarize(
    *,
    text: str,
    title: str = "",
    domain: str = "",
    user: str = "",
    session: str = "",
    max_words: int | None = None,
    client_id: int | None,
    token_key: str = "",
    gone: Callable[[], bool] | None = None,
) -> InferenceRequest:
    """The logged request with its summary. Users and sessions are kept as keyed hashes, and so are the texts where the
    setting says that they are not to be kept; the returned row has its summary even then.

    Raises InvalidInput (nothing is asked of the model, nothing logged) where the text is too short or too long, and
    what `serving.client.generate` raises, logged. `gone` says whether the client has closed the connection; then the
    model is not asked, or not any more.
    """
    text = _checked(text)
    request_log.make_sure_of_room()
    target = router.current()
    row = InferenceRequest(
        client_id=client_id,
        token_key=token_key,
        user_hash=person_hash("user", user, salt=target.salt),
        session_hash=person_hash("session", session, salt=target.salt),
        title=one_line(title)[:300] if settings.GALLEY_KEEP_REQUEST_TEXT else "",
        domain=one_line(domain).lower()[:40],
        text=text if settings.GALLEY_KEEP_REQUEST_TEXT else "",
        text_hash=fingerprint("request text", text),
        input_words=len(text.split()),
        max_words=max_words,
    )
    asked = serving.Asked(target.bucket(user=user, session=session))
    try:
        served = serving.generate(
            text=text, title=one_line(title), domain=row.domain, max_words=max_words, asked=asked, gone=gone
        )
    except GalleyError as error:
        _log_failure(row, asked.arm or target.live, error)
        raise
    except Exception as error:
        _log_failure(row, asked.arm or target.live, error)
        if settings.GALLEY_KEEP_REQUEST_TEXT:
            raise
        raise Unquoted(f"{type(error).__name__}; its words are not logged").with_traceback(
            error.__traceback__
        ) from None
    return _log_success(row, text, served)


def _checked(text: str) -> str:
    text = normalise(text)
    words = len(text.split())
    least, most = settings.GALLEY_MIN_DOCUMENT_WORDS, settings.GALLEY_MAX_DOCUMENT_WORDS
    if words < least:
        message = (
            f"The text has {words:,} {'word' if words == 1 else 'words'}; at least {least:,} are needed."
        )
    elif words > most:
        message = f"The text has {words:,} words; at most {most:,} are taken."
    else:
        return text
    raise InvalidInput(message, fields={"text": message})


def _log_success(row: InferenceRequest, text: str, served: ServedSummary) -> InferenceRequest:
    row.arm = served.arm
    row.release_id = served.release_id
    row.model_version_id = served.model_version_id
    row.prompt_version_id = served.prompt_version_id
    kept = settings.GALLEY_KEEP_REQUEST_TEXT
    row.summary = served.text if kept else ""
    row.summary_hash = "" if kept else summary_hash(served.text)
    row.summary_words = len(served.text.split())
    row.latency_ms = served.latency_ms
    row.queue_ms = served.queue_ms
    row.confidence = served.confidence
    row.outcome = InferenceRequest.Outcome.OK
    row.flags = _flags(text, served)
    request_log.add(row)
    row.summary, row.kept = served.text, served.kept
    metrics.summary_served(row)
    return row


def summary_hash(text: str) -> str:
    """By which a summary that was not kept is recognised."""
    return fingerprint("request summary", normalise(text))


def _flags(text: str, served: ServedSummary) -> list[str]:
    """What a reader should know about the summary before trusting it."""
    found = {
        "truncated": served.truncated,
        "length_limit": served.finish == "length",
        "unsupported_number": bool(unsupported_numbers(text, served.text)),
    }
    return [name for name, present in found.items() if present]


def _log_failure(row: InferenceRequest, arm: Arm, error: Exception) -> None:
    row.arm = arm.name
    row.release_id = arm.release_id
    row.model_version_id = arm.model_version_id
    row.prompt_version_id = arm.prompt_version_id
    code = error.code if isinstance(error, Unavailable) else "error"
    row.outcome = OUTCOMES.get(code, InferenceRequest.Outcome.ERROR)
    row.error = _said(error)[:300]
    request_log.add(row)
    metrics.summary_failed(row)


def _said(error: Exception) -> str:
    """Errors may quote what they are about."""
    if not settings.GALLEY_KEEP_REQUEST_TEXT:
        return error.code if isinstance(error, GalleyError) else type(error).__name__
    return error.message if isinstance(error, GalleyError) else f"{type(error).__name__}: {error}"
