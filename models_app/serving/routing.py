"""Which release and slot a request goes to, as each web process last read it."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from dataclasses import dataclass

from django.conf import settings

from models_app.models import Route, Slot
from models_app.models.releases import PRODUCTION

# A switch reaches every web process within this time; until then the slot of the release before still answers.
FRESH_SECONDS = 0.5


@dataclass(frozen=True)
class Target:
    """The live release of the environment and where its slot listens; no release where nothing is live."""

    epoch: int
    salt: str
    release_id: int | None
    model_version_id: int | None
    prompt_version_id: int | None
    max_words: int
    slot_state: str
    address: str


class Router:
    """One for each process; `current` asks the database at most twice a second."""

    def __init__(self, environment: str = PRODUCTION) -> None:
        self.environment = environment
        self._lock = threading.Lock()
        self._target: Target | None = None
        self._read_at = float("-inf")

    def current(self) -> Target:
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
        .values_list(
            "epoch", "salt", "release_id", "release__model_version_id", "release__prompt_version_id",
            "release__decoding", "release__slot__state", "release__slot__address",
        )
        .get()
    )  # fmt: skip
    epoch, salt, release_id, model_id, prompt_id, decoding, state, address = row
    return Target(
        epoch=epoch,
        salt=salt,
        release_id=release_id,
        model_version_id=model_id,
        prompt_version_id=prompt_id,
        max_words=int((decoding or {}).get("max_words", 60)),
        slot_state=state or Slot.State.STOPPED,
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
