"""Documents come in cleaned, checked, once, with the split that is theirs for ever; or with a reason why not."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection, connections, transaction
from hypothesis import given
from hypothesis import strategies as st

from models_app.foundation.errors import NotAllowed, Unavailable
from models_app.models import AuditEvent
from reviews.ingest.documents import DocumentRow, ImportReport, check, clean_domain, content_hash, import_rows
from reviews.ingest.splits import split_of
from reviews.models import SourceDocument
from tests import make

SHARES = (70, 10, 20)


def words(count: int, start: str = "word") -> str:
    return " ".join(f"{start}{number}" for number in range(count))


def rows(count: int, start: str = "word") -> list[DocumentRow]:
    return [DocumentRow(words(30, f"{start}{number}-"), number=number + 1) for number in range(count)]


# ---------------------------------------------------------------- one row


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        (DocumentRow(""), "text", "There is no text."),
        (DocumentRow(" \n\t\x00 \ufeff"), "text", "There is no text."),
        (DocumentRow("Hello"), "text", "1 word; an article has at least 20 (GALLEY_MIN_DOCUMENT_WORDS)."),
        (DocumentRow(words(19)), "text", "19 words; an article has at least 20 (GALLEY_MIN_DOCUMENT_WORDS)."),
        (
            DocumentRow("word " * 200_000),
            "text",
            "200,000 words; an article has at most 50,000 (GALLEY_MAX_DOCUMENT_WORDS).",
        ),
        (
            DocumentRow(words(20), reference="word " * 2001),
            "reference",
            "The reference summary has more than 2,000 words.",
        ),
        (DocumentRow(words(20), title="x" * 301), "title", "It has 301 characters; at most 300 are kept."),
        (
            DocumentRow(words(20), external_id="x" * 121),
            "external_id",
            "It has 121 characters; at most 120 are kept.",
        ),
    ],
)
def test_a_row_that_is_no_article_is_refused_with_the_reason(
    row: DocumentRow, field: str, reason: str
) -> None:
    assert check(row) == (None, field, reason)


def test_html_and_script_are_kept_as_text() -> None:
    text = "<script>alert('x')</script> <b>Bold</b> &amp; " + words(20)
    document, _, _ = check(DocumentRow(text, title="<i>Title</i>"))
    assert document is not None
    assert document.text == text
    assert document.title == "<i>Title</i>"


def test_control_characters_are_removed_everywhere() -> None:
    dirty = "\x00\x07\x1b\u200b\ufeff\ud800"
    document, _, _ = check(
        DocumentRow(
            words(20) + dirty + "\r\n\r\n\r\n\r\nEnd\u00a0of  it.",
            title=f"A{dirty}\n B",
            reference=f"One.{dirty}\r\nTwo.",
            domain=f"News{dirty}",
            external_id=f" id{dirty}",
            group_key=f"g{dirty}",
            licence=f"CC0{dirty}",
        )
    )
    assert document is not None
    assert document.text == words(20) + "\n\nEnd of it."
    assert document.title == "A B"
    assert document.reference == "One.\nTwo."
    assert (document.domain, document.external_id) == ("news", "id")
    assert (document.group_key, document.licence) == ("g", "CC0")


@pytest.mark.parametrize(
    ("given_as", "kept"),
    [
        ("News", "news"),
        (" Arts & Culture ", "arts culture"),
        ("Política/España", "política españa"),
        ("../../etc", "etc"),
        ("x" * 90, "x" * 40),
        ("???", ""),
    ],
)
def test_domains_are_plain_words(given_as: str, kept: str) -> None:
    assert clean_domain(given_as) == kept


@pytest.mark.slow
@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    document, _, _ = check(DocumentRow(words(20) + text))
    assert document is not None
    again, _, _ = check(DocumentRow(document.text))
    assert again is not None
    assert (again.text, again.content_hash, again.split) == (
        document.text,
        document.content_hash,
        document.split,
    )


def test_line_breaks_and_spaces_make_no_other_document() -> None:
    assert content_hash("One two.\n\nThree  four.") == content_hash(" One two. Three four.\r\n")
    assert content_hash("One two. Three four.") != content_hash("One two. Three five.")


# ---------------------------------------------------------------- splits


def test_splits_have_their_shares() -> None:
    counts = Counter(split_of(f"document {number}", salt="galley", shares=SHARES) for number in range(20_000))
    assert counts["train"] / 20_000 == pytest.approx(0.7, abs=0.01)
    assert counts["validation"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert counts["test"] / 20_000 == pytest.approx(0.2, abs=0.01)


def test_a_split_depends_on_key_and_salt_alone_and_for_ever() -> None:
    # Other values would move documents between training and test in every installation.
    found = "".join(split_of(key, salt="galley", shares=SHARES)[1] for key in "abcdefghijklmnopqrst")
    assert found == "errrrrreeeerrrrerrrr"  # second letters of test and train
    other = [split_of(str(number), salt="b", shares=SHARES) for number in range(1000)]
    same = [split_of(str(number), salt="galley", shares=SHARES) == other[number] for number in range(1000)]
    assert 450 < sum(same) < 650


def test_what_was_train_at_smaller_shares_stays_train_at_larger_ones() -> None:
    for number in range(500):
        if split_of(str(number), salt="s", shares=(50, 10, 40)) == "train":
            assert split_of(str(number), salt="s", shares=(70, 10, 20)) == "train"


def test_documents_of_one_group_share_their_split() -> None:
    group = [check(DocumentRow(words(30, f"w{number}-"), group_key="one story"))[0] for number in range(20)]
    assert len({document.split for document in group if document}) == 1


# ---------------------------------------------------------------- many rows


@pytest.mark.django_db
def test_every_row_is_accounted_for() -> None:
    report = ImportReport(outcomes=[])
    first = rows(3)
    given_rows = [*first, DocumentRow("too short", number=4), DocumentRow(first[0].text + "\n", number=5)]
    import_rows(rows=given_rows, origin="a file", actor=None, report=report)
    assert (report.read, report.imported, report.duplicates, report.refused_count) == (5, 3, 1, 1)
    assert [(refusal.row, refusal.field) for refusal in report.refused] == [(4, "text")]
    outcomes = {outcome.row: outcome for outcome in report.outcomes or []}
    assert [outcomes[row].result for row in range(1, 6)] == [
        "imported",
        "imported",
        "imported",
        "refused",
        "duplicate",
    ]
    assert outcomes[5].document == outcomes[1].document
    assert report.repeated == [(5, outcomes[1].document)]
    assert sum(report.splits.values()) == 3
    assert SourceDocument.objects.count() == 3


@pytest.mark.django_db
def test_what_is_there_already_is_a_duplicate_and_named() -> None:
    before = import_rows(rows=rows(3), origin="first", actor=None)
    after = import_rows(rows=rows(4), origin="second", actor=None)
    assert (after.imported, after.duplicates) == (1, 3)
    assert sorted(document for _, document in after.repeated) == sorted(before.documents)
    assert SourceDocument.objects.filter(origin="second").count() == 1


@pytest.mark.django_db
def test_defaults_are_for_rows_that_say_nothing() -> None:
    given_rows = [
        DocumentRow(words(20, "a"), domain="Sport", licence="MIT"),
        DocumentRow(words(20, "b"), domain=" "),
    ]
    import_rows(rows=given_rows, origin="file\x00", licence="CC0-1.0", domain="Business", actor=None)
    assert {*SourceDocument.objects.values_list("domain", "licence", "origin")} == {
        ("sport", "MIT", "file"),
        ("business", "CC0-1.0", "file"),
    }


@pytest.mark.django_db
def test_one_audit_event_tells_of_an_import() -> None:
    cast = make.cast()
    import_rows(rows=rows(2), origin="a file", actor=cast.ml_engineer)
    event = AuditEvent.objects.get(action="documents.import")
    assert event.actor == cast.ml_engineer
    assert event.data["imported"] == 2
    assert event.data["duplicates"] == 0


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["reviewer", "approver", "operator", "stranger"])
def test_who_may_not_import_is_refused(name: str) -> None:
    actor = getattr(make.cast(), name)
    with pytest.raises(NotAllowed, match="import documents"):
        import_rows(rows=rows(1), origin="x", actor=actor)
    assert not SourceDocument.objects.exists()


@pytest.mark.django_db
def test_an_error_further_down_leaves_nothing() -> None:
    def broken() -> Any:
        yield from rows(1200)
        raise Unavailable("The line went dead.")

    with pytest.raises(Unavailable):
        import_rows(rows=broken(), origin="x", actor=None)
    assert not SourceDocument.objects.exists()
    assert not AuditEvent.objects.filter(action="documents.import").exists()


@pytest.mark.django_db
def test_the_number_of_queries_grows_with_blocks_not_rows(django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(24):
        import_rows(rows=rows(1000), origin="x", actor=None)


@pytest.mark.django_db(transaction=True)
def test_two_imports_of_the_same_documents_at_once_keep_each_once() -> None:
    """The second one counts them as duplicates, or is told to try again; nobody gets an error page."""
    results: list[ImportReport | Unavailable] = []
    start = threading.Barrier(2)

    def work(shift: int) -> None:
        given_rows = rows(1500)
        start.wait()
        try:
            results.append(
                import_rows(rows=given_rows[shift:] + given_rows[:shift], origin=f"{shift}", actor=None)
            )
        except Unavailable as error:
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(shift,)) for shift in (0, 700)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert SourceDocument.objects.count() == 1500
    reports = [result for result in results if isinstance(result, ImportReport)]
    assert reports
    assert sum(report.imported for report in reports) == 1500
    if len(reports) == 1:
        assert "Try again" in str(next(result for result in results if isinstance(result, Unavailable)))


@pytest.mark.django_db(transaction=True)
def test_a_document_that_another_import_brings_meanwhile_is_a_duplicate() -> None:
    """The other one commits between our look and our write."""
    row = rows(1)[0]
    report = import_while([row], [row, *rows(3, "new")])
    assert (report.imported, report.duplicates) == (3, 1)
    assert SourceDocument.objects.get(content_hash=content_hash(row.text)).origin == "other"


def import_while(theirs: list[DocumentRow], ours: list[DocumentRow]) -> ImportReport:
    """Import ours, looked for before theirs were committed, and written after."""
    inserted, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with transaction.atomic():
            import_rows(rows=theirs, origin="other", actor=None)
            inserted.set()
            go_on.wait(10)
        connections.close_all()

    thread = threading.Thread(target=other)
    thread.start()
    assert inserted.wait(10)
    reports: list[ImportReport] = []

    def mine() -> None:
        reports.append(import_rows(rows=ours, origin="ours", actor=None))
        connections.close_all()

    waiting = threading.Thread(target=mine)
    waiting.start()
    _until_somebody_waits_for_a_lock()
    go_on.set()
    waiting.join(20)
    thread.join(20)
    return reports[0]


def _until_somebody_waits_for_a_lock() -> None:
    for _ in range(200):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        threading.Event().wait(0.05)
    raise AssertionError("nobody waited")
