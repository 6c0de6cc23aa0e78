"""A slot: one process, one release, one engine, one Unix socket. Knows no Django and no database.

`serving.supervising` starts it as `python -m models_app.serving.slot` with a `SlotSpec` as JSON on standard input. On
standard output it says one line: that it is ready, or why it cannot be. It ends with its parent, or on TERM once what
it was asked is answered. A process of its own, because torch keeps memory until its process exits.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import socketserver
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import psutil
import setproctitle

from models_app.ml.errors import MLError
from models_app.ml.prompting import PromptSpec
from models_app.ml.recipe import Decoding
from models_app.serving import wire
from models_app.serving.batching import Batcher, DeadlinePassed, Overloaded

log = logging.getLogger("galley.slot")

DRAIN_SECONDS = 4.0
WARM_UP = "The harbour of Nordhaven opened on Monday. Ferries to both islands leave from there again."
WARM_UP_WORDS = 8


@dataclass(frozen=True)
class SlotSpec:
    """Everything a slot needs to know."""

    release: int
    engine: str  # lead, ctranslate2 or transformers
    artefact: str  # directory; empty for lead
    digest: str  # of the artefact's manifest
    stamp: str  # file that says the artefact was hashed; empty for lead
    address: str
    prompt: Mapping[str, Any]
    decoding: Mapping[str, Any]
    threads: int
    device: str
    most_waiting: int
    parent: int
    keep_bytes: int = 0  # of answers that are kept for equal requests
    quotes: bool = True  # whether the log may have an error's own words, which may quote a text

    @classmethod
    def read(cls, stream: BinaryIO) -> SlotSpec:
        return cls(**json.loads(stream.read()))

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Slot:
    """The engine behind its queue, and what may be asked of it."""

    def __init__(self, spec: SlotSpec, engine: Any) -> None:
        self.spec = spec
        self.engine = engine
        self.prompt = PromptSpec.from_dict(spec.prompt)
        self.decoding = Decoding.from_dict(spec.decoding)
        self.started = time.monotonic()
        self.batcher = Batcher(
            lambda requests, prompt: engine.generate(requests, prompt=prompt, decoding=self.decoding),
            workers=engine.capacity.replicas,
            most_waiting=spec.most_waiting,
            most_requests=engine.capacity.requests,
            most_tokens=engine.capacity.tokens,
            longest_tokens=self.decoding.max_input_tokens,
            keep_bytes=spec.keep_bytes,
        )

    def warm_up(self) -> None:
        """A few words on each replica, so that no client waits for what the first summary takes besides itself, and a
        model that cannot write never gets one. Raises what the engine raises."""

        def write(number: int) -> None:
            request = GenerationRequest(f"{number}. {WARM_UP}", max_words=WARM_UP_WORDS)
            self.engine.generate([request], prompt=self.prompt, decoding=self.decoding)

        from models_app.ml.engines import GenerationRequest

        replicas = self.engine.capacity.replicas
        with ThreadPoolExecutor(replicas) as threads:
            list(threads.map(write, range(replicas)))

    def health(self) -> dict[str, Any]:
        return {
            "release": self.spec.release,
            "engine": self.engine.name,
            "precision": self.engine.precision,
            "pid": os.getpid(),
            "rss_bytes": psutil.Process().memory_info().rss,
            "uptime_seconds": time.monotonic() - self.started,
            "waiting": self.batcher.waiting,
            "active": self.batcher.active,
            **asdict(self.batcher.counters),
        }

    def generate(self, asked: Mapping[str, Any], gone: Callable[[], bool]) -> dict[str, Any]:
        """`gone`: whether nobody waits for the answer any more.

        Raises Overloaded, DeadlinePassed, MLError and ValueError (the request does not suit the model), wire.AskerGone.
        """
        from models_app.ml.engines import GenerationRequest

        deadline = time.monotonic() + float(asked["timeout_ms"]) / 1000
        prompt = PromptSpec.from_dict(asked["prompt"]) if "prompt" in asked else self.prompt
        request = GenerationRequest(
            text=asked["text"], title=asked["title"], domain=asked["domain"], max_words=asked["max_words"]
        )
        ticket = self.batcher.submit(request, prompt=prompt, deadline=deadline)
        while not ticket.done.wait(min(wire.GONE_SECONDS, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                break
            if gone():
                self.batcher.abandon(ticket)
                raise wire.AskerGone
        generation = ticket.result()
        return {**asdict(generation), "queue_ms": ticket.queue_ms, "kept": ticket.kept}


# ---------------------------------------------------------------- the socket


class _Handler(socketserver.StreamRequestHandler):
    """One connection, kept as long as the other side keeps it."""

    server: _Server

    def handle(self) -> None:
        with suppress(OSError):  # the other side went away
            while self._handle_one():
                pass

    def _handle_one(self) -> bool:
        try:
            message = wire.read_message(self.rfile)  # type: ignore[arg-type]
        except wire.BadMessage as error:
            self.wfile.write(wire.answer(400, _error("bad_request", f"The message {error}.")))
            return False
        if message is None:
            return False
        with suppress(wire.AskerGone):
            self.wfile.write(wire.answer(*self.server.answer(message, self._is_gone)))
            return message.keep_alive
        return False

    def _is_gone(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:  # it waits
            return False
        except OSError:
            return True


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        path = Path(slot.spec.address)
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()  # of an earlier process of this slot
        super().__init__(slot.spec.address, _Handler)
        path.chmod(0o600)

    def answer(self, message: wire.Message, gone: Callable[[], bool]) -> tuple[int, Any]:
        if message.start.startswith("GET /health "):
            return 200, self.slot.health()
        if not message.start.startswith("POST /generate "):
            return 404, _error("not_found", "There is GET /health and POST /generate.")
        try:
            return 200, self.slot.generate(message.json(), gone)
        except Overloaded as full:
            said = "Too many requests wait for the model. Try again in a moment."
            return 503, _error("overloaded", said, retry_after=full.retry_after)
        except DeadlinePassed:
            said = "The summary took longer than is allowed. Try again later."
            return 503, _error("timeout", said, retry_after=10)
        except wire.AskerGone:
            raise
        except (MLError, ValueError) as error:
            return 422, _error("invalid", str(error), field="prompt")
        except Exception as error:
            if self.slot.spec.quotes:
                log.exception("a request failed")
            else:
                where = "".join(traceback.format_tb(error.__traceback__))
                log.error("a request failed: %s\n%s", type(error).__name__, where)
            said = f"The model failed on this request ({type(error).__name__}). It has been logged."
            return 503, _error("error", said, retry_after=5)


def _error(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **more}}


# ---------------------------------------------------------------- the engine


def load(spec: SlotSpec) -> Any:
    """The engine, its artefact's files checked. Raises MLError with what to do."""
    from models_app.ml import engines

    if spec.engine == "lead":
        return engines.LeadEngine(sentences=3)
    verify_once(Path(spec.artefact), digest=spec.digest, stamp=Path(spec.stamp))
    backend: Any = spec.engine
    return engines.load_engine(Path(spec.artefact), backend=backend, threads=spec.threads, device=spec.device)


def verify_once(artefact: Path, *, digest: str, stamp: Path) -> None:
    """Hash every file, once: as long as names, sizes and times are those of the last whole check, that one counts.

    Raises DamagedArtefact.
    """
    from models_app.ml import artefacts

    manifest = artefacts.read_manifest(artefact)
    if manifest.digest != digest:
        raise artefacts.DamagedArtefact(
            f"{artefact} holds another model than the one that was registered. Restore it from a backup."
        )
    seen = json.dumps([manifest.to_dict(), _stats(artefact)], sort_keys=True)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == seen:
        return
    artefacts.verify(artefact)
    beside = stamp.with_name(f".{stamp.name}.{os.getpid()}")
    beside.write_text(seen, encoding="utf-8")
    beside.replace(stamp)


def _stats(artefact: Path) -> list[list[Any]]:
    files = sorted(path for path in artefact.rglob("*") if path.is_file())
    return [
        [path.relative_to(artefact).as_posix(), found.st_size, found.st_mtime_ns, found.st_ino]
        for path in files
        for found in [path.stat()]
    ]


# ---------------------------------------------------------------- the process


def _take_over_standard_output() -> Callable[[dict[str, Any]], None]:
    """The pipe to the supervisor, kept from libraries that print: what they say goes to the log."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(status: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # the supervisor has gone; so will we
            pipe.write(json.dumps(status) + "\n")
            pipe.flush()

    return say


def main() -> int:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    spec = SlotSpec.read(sys.stdin.buffer)
    say = _take_over_standard_output()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != spec.parent:
        return 1  # it went before the kernel could be asked to tell us
    setproctitle.setproctitle(f"galley slot of release {spec.release}")
    began = time.monotonic()
    try:
        slot = Slot(spec, load(spec))
        slot.warm_up()
    except MLError as error:
        say({"failed": error.message, "final": True})
        return 2
    except Exception as error:
        log.exception("the engine could not be loaded, or could not write")
        say({"failed": f"{type(error).__name__}: {error}"[:1000], "final": False})
        return 2
    server = _Server(slot)
    accepting = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True)
    accepting.start()
    log.info("release %s is loaded in %.2f s", spec.release, time.monotonic() - began)
    say({"ready": True, **slot.health()})
    while not stop.wait(1.0):
        if os.getppid() != spec.parent:
            return 1
    server.shutdown()
    server.server_close()
    drained = slot.batcher.drain(DRAIN_SECONDS)
    time.sleep(0.05)  # answers that are ready reach their sockets
    log.info("release %s is stopped%s", spec.release, "" if drained else "; some requests were not answered")
    return 0


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # engines' own threads may hold up an orderly end for seconds
    os._exit(code)
