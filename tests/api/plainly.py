"""The test client before the web process's whole application: the plain way first, then Django."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test import Client

from models_app.api.plain import PlainSummaries
from models_app.serving.keeping import Keeper, Known, read
from models_app.serving.outage import Outage


class Reading(Keeper):
    """Reads for each request, in the test's transaction."""

    def __init__(self) -> None:
        super().__init__(Outage())

    def known(self) -> Known | None:
        return read()


class FrontClient(Client):
    """`went_plain` says of the last request whether it was answered before Django."""

    def __init__(self, keeper: Keeper | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.went_plain = False
        self._django = self.handler
        self._answers: list[Any] = []
        self._plain = PlainSummaries(self._behind, keeper or Reading())
        self.handler = self._front  # type: ignore[assignment]

    def _behind(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self._answers.append(self._django(environ))
        return []

    def _front(self, environ: dict[str, Any]) -> HttpResponse:
        said: list[Any] = []
        parts = self._plain(environ, lambda *line: said.append(line))
        self.went_plain = not self._answers
        if self._answers:
            answer: HttpResponse = self._answers.pop()
            return answer
        (status, headers), *_ = said
        answer = HttpResponse(b"".join(parts), status=int(status.split()[0]), headers=dict(headers))
        answer.wsgi_request = WSGIRequest(environ)  # type: ignore[attr-defined]
        return answer
