from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.utils import timezone

from models_app.foundation.errors import Unavailable
from models_app.models import ModelVersion, PromptVersion, Release, Route, Slot
from models_app.models.releases import Environment
from models_app.releases.composing import compose_release
from models_app.releases.deploying import install_first_release, roll_back
from models_app.serving.client import generate
from models_app.serving.readiness import readiness
from models_app.serving.routing import router
from tests import make
from tests.releases import scene as scenes
from tests.serving.conftest import Supervisor, not_running, slot, state, until

_words = itertools.count(40)
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def live_release() -> Release:
    release = Route.objects.select_related("release").get(environment__name="production").release
    assert release is not None
    return release


def deploy() -> Release:
    """Another one each time: of one content no two are on their way."""
    scenes.small_policy()
    release = compose_release(
        model_version=make.lead_model(),
        prompt_version=PromptVersion.objects.filter(prompt__kind="prefix").get(number=1),
        decoding={"max_words": next(_words)},
        origin="decoding", actor=None,
    )  # fmt: skip
    return scenes.approved(release)


def warming(release: Release) -> Release:
    """What no gate lets through, on its way all the same: what was broken after the approval looks like this."""
    return make.forced(release, "warming")


def answers() -> bool:
    try:
        generate(text=make.ARTICLE)
    except Unavailable:
        return False
    return True


def test_a_release_goes_live_when_its_slot_answers(supervise: Callable[..., Supervisor]) -> None:
    make.cast()
    supervisor = supervise()
    assert readiness() == (False, "No release is live yet.")
    release = install_first_release(release=make.release(origin="initial"))
    until(lambda: state(release) == "live")
    assert readiness() == (True, f"Release {release.pk} is served.")
    row = slot(release)
    assert row.state == "ready"
    assert [process.pid for process in supervisor.slots()] == [row.pid]
    assert row.rss_bytes is not None
    assert 10 << 20 < row.rss_bytes < 100 << 20, "a slot with leading sentences loads no learning library"
    served = generate(text=make.ARTICLE)
    assert served.text.startswith("The harbour authority of Nordhaven")
    assert (served.release_id, served.model_version_id) == (release.pk, release.model_version_id)
    assert served.prompt_version_id == release.prompt_version_id


def test_heartbeats_are_written_while_the_slot_answers(serving: Supervisor) -> None:
    before = slot(live_release()).heartbeat_at
    assert before is not None
    until(lambda: slot(live_release()).heartbeat_at != before)


class Load:
    """Clients that ask one after the other, each as fast as it is answered."""

    def __init__(self, clients: int) -> None:
        self.failed: list[Exception] = []
        self.answers: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                served = generate(text=make.ARTICLE)
            except Exception as error:
                self.failed.append(error)
            else:
                self.answers.append((time.monotonic(), served.release_id))
            time.sleep(0.002)
        connections.close_all()

    def first_of(self, release: Release) -> float:
        """When the release was first seen."""
        return min((at for at, number in self.answers if number == release.pk), default=float("inf"))

    def last_of(self, release: Release) -> float:
        return max((at for at, number in self.answers if number == release.pk), default=float("-inf"))


def test_switching_and_rolling_back_under_load_take_two_seconds_and_fail_no_request(
    serving: Supervisor,
) -> None:
    operator = User.objects.get(username="otto")
    environment = Environment.objects.get(name="production")
    first = live_release()
    with Load(clients=8) as load:
        time.sleep(0.5)
        second = deploy()
        until(lambda: load.first_of(second) < time.monotonic())
        switched = time.monotonic()
        time.sleep(3)  # until its slot would have been stopped, were it not kept
        asked = time.monotonic()
        roll_back(environment=environment, actor=operator, reason="Try it.")
        until(lambda: any(number == first.pk for at, number in load.answers if at > asked), seconds=2)
        time.sleep(4)  # the second release's slot is stopped meanwhile
        assert slot(second).state == "stopped"
    assert load.failed == []
    assert load.last_of(second) - asked < 2
    assert all(number == second.pk for at, number in load.answers if switched + 1 < at < asked)
    assert len(load.answers) > 500


def test_the_release_before_stays_loaded_and_the_one_before_that_does_not(serving: Supervisor) -> None:
    first, second = live_release(), deploy()
    until(lambda: state(second) == "live")
    assert (slot(first).state, slot(second).state) == ("ready", "ready")
    third = deploy()
    until(lambda: state(third) == "live")
    until(lambda: slot(first).state == "stopped")
    assert slot(first).pid is None
    assert (slot(second).state, slot(third).state) == ("ready", "ready")
    assert len(serving.slots()) == 2


def test_after_kill_9_of_a_slot_it_is_started_again(serving: Supervisor) -> None:
    release = live_release()
    pid = slot(release).pid
    assert pid is not None
    psutil.Process(pid).kill()
    until(lambda: slot(release).pid not in (pid, None) and slot(release).state == "ready")
    until(answers)
    assert state(release) == "live"


def test_a_slot_that_outgrows_its_memory_starts_again_and_one_that_needs_it_does_not(
    supervise: Callable[..., Supervisor],
) -> None:
    make.cast()
    supervise(GALLEY_SLOT_ANSWERS_MB="500", GALLEY_SLOT_MEMORY_MB="1")
    release = install_first_release(release=make.release(origin="initial"))
    until(lambda: state(release) == "live")
    router.reread()
    first = slot(release)
    until(lambda: slot(release).heartbeat_at != first.heartbeat_at)
    assert slot(release).pid == first.pid, "it is over the ceiling, but as small as it gets"
    with suppress(Unavailable):  # until it stops
        for number in range(200):
            generate(text=f"{number} {'word ' * 60_000}.")  # one sentence, so that all of it is the summary
    until(lambda: slot(release).pid not in (first.pid, None) and slot(release).state == "ready")
    row = slot(release)
    assert row.failures == 0
    assert (row.rss_bytes or 0) < 100 << 20
    assert answers()


def test_a_slot_that_is_gone_is_an_answer_at_once_not_a_hanging_request(serving: Supervisor) -> None:
    serving.stop()
    began = time.monotonic()
    with pytest.raises(Unavailable) as unavailable:
        generate(text=make.ARTICLE)
    assert time.monotonic() - began < 1
    assert unavailable.value.retry_after >= 1
    assert not readiness()[0]


def test_slots_die_with_their_supervisor_and_the_next_one_recovers(
    serving: Supervisor, supervise: Callable[..., Supervisor]
) -> None:
    release = live_release()
    with not_running(serving.slots()):
        serving.kill()
    assert slot(release).state == "ready", "nobody could tell"
    assert not answers()
    began = timezone.now()
    supervise()
    until(lambda: (row := slot(release)).state == "ready" and (row.started_at or began) > began)
    assert answers()


def test_term_stops_everything_in_a_few_seconds(serving: Supervisor) -> None:
    second = deploy()
    until(lambda: state(second) == "live")
    with not_running(serving.slots()):
        assert serving.stop() < 10
    assert serving.process.returncode == 0
    assert set(Slot.objects.values_list("state", "pid", "address")) == {("stopped", None, "")}


def test_one_supervisor_at_a_time(serving: Supervisor, tmp_path: Path) -> None:
    second = Supervisor(tmp_path / "second.log")
    assert second.process.wait(60) == 1
    assert "Another serve_slots runs on this data directory" in second.log.read_text()
    assert answers()


def test_a_release_whose_files_are_missing_fails_with_the_reason_and_what_is_live_stays(
    serving: Supervisor,
) -> None:
    before = live_release()
    lost = ModelVersion.objects.create(
        name="lost",
        family="t5",
        architecture="T5",
        base="x",
        artefact="models/lost",
        digest="lost",
        engine="ctranslate2",
    )
    release = warming(make.release(lost))
    until(lambda: state(release) == "failed")
    release.refresh_from_db()
    assert "are missing from" in release.reason
    assert slot(release).state in ("failed", "stopped")
    assert live_release() == before
    assert answers()


def test_a_slot_that_dies_while_it_loads_is_tried_again_and_then_given_up(
    serving: Supervisor, settings: object
) -> None:
    """Its decoding settings are nonsense, which no use case would let through."""
    release = warming(make.release(decoding={"beams": -1}))
    until(lambda: state(release) == "failed")
    release.refresh_from_db()
    assert "beams" in release.reason
    assert slot(release).failures == 3
    assert answers()


def test_the_supervisor_survives_the_loss_of_its_database_connection(serving: Supervisor) -> None:
    release = live_release()
    pid = slot(release).pid
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert answers()
    second = deploy()
    until(lambda: state(second) == "live")
    assert slot(release).pid == pid, "slots were left alone"
    assert serving.process.poll() is None


def test_the_supervisor_imports_no_learning_library(serving: Supervisor) -> None:
    maps = Path(f"/proc/{serving.process.pid}/maps").read_text()
    assert "libtorch" not in maps
    assert "ctranslate2" not in maps
