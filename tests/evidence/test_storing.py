"""Model cards beside the weights: written once a release is approved, whole or not at all, outside of the digest."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from models_app.evidence import storing
from models_app.evidence.card import model_card
from models_app.ml import artefacts
from models_app.models import AuditEvent, Release
from models_app.releases.composing import compose_release
from models_app.training.registering import store
from tests.pages import markup
from tests.releases import scene as scenes
from tests.releases.scene import Scene

pytestmark = pytest.mark.django_db
_of_the_parent: list[Any] = []


@pytest.fixture
def the() -> Scene:
    made = scenes.waiting()
    storing.write_missing()  # of what is live
    return made


def now(the: Scene) -> Release:
    return Release.objects.get(pk=the.candidate.pk)


def directory(the: Scene) -> Path:
    return store() / storing.place(now(the))


def test_what_is_approved_gets_its_card_beside_its_weights_and_outside_of_their_digest(the: Scene) -> None:
    assert storing.write_missing() == 0, "it is not approved yet"
    artefact = store() / the.model.artefact
    before = artefacts.verify(artefact)
    the.approved_by(the.cast.approver)
    assert storing.write_missing() == 1
    assert (directory(the) / "README.md").read_text() == model_card(now(the))
    checked = subprocess.run(
        [shutil.which("sha256sum") or "sha256sum", "-c", "README.md.sha256"], cwd=directory(the), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert checked.stdout == "README.md: OK\n"
    assert artefacts.verify(artefact) == before
    assert storing.write_missing() == 0, "once"


def test_the_page_says_where_it_is(the: Scene, client: Any) -> None:
    client.force_login(the.cast.approver)
    the.approved_by(the.cast.approver)
    path = f"/releases/{the.candidate.pk}/"
    assert "within a minute" in markup(client.get(path))
    storing.write_missing()
    event = storing.told(now(the))
    assert event is not None
    shown = markup(client.get(path))
    assert f"artefacts/{the.model.artefact}/cards/release-{the.candidate.pk}/README.md" in shown
    assert event.data["sha256"][-4:] in shown
    assert "wrote its model card" in shown


def test_releases_of_the_same_weights_have_a_card_each(the: Scene) -> None:
    again = compose_release(
        model_version=the.model, prompt_version=scenes.chat_prompt(), decoding={"beams": 4}, origin="decoding",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    assert storing.place(again) != storing.place(the.candidate)
    assert storing.place(again).parent == storing.place(the.candidate).parent


@pytest.mark.parametrize("name", ["README.md", "README.md.sha256"])
def test_what_was_changed_or_removed_is_written_again_and_told(the: Scene, name: str) -> None:
    the.approved_by(the.cast.approver)
    storing.write_missing()
    for act in (lambda path: path.write_text("Typed by hand."), Path.unlink):
        act(directory(the) / name)
        assert not storing.is_written(now(the))
        assert storing.write_missing() == 1
        assert storing.is_written(now(the))
    assert (
        AuditEvent.objects.filter(action="release.card", subject=f"release:{the.candidate.pk}").count() == 3
    )


def test_where_a_disk_refuses_one_the_others_are_written_and_it_is_tried_again(the: Scene) -> None:
    the.approved_by(the.cast.approver)
    shutil.rmtree(store() / storing.place(the.live))
    (store() / the.model.artefact / "cards").write_text("in the way")
    with pytest.raises(ExceptionGroup, match="tried again"):
        storing.write_missing()
    assert storing.is_written(the.live)
    (store() / the.model.artefact / "cards").unlink()
    assert storing.write_missing() == 1


def test_weights_that_are_gone_get_no_card(the: Scene) -> None:
    the.approved_by(the.cast.approver)
    shutil.rmtree(store() / the.model.artefact)
    assert storing.write_missing() == 0
    assert not (store() / the.model.artefact).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["card half written", "no digest", "no event"])
def test_a_writer_that_is_killed_leaves_nothing_half(the: Scene, step: str) -> None:
    the.approved_by(the.cast.approver)
    connections.close_all()
    child = os.fork()
    if not child:
        _write_and_die(now(the), step)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert not storing.is_written(now(the))
    assert storing.write_missing() == 1
    assert storing.is_written(now(the))
    assert sorted(path.name for path in directory(the).iterdir()) == ["README.md", "README.md.sha256"]


def _write_and_die(release: Release, step: str) -> None:
    """In a process of its own, which ends here."""
    # Where Playwright's loop runs, Django has one connection in the loop and one beside it, and a fork is beside it:
    # with the connection of the process that it came from, it would leave that one a transaction that never ends.
    connection = connections["default"]
    _of_the_parent.append(connection.connection)  # closed by nobody
    connection.connection = None
    put = storing._put

    def put_or_die(path: Path, content: bytes) -> None:
        if step == "card half written":
            path.with_name(f".{path.name}.new").write_bytes(content[:100])
            os.kill(os.getpid(), signal.SIGKILL)
        put(path, content)
        if step == "no digest" or path.name.endswith("sha256"):
            os.kill(os.getpid(), signal.SIGKILL)

    storing._put = put_or_die
    try:
        storing.write(release)
    finally:
        os._exit(1)  # nothing of the test's own goes on in this process
