"""The head of the trail, written elsewhere, and what it shows of a trail that was rewritten."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction

from models_app.foundation import audit, audit_anchors
from models_app.foundation.audit_anchors import Anchor, anchor_trail, compare, read_anchors
from models_app.foundation.errors import InvalidInput, Unavailable
from models_app.models import AuditEvent
from tests.database import without_guards

pytestmark = pytest.mark.django_db


def record(number: int) -> AuditEvent:
    with transaction.atomic():
        return audit.record(actor=None, action="test.act", subject=f"thing:{number}")


@pytest.fixture
def file(settings: Any, tmp_path: Path) -> Path:
    settings.GALLEY_AUDIT_ANCHOR_FILE = tmp_path / "anchors"
    return tmp_path / "anchors"


def write_again(first: AuditEvent) -> None:
    """All hashes from this event on computed again, as somebody would who knows how."""
    previous = (
        AuditEvent.objects.filter(pk__lt=first.pk).order_by("-pk").values_list("hash", flat=True).first()
    )
    previous = previous or "0" * 64
    with without_guards(AuditEvent):
        for event in AuditEvent.objects.filter(pk__gte=first.pk).order_by("pk"):
            event.reason = "never happened" if event.pk == first.pk else event.reason
            digest = audit._digest(previous, audit._parts(event))
            AuditEvent.objects.filter(pk=event.pk).update(
                reason=event.reason, previous_hash=previous, hash=digest
            )
            previous = digest


def test_an_anchor_is_a_line_of_the_file_and_an_event(file: Path) -> None:
    last = record(1)
    made = anchor_trail(actor=None)
    assert made is not None
    assert (made.event, made.hash) == (last.pk, last.hash)
    time, number, digest = file.read_text().split()
    assert datetime.fromisoformat(time).tzinfo is not None
    assert (int(number), digest) == (last.pk, last.hash)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    event = AuditEvent.objects.get(action="audit.anchor")
    assert event.data == {"up_to": last.pk, "hash": last.hash, "file": str(file)}
    record(2)
    anchor_trail(actor=None)
    assert [anchor.event for anchor in read_anchors(file)] == [
        last.pk,
        AuditEvent.objects.latest("pk").pk - 1,
    ]


def test_nothing_that_was_in_the_file_is_lost(file: Path) -> None:
    file.write_text("# kept by the auditors\n")
    record(1)
    anchor_trail(actor=None)
    assert file.read_text().startswith("# kept by the auditors\n2")
    assert len(read_anchors(file)) == 1


def test_half_a_line_that_a_power_cut_left_is_not_continued(file: Path) -> None:
    file.write_text("2026-11-27T09:00:00.000000+00:00 12 abc")
    record(1)
    anchor_trail(actor=None)
    lines = file.read_text().splitlines()
    assert lines[0].endswith(" 12 abc")
    assert len(lines) == 2
    with pytest.raises(InvalidInput, match="Line 1 "):
        read_anchors(file)


def test_a_file_that_cannot_be_written_is_an_error_and_no_event(settings: Any, tmp_path: Path) -> None:
    record(1)
    for path in (tmp_path, tmp_path / "missing" / "anchors"):
        settings.GALLEY_AUDIT_ANCHOR_FILE = path
        with pytest.raises(Unavailable, match="GALLEY_AUDIT_ANCHOR_FILE"):
            anchor_trail(actor=None)
        with pytest.raises(CommandError, match="GALLEY_AUDIT_ANCHOR_FILE"):
            call_command("anchor_audit")
    settings.GALLEY_AUDIT_ANCHOR_FILE = Path("/dev/full")
    with pytest.raises(Unavailable, match="No space left"):
        anchor_trail(actor=None)
    assert not AuditEvent.objects.filter(action="audit.anchor").exists()


def test_an_event_that_does_not_come_about_leaves_a_true_line(file: Path) -> None:
    record(1)
    with transaction.atomic():
        anchor_trail(actor=None)
        transaction.set_rollback(True)
    assert compare(read_anchors(file)).whole


def test_an_empty_trail_has_no_head(file: Path) -> None:
    with without_guards(AuditEvent):
        AuditEvent.objects.all().delete()
    assert anchor_trail(actor=None) is None
    assert not file.exists()
    with pytest.raises(CommandError, match="empty"):
        call_command("anchor_audit")


def test_it_says_from_where_a_trail_that_was_written_again_differs(file: Path) -> None:
    events = []
    for number in range(6):
        events.append(record(number))
        anchor_trail(actor=None)
    anchors = read_anchors(file)
    assert (
        compare(anchors).sentence == f"The trail agrees with 6 anchors, the last at event {events[5].pk:,}."
    )
    write_again(events[3])
    assert audit.verify().whole, "the chain alone shows nothing"
    found = compare(anchors)
    assert not found.whole
    assert (found.agrees, found.differs) == (anchors[2], anchors[3])
    assert f"event {events[3].pk:,}, anchored" in found.sentence
    assert f"what it was up to event {events[2].pk:,}" in found.sentence
    with pytest.raises(CommandError, match=f"up to event {events[2].pk:,}; it was rewritten"):
        call_command("verify_audit", "--read-only", "--anchors", str(file))


def test_a_trail_that_was_cut_off_or_written_again_from_the_beginning_differs(file: Path) -> None:
    last = record(1)
    anchor_trail(actor=None)
    with without_guards(AuditEvent):
        AuditEvent.objects.filter(pk__gte=last.pk).delete()
    found = compare(read_anchors(file))
    assert (found.agrees, found.found) == (None, "")
    assert "is gone" in found.sentence
    assert "from the beginning" in found.sentence


def test_the_command_tells_a_broken_chain_and_differing_anchors_together(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = record(1), record(2)
    anchor_trail(actor=None)
    call_command("verify_audit", "--read-only", "--anchors", str(file))
    assert "agrees with 1 anchors" in capsys.readouterr().out
    with without_guards(AuditEvent):
        AuditEvent.objects.filter(pk=second.pk).update(hash="0" * 64)
    with pytest.raises(CommandError) as wrong:
        call_command("verify_audit", "--read-only", "--anchors", str(file))
    assert f"breaks at event {second.pk:,}" in str(wrong.value)
    assert "has another hash" in str(wrong.value)
    assert first.pk < second.pk


@pytest.mark.parametrize(
    "words",
    [
        "nonsense", "2026-11-27T09:00:00+00:00 12", "2026-11-27T09:00:00+00:00 -1 " + "0" * 64,
        "2026-11-27T09:00:00+00:00 12 " + "g" * 64, "2026-99-27T09:00:00+00:00 12 " + "0" * 64,
        "2026-11-27T09:00:00+00:00 " + "9" * 30 + " " + "0" * 64, "x" * 1_000_000, "\0", "\u00e4",
        "2026-11-27T09:00:00+00:00 12 " + "0" * 64 + " more",
    ],
    ids=lambda words: repr(words[:30]),
)  # fmt: skip
def test_a_file_that_is_none_of_anchors_is_refused_with_the_line(tmp_path: Path, words: str) -> None:
    path = tmp_path / "anchors"
    path.write_text(f"# anchors\n\n{words}\n")
    with pytest.raises(InvalidInput, match="Line 3 "):
        read_anchors(path)
    with pytest.raises(CommandError, match="Line 3 "):
        call_command("verify_audit", "--read-only", "--anchors", str(path))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("verify_audit", "--anchors", str(tmp_path / "none"))
    assert not AuditEvent.objects.filter(action="audit.verify").exists()


def test_the_command_prints_the_line_that_it_wrote(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(1)
    call_command("anchor_audit")
    said = capsys.readouterr()
    assert said.out == file.read_text()
    assert said.err == ""


def test_without_a_file_the_command_says_so(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.GALLEY_AUDIT_ANCHOR_FILE = None
    record(1)
    call_command("anchor_audit")
    said = capsys.readouterr()
    assert "names no file" in said.err
    assert len(said.out.split()) == 3


def test_many_anchors_take_few_questions(django_assert_max_num_queries: Any) -> None:
    last = record(1)
    anchors = [Anchor(datetime.now(UTC), last.pk, last.hash)] * 12_000
    with django_assert_max_num_queries(3):
        assert compare(anchors).whole


def test_it_is_on_the_disk_when_it_is_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noted(number: int) -> None:
        synced.append(number)
        fsync(number)

    monkeypatch.setattr(os, "fsync", noted)
    record(1)
    anchor_trail(actor=None)
    assert len(synced) == 2, "the line, and the name of the new file"
    anchor_trail(actor=None)
    assert len(synced) == 3


def test_nothing_is_cut_where_two_write_at_the_same_time(file: Path) -> None:
    import threading

    made = [Anchor(datetime.now(UTC), number, f"{number:064x}") for number in range(200)]

    def write(part: list[Anchor]) -> None:
        for anchor in part:
            audit_anchors._append(file, anchor)

    threads = [threading.Thread(target=write, args=[made[start::4]]) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(anchor.event for anchor in read_anchors(file)) == list(range(200))
