"""Which release and slot a request goes to, as each web process last read it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

from django.conf import settings

from models_app.models import Route, Slot
from models_app.models.releases import PRODUCTION

# A switch reaches every web process within this time; until then the slot of the release before still answers.
FRESH_SECONDS = 0.5
BUCKETS = 10_000
LIVE, CANARY = "live", "canary"


@dataclass(frozen=True)
class Arm:
    """A release that requests go to, and where its slot listens; no release where nothing is live."""

    name: str  # "live" or "canary"
    release_id: int | None
    model_version_id: int | None
    prompt_version_id: int | None
    max_words: int
    slot_state: str
    address: str

    @property
    def ready(self) -> bool:
        return self.slot_state == Slot.State.READY


@dataclass(frozen=True)
class Target:
    """An environment's live release, and the canary with its share of the requests."""

    epoch: int
    salt: str
    live: Arm
    canary: Arm | None = None
    weight: int = 0  # percent

    @property
    def addresses(self) -> list[str]:
        return [arm.address for arm in (self.live, self.canary) if arm is not None]

    def arm(self, bucket: int) -> Arm:
        """Buckets below the weight go to the canary: who is there at 10 % is there at 50 %."""
        if self.canary is not None and bucket < self.weight * (BUCKETS // 100):
            return self.canary
        return self.live

    def bucket(self, *, user: str, session: str) -> int:
        """The same for a user, or for a session where no user is named, as long as the salt stays; any, where neither
        is."""
        if not user and not session:
            return secrets.randbelow(BUCKETS)
        kind, value = ("user", user) if user else ("session", session)
        return int(person_hash(f"bucket of {kind}", value, salt=self.salt), 16) % BUCKETS


class Kept(Protocol):
    """Who reads the route for this process by itself; both are None where the database is to be asked after all."""

    def target(self) -> Target | None: ...

    def renewed_target(self) -> Target | None: ...


class Router:
    """One for each process; `current` asks the database at most twice a second, and not at all where the process keeps
    the route by itself (`keeping.py`)."""

    def __init__(self, environment: str = PRODUCTION) -> None:
        self.environment = environment
        self.kept: Kept | None = None
        self._lock = threading.Lock()
        self._target: Target | None = None
        self._read_at = float("-inf")

    def current(self) -> Target:
        if self.kept is not None and (kept := self.kept.target()) is not None:
            return kept
        target = self._target
        if target is not None and time.monotonic() - self._read_at < FRESH_SECONDS:
            return target
        # one thread asks; the others go on with what they have, unless there is nothing yet
        if target is not None and not self._lock.acquire(blocking=False):
            return target
        if target is None:
            self._lock.acquire()
        try:
            return self._read()
        finally:
            self._lock.release()

    def reread(self) -> Target:
        """After a failure: what the database says now."""
        if self.kept is not None and (kept := self.kept.renewed_target()) is not None:
            return kept
        with self._lock:
            return self._read()

    def _read(self) -> Target:
        began = time.monotonic()
        self._target = read_target(self.environment)
        self._read_at = began
        return self._target


def read_target(environment: str = PRODUCTION) -> Target:
    row = (
        Route.objects.filter(environment__name=environment)
        .values_list("epoch", "salt", "canary_weight", *_fields("release"), *_fields("canary"))
        .get()
    )
    epoch, salt, weight, *both = row
    live, canary = both[: len(_ARM)], both[len(_ARM) :]
    return Target(
        epoch=epoch,
        salt=salt,
        live=_arm(LIVE, *live),
        canary=_arm(CANARY, *canary) if canary[0] is not None else None,
        weight=weight,
    )


_ARM = ("id", "model_version_id", "prompt_version_id", "decoding", "slot__state", "slot__address")


def _fields(release: str) -> list[str]:
    return [f"{release}__{field}" for field in _ARM]


def _arm(
    name: str,
    release_id: int | None,
    model_version_id: int | None,
    prompt_version_id: int | None,
    decoding: dict[str, Any] | None,
    slot_state: str | None,
    address: str | None,
) -> Arm:
    return Arm(
        name=name,
        release_id=release_id,
        model_version_id=model_version_id,
        prompt_version_id=prompt_version_id,
        max_words=int((decoding or {}).get("max_words", 60)),
        slot_state=slot_state or Slot.State.STOPPED,
        address=address or "",
    )


router = Router()


def person_hash(kind: str, value: str, *, salt: str) -> str:
    """A client's user or session as it is kept; empty stays empty. The route's salt lies in the database, beside what
    it protects: the installation's secret does not."""
    return keyed_hash(kind, value, salt=f"{salt}{settings.SECRET_KEY}")


def keyed_hash(kind: str, value: str, *, salt: str) -> str:
    """HMAC-SHA256 with the salt as its key, 32 hex digits; empty stays empty.

    The same person gives the same hash as long as the salt stays, and nobody without it finds the person.
    """
    if not value:
        return ""
    return hmac.new(
        salt.encode(), f"{kind}:{value}".encode(errors="surrogatepass"), hashlib.sha256
    ).hexdigest()[:32]
