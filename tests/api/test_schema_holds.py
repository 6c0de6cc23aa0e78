"""What the OpenAPI schema says is what the API does: Schemathesis asks every operation what the schema allows and much
that it does not, and compares each answer with what the schema says about it.

The same questions at every run: their number is bounded and nothing is drawn by chance.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core import signals
from django.core.cache import cache
from django.core.handlers.wsgi import WSGIHandler
from django.db import close_old_connections, transaction

from models_app.models import ApiToken
from tests import make
from tests.api.conftest import Api

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

EXAMPLES = 12
#: Of what the schema does not allow: mostly the same refusal.
WRONG_EXAMPLES = 4


@pytest.fixture
def app() -> Iterator[Callable[..., Any]]:
    """The API as a WSGI server runs it, in the test's transaction; what a request changes is taken back."""
    cache.clear()
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)
    logging.disable(logging.CRITICAL)
    handler = WSGIHandler()

    def answer(environ: Any, start_response: Any) -> Any:
        with transaction.atomic():
            parts = list(handler(environ, start_response))
            transaction.set_rollback(True)
        return parts

    yield answer
    logging.disable(logging.NOTSET)
    signals.request_started.connect(close_old_connections)
    signals.request_finished.connect(close_old_connections)


def test_every_operation_answers_as_the_schema_says(
    cast: make.Cast, one_of_each: dict[str, Any], app: Callable[..., Any], settings: Any
) -> None:
    import schemathesis  # heavy, and only here
    from hypothesis import HealthCheck, Phase, given
    from hypothesis import settings as bounded
    from schemathesis.checks import CHECKS
    from schemathesis.core.failures import FailureGroup
    from schemathesis.generation import GenerationMode

    settings.REST_FRAMEWORK = {**django_settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": {"token": None}}
    token = Api(cast.administrator, *ApiToken.SCOPES).token
    schema = schemathesis.openapi.from_wsgi("/api/schema/?format=json", app)
    checks = [
        check
        for check in CHECKS.get_all()
        if check.__name__
        in (
            "not_a_server_error",
            "status_code_conformance",
            "content_type_conformance",
            "response_schema_conformance",
        )
    ]
    assert len(checks) == 4
    wrong: dict[str, str] = {}
    statuses: dict[str, set[int]] = {}

    def ask(operation: Any, mode: Any, most: int, **fixed: Any) -> None:
        @bounded(
            max_examples=most, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode, **fixed))
        def asked(case: Any) -> None:
            answer = case.call(headers={"Authorization": f"Token {token}"})
            statuses.setdefault(operation.label, set()).add(answer.status_code)
            try:
                case.validate_response(answer, checks=checks)
            except FailureGroup as failures:
                for failure in failures.exceptions:
                    wrong.setdefault(f"{operation.label}: {failure}"[:900], case.as_curl_command()[:300])

        asked()

    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) > 25
    for operation in operations:
        place = operation.path.split("/")[3]
        fixed = {}
        if "{" in operation.path:
            name = "slug" if place == "queues" else "id"
            fixed = {"path_parameters": {name: one_of_each[place]}}
            ask(operation, GenerationMode.POSITIVE, 2)
        ask(operation, GenerationMode.POSITIVE, EXAMPLES, **fixed)
        if operation.body or operation.query:
            ask(operation, GenerationMode.NEGATIVE, WRONG_EXAMPLES)
    print(json.dumps({label: sorted(found) for label, found in statuses.items()}, indent=0))
    assert not wrong, "\n\n".join(f"{what}\n  {how}" for what, how in wrong.items())
    succeeded = {label for label, found in statuses.items() if min(found) < 300}
    assert len(succeeded) > len(operations) * 2 // 3, sorted(statuses.keys() - succeeded)
