"""Asking the live release for a summary, from any process: route, connection, retry after a switch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from models_app.engines import prompt_spec
from models_app.foundation import turns
from models_app.foundation.errors import InvalidInput, Unavailable
from models_app.ml.prompting import PromptSpec
from models_app.models import PromptVersion, Slot
from models_app.serving import wire
from models_app.serving.routing import CANARY, Arm, Target, router

CONNECT_SECONDS = 2.0
# The first try, a second after a switch or a closed connection, a third when both came together.
TRIES = 3


@dataclass(frozen=True)
class ServedSummary:
    """What the live release wrote, and how. Tokens are the model's; `finish` is 'stop' or 'length'."""

    text: str
    release_id: int
    model_version_id: int
    prompt_version_id: int | None  # None where a prompt that is no version was tried
    latency_ms: float
    queue_ms: float
    input_tokens: int
    output_tokens: int
    truncated: bool
    finish: str
    kept_text_tokens: int
    total_text_tokens: int
    confidence: float | None
    arm: str = "live"  # or "canary"
    kept: bool = False  #: written before, for an equal text


class Asked:
    """Which release a request goes to: the canary where its bucket is below the canary's share and the canary answers.
    `arm` is the one that was asked last, also after an error; None before the first."""

    def __init__(self, bucket: int | None = None) -> None:
        """Without a bucket it is the live release."""
        self._bucket = bucket
        self.arm: Arm | None = None

    def choose(self, target: Target) -> Arm:
        self.arm = target.live if self._bucket is None else target.arm(self._bucket)
        if self.arm.name == CANARY and not self.arm.ready:
            self.arm = target.live
        return self.arm

    def canary_failed(self) -> None:
        """A request that finds the canary's process gone goes to the live release: no client pays for a trial."""
        self._bucket = None


class _SlotGone(Exception):
    """Nobody answers at the address: the slot was stopped, switched away, or killed."""


def generate(
    *,
    text: str,
    title: str = "",
    domain: str = "",
    max_words: int | None = None,
    prompt: PromptSpec | PromptVersion | None = None,
    timeout: float | None = None,
    asked: Asked | None = None,
    gone: Callable[[], bool] | None = None,
) -> ServedSummary:
    """A summary from the live slot, or from the canary's where `asked` says so; with `prompt`, from its model with that
    prompt instead of the release's.

    A request that meets a slot which was just switched away is sent to its successor. Raises Unavailable (code
    'overloaded', 'timeout', 'error' or 'unavailable', with the seconds after which to try again), and InvalidInput
    where the prompt or the lengths do not suit the model. `timeout` in seconds, GALLEY_REQUEST_SECONDS unless
    given. Where `gone` says that nobody waits any more, the slot is told, and Unavailable has the code 'abandoned'.
    """
    began = time.monotonic()
    deadline = began + (timeout or settings.GALLEY_REQUEST_SECONDS)
    spec = prompt_spec(prompt) if isinstance(prompt, PromptVersion) else prompt
    body: dict[str, Any] = {"text": text, "title": title, "domain": domain, "max_words": max_words}
    if spec is not None:
        body["prompt"] = spec.to_dict()
    asked = asked or Asked()
    target = router.current()
    if not target.live.ready:
        target = router.reread()
    for attempt in range(1, TRIES + 1):
        arm = asked.choose(target)
        try:
            answered = _ask(_address(arm), body, deadline, others=target.addresses, gone=gone)
        except _SlotGone as lost:
            if arm.name == CANARY:
                asked.canary_failed()
                continue
            fresh = router.reread()
            moved = fresh.live.address != arm.address or fresh.epoch != target.epoch
            if attempt == TRIES or (attempt > 1 and not moved):
                raise Unavailable(
                    "The model's process has just stopped; it is started again.", retry_after=2
                ) from lost
            target = fresh
        else:
            return _served(answered, arm, prompt, spec, (time.monotonic() - began) * 1000)
    raise AssertionError("unreachable")


def _address(arm: Arm) -> str:
    if arm.release_id is None:
        raise Unavailable("No release is live yet.", retry_after=10)
    if arm.ready:
        return arm.address
    if arm.slot_state == Slot.State.FAILED:
        raise Unavailable("The live model cannot be loaded; the deployments page says why.", retry_after=30)
    raise Unavailable("The live model is being loaded.", retry_after=2)


# ---------------------------------------------------------------- connections, kept open for each thread

_open = threading.local()


def _ask(
    address: str,
    body: dict[str, Any],
    deadline: float,
    *,
    others: Collection[str],
    gone: Callable[[], bool] | None,
) -> Any:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise _too_late()
    message = wire.request("POST", "/generate", {**body, "timeout_ms": remaining * 1000})
    kept: dict[str, wire.Connection] = _open.__dict__.setdefault("connections", {})
    connection = kept.pop(address, None)
    try:
        if connection is None:
            connection = wire.Connection(address, timeout=min(CONNECT_SECONDS, remaining))
        # the slot answers at the deadline at the latest; a little more, so that its words arrive
        with turns.requests.aside():
            answered = connection.ask(message, timeout=remaining + 0.5, gone=gone)
    except wire.AskerGone:
        _close(connection)
        raise Unavailable("The client has closed the connection.", code="abandoned") from None
    except TimeoutError as late:
        _close(connection)
        raise _too_late() from late
    except (OSError, wire.BadMessage) as error:
        _close(connection)
        raise _SlotGone(str(error)) from error
    _close_all_but(others, kept)
    if answered.keep_alive:
        kept[address] = connection
    else:
        connection.close()
    return _understood(answered)


def _close(connection: wire.Connection | None) -> None:
    if connection is not None:
        connection.close()


def _close_all_but(asked: Collection[str], kept: dict[str, wire.Connection]) -> None:
    """Connections to slots that are not asked any more, so that they can stop."""
    for address in set(kept) - set(asked):
        kept.pop(address).close()


# ---------------------------------------------------------------- answers


def _too_late() -> Unavailable:
    return Unavailable(
        "The summary took longer than is allowed. Try again later.", code="timeout", retry_after=10
    )


def _understood(answered: wire.Message) -> Any:
    value = answered.json()
    if answered.status == 200:
        return value
    error = value["error"]
    if answered.status == 422:
        raise InvalidInput(
            error["message"], fields={error["field"]: error["message"]} if "field" in error else None
        )
    raise Unavailable(error["message"], code=error["code"], retry_after=error["retry_after"])


def _served(
    value: dict[str, Any],
    arm: Arm,
    prompt: PromptSpec | PromptVersion | None,
    spec: PromptSpec | None,
    latency_ms: float,
) -> ServedSummary:
    assert arm.release_id is not None and arm.model_version_id is not None  # noqa: PT018  # nosec B101
    prompt_version_id = arm.prompt_version_id
    if spec is not None:
        prompt_version_id = prompt.pk if isinstance(prompt, PromptVersion) else None
    return ServedSummary(
        text=value["text"],
        arm=arm.name,
        release_id=arm.release_id,
        model_version_id=arm.model_version_id,
        prompt_version_id=prompt_version_id,
        latency_ms=latency_ms,
        queue_ms=value["queue_ms"],
        input_tokens=value["input_tokens"],
        output_tokens=value["output_tokens"],
        truncated=value["truncated"],
        finish=value["finish"],
        kept_text_tokens=value["kept_text_tokens"],
        total_text_tokens=value["total_text_tokens"],
        confidence=value["confidence"],
        kept=value["kept"],
    )
