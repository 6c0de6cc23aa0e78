from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from models_app.ml import artefacts, convert, engines
from models_app.ml.artefacts import DamagedArtefact
from models_app.ml.engines import Capacity, Generation, GenerationRequest
from models_app.ml.errors import PromptTooLong
from models_app.ml.prompting import PromptSpec
from models_app.ml.recipe import Decoding
from models_app.serving import wire
from models_app.serving.slot import Slot, SlotSpec, _Server, verify_once
from tests import make
from tests.tiny_models import make_tiny_bert2bert, make_tiny_t5

DECODING = {"max_new_tokens": 12, "max_words": 60, "max_input_tokens": 64}


@pytest.fixture
def spec(tmp_path: Path) -> SlotSpec:
    return SlotSpec(
        release=7, engine="lead", artefact="", digest="", stamp="", address=str(tmp_path / "s.sock"),
        prompt={"kind": "prefix", "system": "", "template": "summarize: {text}"}, decoding=DECODING, threads=1,
        device="cpu", most_waiting=2, parent=os.getpid(),
    )  # fmt: skip


class HeldEngine:
    """An engine that answers when told to."""

    name = "held"
    precision = "none"
    capacity = Capacity(replicas=1, requests=1, tokens=1000)

    def __init__(self) -> None:
        self.go = threading.Event()
        self.prompts: list[PromptSpec] = []
        self.texts: list[str] = []

    def generate(
        self, requests: Sequence[GenerationRequest], *, prompt: PromptSpec, decoding: Decoding
    ) -> list[Generation]:
        self.prompts.append(prompt)
        self.texts.append(requests[0].text)
        assert self.go.wait(10)
        if requests[0].title == "too long":
            raise PromptTooLong("The prompt without the article is too long.")
        if requests[0].title == "break":
            raise MemoryError("no memory")
        return [Generation(request.text[:20], 9, 3, 9, 9, False, "stop") for request in requests]


@pytest.fixture
def engine() -> HeldEngine:
    return HeldEngine()


@pytest.fixture
def served(spec: SlotSpec, engine: HeldEngine) -> Iterator[str]:
    """The address of a slot with the held engine in it."""
    server = _Server(Slot(spec, engine))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield spec.address
    engine.go.set()
    server.shutdown()
    server.server_close()


def ask(address: str, *, seconds: float = 5, **asked: Any) -> wire.Message:
    body = {
        "text": make.ARTICLE,
        "title": "",
        "domain": "",
        "max_words": None,
        "timeout_ms": seconds * 1000,
        **asked,
    }
    connection = wire.Connection(address, timeout=5)
    try:
        return connection.ask(wire.request("POST", "/generate", body), timeout=10)
    finally:
        connection.close()


def in_background(address: str, count: int) -> None:
    for number in range(count):
        asked = {"seconds": 20, "text": f"{number}. {make.ARTICLE}"}
        threading.Thread(target=ask, args=(address,), kwargs=asked, daemon=True).start()


def health(address: str) -> dict[str, Any]:
    connection = wire.Connection(address, timeout=5)
    try:
        return connection.ask(wire.request("GET", "/health"), timeout=5).json()
    finally:
        connection.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_summary_comes_with_its_counts(served: str, engine: HeldEngine) -> None:
    engine.go.set()
    answer = ask(served)
    assert answer.status == 200
    assert answer.json()["text"] == make.ARTICLE[:20]
    assert {"queue_ms", "input_tokens", "truncated", "finish", "kept_text_tokens"} <= set(answer.json())


def test_a_prompt_of_the_request_s_own_is_used_for_it_alone(served: str, engine: HeldEngine) -> None:
    engine.go.set()
    ask(served, prompt={"kind": "prefix", "system": "", "template": "tl;dr: {text}"})
    ask(served)
    assert [prompt.template for prompt in engine.prompts] == ["tl;dr: {text}", "summarize: {text}"]


def test_a_prompt_that_is_none_is_refused(served: str, engine: HeldEngine) -> None:
    answer = ask(served, prompt={"kind": "prefix", "system": "", "template": "no article"})
    assert answer.status == 422
    assert "{text}" in answer.json()["error"]["message"]


def test_a_full_queue_answers_at_once_and_says_when_to_come_back(served: str, engine: HeldEngine) -> None:
    in_background(served, 3)  # one is computed, two wait
    until(lambda: health(served)["waiting"] == 2)
    began = time.monotonic()
    answer = ask(served)
    assert time.monotonic() - began < 0.5
    assert answer.status == 503
    error = answer.json()["error"]
    assert (error["code"], error["retry_after"] >= 1) == ("overloaded", True)
    assert health(served)["refused"] == 1


def test_a_request_is_answered_at_its_deadline(served: str, engine: HeldEngine) -> None:
    began = time.monotonic()
    answer = ask(served, seconds=0.2)
    assert 0.2 <= time.monotonic() - began < 0.7
    assert (answer.status, answer.json()["error"]["code"]) == (503, "timeout")


def test_a_caller_that_has_gone_is_not_computed_for(served: str, engine: HeldEngine) -> None:
    in_background(served, 1)
    until(lambda: health(served)["active"] == 1)
    connection = wire.Connection(served, timeout=5)
    body = {"text": "Nobody reads this.", "title": "", "domain": "", "max_words": None, "timeout_ms": 20_000}
    with pytest.raises(TimeoutError):
        connection.ask(wire.request("POST", "/generate", body), timeout=0.05)
    assert health(served)["waiting"] == 1
    connection.close()
    until(lambda: health(served)["waiting"] == 0)
    assert health(served)["abandoned"] == 1
    engine.go.set()
    assert ask(served, text="The next one.").status == 200
    assert "Nobody reads this." not in engine.texts


def test_kept_answers_are_marked(spec: SlotSpec, engine: HeldEngine) -> None:
    engine.go.set()
    server = _Server(Slot(replace(spec, keep_bytes=10_000), engine))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        first, again, other = ask(spec.address), ask(spec.address), ask(spec.address, max_words=40)
    finally:
        server.shutdown()
        server.server_close()
    assert [answer.json()["kept"] for answer in (first, again, other)] == [False, True, False]
    assert first.json()["text"] == again.json()["text"]
    assert len(engine.texts) == 2


def test_what_the_model_cannot_take_is_the_caller_s_mistake_and_a_fault_is_ours(
    served: str, engine: HeldEngine
) -> None:
    engine.go.set()
    mistake, fault = ask(served, title="too long"), ask(served, title="break")
    assert (mistake.status, mistake.json()["error"]["message"]) == (
        422,
        "The prompt without the article is too long.",
    )
    assert (fault.status, fault.json()["error"]["code"]) == (503, "error")
    assert health(served)["failed"] == 1
    assert ask(served).status == 200, "the slot goes on"


def test_health_tells_memory_and_counts(served: str, engine: HeldEngine) -> None:
    engine.go.set()
    ask(served)
    found = health(served)
    assert found["rss_bytes"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert (found["release"], found["served"], found["waiting"], found["active"]) == (7, 1, 0, 0)


def test_nonsense_on_the_socket_is_answered_and_the_connection_closed(served: str) -> None:
    connection = wire.Connection(served, timeout=5)
    assert connection.ask(b"HELLO\n", timeout=5).status == 400
    until(lambda: _is_closed(connection))


def _is_closed(connection: wire.Connection) -> bool:
    try:
        connection.ask(wire.request("GET", "/health"), timeout=5)
    except OSError:
        return True
    return False


def test_the_socket_is_for_its_owner_alone(served: str) -> None:
    assert Path(served).stat().st_mode & 0o077 == 0


# ---------------------------------------------------------------- processes and artefacts


def start(spec: SlotSpec) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-m", "models_app.serving.slot"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    with child.stdin:
        child.stdin.write(spec.to_json().encode())
    return child


def first_word(child: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert child.stdout is not None
    return json.loads(child.stdout.readline())


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as an artefact, converted for CTranslate2."""
    directory = tmp_path_factory.mktemp("t5")
    artefacts.import_base(make_tiny_t5(directory / "base"), directory / "artefact")
    assert convert.convert(directory / "artefact", "int8") is not None
    return directory / "artefact"


def of_artefact(spec: SlotSpec, directory: Path, engine: str, tmp_path: Path) -> SlotSpec:
    manifest = artefacts.read_manifest(directory)
    return replace(
        spec,
        engine=engine,
        artefact=str(directory),
        digest=manifest.digest,
        stamp=str(tmp_path / "hashed.json"),
    )


def test_a_converted_model_is_served_as_it_was_evaluated_and_without_torch(
    spec: SlotSpec, t5: Path, tmp_path: Path
) -> None:
    spec = of_artefact(spec, t5, "ctranslate2", tmp_path)
    child = start(spec)
    try:
        ready = first_word(child)
        assert ready["ready"], ready
        assert (ready["engine"], ready["precision"]) == ("ctranslate2", "int8")
        text = "the council closed the school on monday . the team won the match ."
        answer = ask(spec.address, text=text).json()
        assert "libtorch" not in Path(f"/proc/{child.pid}/maps").read_text()
        assert ready["rss_bytes"] < 200 << 20
    finally:
        child.terminate()
        assert child.wait(10) == 0
    engine = engines.load_engine(t5, backend="ctranslate2", device="cpu")
    expected = engine.generate(
        [GenerationRequest(text)],
        prompt=PromptSpec.from_dict(spec.prompt),
        decoding=Decoding.from_dict(DECODING),
    )[0]
    assert answer["text"] == expected.text
    assert answer["input_tokens"] == expected.input_tokens


@pytest.mark.slow
def test_a_family_that_is_not_converted_is_served_by_transformers(spec: SlotSpec, tmp_path: Path) -> None:
    artefacts.import_base(make_tiny_bert2bert(tmp_path / "base"), tmp_path / "artefact")
    spec = of_artefact(spec, tmp_path / "artefact", "transformers", tmp_path)
    child = start(spec)
    try:
        assert first_word(child)["engine"] == "transformers"
        assert ask(spec.address, text="the council closed the school .").status == 200
    finally:
        child.terminate()
        child.wait(10)


def test_a_damaged_artefact_is_not_served(spec: SlotSpec, t5: Path, tmp_path: Path) -> None:
    weights = t5 / "weights" / "model.safetensors"
    whole = weights.read_bytes()
    try:
        weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        child = start(of_artefact(spec, t5, "ctranslate2", tmp_path))
        said = first_word(child)
        assert child.wait(10) == 2
    finally:
        weights.write_bytes(whole)
    assert said["final"]
    assert "model.safetensors" in said["failed"]


def test_another_model_in_the_directory_is_not_served(spec: SlotSpec, t5: Path, tmp_path: Path) -> None:
    child = start(replace(of_artefact(spec, t5, "ctranslate2", tmp_path), digest="another"))
    assert "another model" in first_word(child)["failed"]
    child.wait(10)


def test_a_prompt_that_leaves_no_room_for_a_text_is_found_before_the_first_client(
    spec: SlotSpec, t5: Path, tmp_path: Path
) -> None:
    prompt = {"kind": "prefix", "system": "", "template": f"{'the council ' * 200}{{text}}"}
    child = start(replace(of_artefact(spec, t5, "ctranslate2", tmp_path), prompt=prompt))
    said = first_word(child)
    assert child.wait(10) == 2
    assert said["final"]
    assert "takes 401 of the 64 tokens" in said["failed"]
    assert not Path(spec.address).exists()


def test_every_replica_has_written_before_the_slot_is_ready(spec: SlotSpec, engine: HeldEngine) -> None:
    engine.capacity = Capacity(replicas=3, requests=1, tokens=1000)
    engine.go.set()
    slot = Slot(spec, engine)
    slot.warm_up()
    assert len(set(engine.texts)) == 3
    assert slot.health()["served"] == 0, "nobody asked for those"


def test_files_are_hashed_once_and_again_when_they_changed(
    t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    verify = artefacts.verify

    def counted(directory: Path) -> Any:
        hashed.append(directory)
        return verify(directory)

    monkeypatch.setattr(artefacts, "verify", counted)
    digest, stamp = artefacts.read_manifest(t5).digest, tmp_path / "stamp"
    for _ in range(3):
        verify_once(t5, digest=digest, stamp=stamp)
    assert len(hashed) == 1
    os.utime(t5 / "weights" / "model.safetensors")
    verify_once(t5, digest=digest, stamp=stamp)
    assert len(hashed) == 2
    (t5 / "weights" / "extra.bin").write_bytes(b"x")
    try:
        with pytest.raises(DamagedArtefact, match=r"extra\.bin"):
            verify_once(t5, digest=digest, stamp=stamp)
    finally:
        (t5 / "weights" / "extra.bin").unlink()


def test_a_slot_answers_what_it_was_asked_before_it_stops(spec: SlotSpec, t5: Path, tmp_path: Path) -> None:
    spec = of_artefact(replace(spec, most_waiting=100), t5, "ctranslate2", tmp_path)
    child = start(spec)
    assert first_word(child)["ready"]
    statuses: list[int] = []
    text = "the council closed the school on monday . " * 8

    def ask_one(number: int) -> None:
        statuses.append(ask(spec.address, text=f"{text} {number}").status)

    threads = [threading.Thread(target=ask_one, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    until(lambda: health(spec.address)["served"] > 0)
    child.terminate()
    for thread in threads:
        thread.join(10)
    assert child.wait(10) == 0
    assert statuses
    assert set(statuses) == {200}


def test_a_slot_without_its_parent_does_not_start(spec: SlotSpec) -> None:
    child = start(replace(spec, parent=1))
    assert child.wait(10) == 1
    assert not Path(spec.address).exists()
