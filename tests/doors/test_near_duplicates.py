"""Test documents stay test documents: a text with a few words changed is the same text, by whatever door it comes."""

from __future__ import annotations

import html
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client

from models_app.foundation.errors import Refused
from models_app.models import SnapshotExample
from models_app.texts.near_duplicates import Index, likeness, shingles, sketch
from reviews.examples.decisions import approve_example
from reviews.examples.proposals import propose_from_references
from reviews.examples.references import freeze_test_set
from reviews.examples.snapshots import Selection, freeze_snapshot, preview_snapshot
from reviews.ingest.documents import DocumentRow, content_hash, import_rows
from reviews.ingest.splits import split_of
from reviews.models import FeedbackExample, NearDuplicate, ReferenceHash, Review, SketchHash, SourceDocument
from tests import make
from tests.api.conftest import Api
from tests.pages import markup
from tests.reviews.ingest.test_documents import import_while

# Made up and always the same: whether a sketch finds a half is a matter of chance, one in five hundred.
_WORDS = [
    first + middle + last for first in "bdfgklmnprst" for middle in ("a", "e", "i", "o") for last in "lmnrstk"
]


def article(seed: str, count: int = 300) -> str:
    """Words in an order of their own: two of these have hardly a phrase in common."""
    chance = random.Random(seed)
    return " ".join(chance.choice(_WORDS) + (". " if place % 12 == 11 else "") for place in range(count))


def in_split(split: str, count: int = 300, start: str = "article") -> str:
    """An article that the hash puts into this split."""
    for number in range(10_000):
        text = article(f"{start} {number}", count)
        if hashed(text) == split:
            return text
    raise AssertionError(split)


def hashed(text: str) -> str:
    salt, shares = settings.GALLEY_SPLIT_SALT, settings.GALLEY_SPLIT_SHARES
    return split_of(content_hash(text), salt=salt, shares=shares)


def tried(text: str, split: str, change: Any) -> str:
    """A change of the text that the hash alone would put into another split."""
    for number in range(1000):
        changed: str = change(text, number)
        if hashed(changed) == split:
            return changed
    raise AssertionError(split)


def take(*texts: str, **fields: Any) -> list[SourceDocument]:
    report = import_rows(rows=[DocumentRow(text, **fields) for text in texts], origin="test", actor=None)
    return list(SourceDocument.objects.filter(pk__in=report.documents).order_by("pk"))


def one_word(text: str, number: int) -> str:
    return text.replace(text.split()[40], f"changed{number}", 1)


# ---------------------------------------------------------------- at import


ATTACKS = {
    "one word changed": one_word,
    "upper case": lambda text, n: text.upper() + f" {n}",
    "byte order mark and a word": lambda text, n: f"\ufeff{text} end{n}",
    "HTML": lambda text, n: "<p>" + " ".join(f"<b>{word}</b>" for word in text.split()) + f"</p> end{n}",
    "HTML entities": lambda text, n: "".join(f"&#{ord(c)};" if c != " " else c for c in text) + f" end{n}",
    "full width letters": lambda text, n: "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text
    ) + f" end{n}",
    "invisible characters": lambda text, n: "\u200b".join(text) + f" end{n}",
    "marks over every letter": lambda text, n: "".join(c + "\u0336" for c in text) + f" end{n}",
    "letters that look alike": lambda text, n: text.translate(str.maketrans("aeopsi", "аеорѕі")) + f" end{n}",
    "capitals that look alike": lambda text, n: text.upper().translate(str.maketrans("AEKMOPTBH", "АЕКМОРТВН"))
    + f" end{n}",
    "other punctuation": lambda text, n: text.replace(".", " –") + f" end{n}",
    "shuffled sentences": lambda text, n: ". ".join(
        random.Random(n).sample(parts := text.split(". "), len(parts))
    ),
    "every tenth word changed": lambda text, n: " ".join(
        word if place % 10 else f"new{n}x{place}" for place, word in enumerate(text.split())
    ),
    "as much again appended": lambda text, n: f"{text} {article(f'appended {n}')}",
    "the first half": lambda text, n: " ".join(text.split()[: 150 + n % 20]),
    "the second half": lambda text, n: " ".join(text.split()[-150 - n % 20 :]),
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_test_article_that_was_changed_a_little_does_not_become_a_training_document(attack: str) -> None:
    text = in_split("test")
    changed = tried(text, "train", ATTACKS[attack])
    (judge,) = take(text)
    (later,) = take(changed)
    assert judge.split == "test"
    assert later.split == "test"
    assert later.twin_id == judge.pk
    assert later.twin_share is not None
    assert 0.65 <= later.twin_share <= 1


@pytest.mark.django_db
def test_a_new_document_joins_the_split_of_the_training_document_it_is_the_twin_of() -> None:
    text = in_split("train")
    take(text)
    (later,) = take(tried(text, "test", one_word))
    assert later.split == "train"


@pytest.mark.django_db
def test_an_article_of_its_own_keeps_the_split_of_its_hash() -> None:
    take(in_split("test"))
    texts = [article(f"own {number}") for number in range(40)]
    documents = {document.text: document for document in take(*texts)}
    assert {text: documents[text].split for text in documents} == {text: hashed(text) for text in documents}
    assert not NearDuplicate.objects.exists()


@pytest.mark.django_db
def test_every_eighth_word_changed_is_another_text_and_every_ninth_is_not() -> None:
    """What the check does not promise, so that nobody believes it does: changes that leave fewer than 65 % of all
    three words in a row as they were."""
    text = in_split("test")
    take(text)

    def changed(step: int) -> str:
        return " ".join(
            word if place % step else f"new{step}x{place}" for place, word in enumerate(text.split())
        )

    assert take(changed(8))[0].twin is None
    assert take(changed(9))[0].twin is not None


@pytest.mark.django_db
def test_a_test_document_among_the_twins_decides() -> None:
    """Neither is like the other, a third document is like both: what judges wins."""
    one, other = in_split("train", 200, "one"), in_split("test", 200, "other")
    take(one, other)
    (later,) = take(f"{one} {other}")
    assert later.split == "test"
    assert Counter(NearDuplicate.objects.filter(later=later).values_list("earlier__split", flat=True)) == {
        "train": 1,
        "test": 1,
    }


@pytest.mark.django_db
def test_a_chain_of_changes_stays_in_one_split() -> None:
    """Each is like the one before; the last has hardly a phrase of the first."""
    words = in_split("test").split()
    for step in range(8):
        for place in range(step, len(words), 12):
            words[place] = f"step{step}x{place}"
        take(" ".join(words))
    splits = set(SourceDocument.objects.values_list("split", flat=True))
    assert len(splits) == 1
    texts = list(SourceDocument.objects.order_by("pk").values_list("text", flat=True))
    first, last = shingles([texts[0], texts[-1]])
    assert not likeness(first, last).near


@pytest.mark.django_db
def test_the_order_of_a_files_rows_decides_nothing() -> None:
    text = article("many")
    texts = [text, *(one_word(text, number) for number in range(10)), *(article(f"o{n}") for n in range(10))]
    found = []
    for seed in range(4):
        mixed = random.Random(seed).sample(texts, len(texts))
        with transaction.atomic():
            take(*mixed)
            found.append(dict(SourceDocument.objects.values_list("content_hash", "split")))
            transaction.set_rollback(True)
    assert all(splits == found[0] for splits in found)
    assert len({found[0][content_hash(row)] for row in texts[:11]}) == 1


@pytest.mark.django_db
def test_a_flood_of_copies_does_not_hide_the_test_document() -> None:
    text = in_split("test")
    copies = [one_word(text, number) for number in range(120)]
    for copy in copies:  # as if they had come before there were sketches
        make.document(copy, split="train")
    (judge,) = take(text, group_key="")  # joins training: it is later
    assert judge.split == "train"
    other = in_split("test", start="hidden")
    make.document(other, split="test")
    for number in range(120):
        make.document(one_word(other, number), split="train")
    (later,) = take(one_word(other, 1000))
    assert later.split == "test"


@pytest.mark.django_db
def test_a_group_follows_the_twin_of_its_member() -> None:
    text = in_split("test")
    take(text)
    documents = take(
        one_word(text, 1), article("of the same group"), group_key="a group of the training split"
    )
    assert {document.split for document in documents} == {"test"}
    (later,) = take(article("comes later"), group_key="a group of the training split")
    assert later.split == "test"


@pytest.mark.django_db
def test_a_group_of_which_one_is_in_test_does_not_follow_a_twin_into_training() -> None:
    """Its other member is like a training document: what judges wins."""
    judge = in_split("test", start="judge")
    take(judge)
    take(one_word(judge, 1), group_key="a group")
    learnt = in_split("train", start="learnt")
    (twin,) = take(learnt)
    (later,) = take(one_word(learnt, 1), group_key="a group")
    assert (twin.split, later.split) == ("train", "test")
    assert NearDuplicate.objects.filter(earlier=twin, later=later).exists(), "it is known what it is like"
    both = take(one_word(learnt, 2), article("of the group too"), group_key="a group")
    assert {document.split for document in both} == {"test"}


@pytest.mark.django_db
def test_twenty_words_are_enough_to_be_recognised() -> None:
    text = in_split("test", 24)
    take(text)
    (later,) = take(tried(text, "train", lambda text, n: text.replace(text.split()[-1], f"end{n}")))
    assert later.split == "test"


@pytest.mark.django_db
def test_the_file_the_page_and_the_report_say_which_one_was_joined() -> None:
    from reviews.ingest.imports import DOCUMENTS, ImportOptions
    from reviews.ingest.sources.files import open_file

    people = make.cast()
    text = in_split("test")
    (judge,) = take(text)
    path = Path(settings.GALLEY_HOME) / "twin.jsonl"
    path.write_text(json.dumps({"text": tried(text, "train", one_word)}))
    batch, report = DOCUMENTS.import_at_once(
        source=open_file(path), options=ImportOptions(), actor=people.ml_engineer
    )
    (joined,) = report.joined
    assert (joined.twin, joined.split) == (judge.pk, "test")
    client = Client()
    client.force_login(people.ml_engineer)
    page = markup(client.get(f"/documents/imports/{batch.pk}/"))
    share = int(100 * joined.share)
    assert f"the test split: {share} % the same as" in html.unescape(page)
    assert f"document {judge.pk}</a>" in page
    page = markup(client.get(f"/documents/{joined.document}/"))
    assert "It joined the test split" in page
    assert f'href="/documents/{judge.pk}/"' in page
    lines = b"".join(client.get(f"/documents/imports/{batch.pk}/report.csv")).decode()
    assert f"joins the test split: {share} % the same as document {judge.pk}" in lines


@pytest.mark.django_db
def test_the_preview_of_an_import_says_it_before() -> None:
    from reviews.ingest.imports import DOCUMENTS, ImportOptions, sample_rows
    from reviews.ingest.uploads import keep

    people = make.cast()
    text = in_split("test")
    (judge,) = take(text)
    changed = tried(text, "train", one_word)
    path = keep(chunks=[json.dumps({"text": changed}).encode()], name="twin.jsonl", place="uploads")
    batch = make.looked_at(
        DOCUMENTS.submit_file(path=path, options=ImportOptions(), actor=people.ml_engineer)
    )
    _, (row,) = sample_rows(batch=batch, mapping=None)
    assert row.split == "test"
    assert row.twin is not None
    assert row.twin.document == judge.pk
    client = Client()
    client.force_login(people.ml_engineer)
    assert "joins the test split" in markup(client.get(f"/documents/imports/{batch.pk}/"))


@pytest.mark.django_db
def test_the_api_answers_with_the_twin() -> None:
    people = make.cast()
    text = in_split("test")
    (judge,) = take(text)
    api = Api(people.ml_engineer, "documents:read", "documents:write")
    answer = api.post("documents/", {"text": tried(text, "train", one_word)})
    assert answer.status_code == 201
    assert (answer.json()["split"], answer.json()["twin"]) == ("test", judge.pk)
    assert 0.9 < answer.json()["twin_share"] < 1
    answer = api.post("documents/", [{"text": one_word(text, 5000)}])
    (row,) = answer.json()["results"]
    assert (row["split"], row["twin"]) == ("test", judge.pk)


@pytest.mark.django_db
def test_the_command_that_imports_is_the_same_door(tmp_path: Path) -> None:
    text = in_split("test")
    take(text)
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"text": tried(text, "train", one_word)}))
    call_command("import_documents", str(path))
    assert set(SourceDocument.objects.values_list("split", flat=True)) == {"test"}


@pytest.mark.django_db(transaction=True)
def test_what_an_import_settled_before_it_had_to_try_again_is_forgotten() -> None:
    """Another import brings one of its documents meanwhile: what hung on that one is settled once more, from the
    hash, not from the splits and twins of the attempt that failed."""
    judge = in_split("test", start="judge")
    (group,) = take(in_split("test", start="group"), group_key=key_in("test"))
    take(judge)
    changed, learnt = one_word(judge, 1), in_split("train", start="learnt")
    of_group, alone = article("alone but for its group"), key_in("train")
    near_learnt = tried(learnt, "train", one_word)
    ours = [
        DocumentRow(changed, group_key=alone),
        DocumentRow(of_group, group_key=alone),
        DocumentRow(learnt),
        DocumentRow(near_learnt, group_key=group.group_key),
    ]
    theirs = [DocumentRow(changed), DocumentRow(learnt)]
    report = import_while(theirs, ours)
    assert (report.imported, report.duplicates) == (2, 2)
    late = SourceDocument.objects.get(content_hash=content_hash(of_group))
    assert (late.split, late.twin) == ("train", None), "its group is in training, by hash"
    late = SourceDocument.objects.get(content_hash=content_hash(near_learnt))
    assert (late.split, late.twin) == ("test", None), "its group is in test, its twin is not"


def key_in(split: str) -> str:
    salt, shares = settings.GALLEY_SPLIT_SALT, settings.GALLEY_SPLIT_SHARES
    keys = (f"group {number}" for number in range(1000))
    return next(key for key in keys if split_of(key, salt=salt, shares=shares) == split)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reviews_sourcedocument SET twin_share = 0.1",
        "UPDATE reviews_sourcedocument SET twin_id = NULL, twin_share = NULL",
        "UPDATE reviews_sourcedocument SET split = 'train'",
        "DELETE FROM reviews_sketchhash",
        "DELETE FROM reviews_nearduplicate",
        "DELETE FROM reviews_referencehash",
        "UPDATE reviews_referencehash SET hash = hash + 1",
        "UPDATE reviews_sourcedocument SET reference = 'other words'",
        "UPDATE reviews_nearduplicate SET share = 0",
    ],
)
def test_by_sql_nobody_forgets_a_twin(statement: str) -> None:
    text = in_split("test")
    take(text, reference=make.REFERENCE)
    take(one_word(text, 1))
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


# ---------------------------------------------------------------- at freezing


def approved(document: SourceDocument, people: make.Cast) -> FeedbackExample:
    (example,) = propose_from_references(documents=[document], actor=people.ml_engineer)
    approve_example(example=example, actor=people.ml_engineer)
    return example


@pytest.mark.django_db
def test_no_near_duplicate_of_a_test_document_is_frozen_however_it_came_in() -> None:
    """By SQL, or by two imports at the same moment, which cannot see each other."""
    people = make.cast()
    text = in_split("test")
    judge = make.document(text, split="test")
    twin = make.document(one_word(text, 1), split="train")
    own = make.document(article("its own"), split="train")
    leak, kept = approved(twin, people), approved(own, people)
    snapshot = freeze_snapshot(name="A", actor=people.ml_engineer)
    assert list(SnapshotExample.objects.values_list("origin", flat=True)) == [f"feedback:{kept.pk}"]
    told = snapshot.selection["left_out"]
    assert told["near_test_documents"] == 1
    assert told["examples"][0].startswith(
        f"Example {leak.pk}: document {twin.pk} is nearly the same as test document {judge.pk} ("
    )
    client = Client()
    client.force_login(people.ml_engineer)
    page = markup(client.get(f"/snapshots/{snapshot.pk}/"))
    assert f"document {twin.pk} is nearly the same as test document {judge.pk}" in page
    preview = preview_snapshot(Selection())
    assert (preview.train, preview.left_out) == (1, 1)
    assert "will be left out" in markup(client.get("/feedback/freeze/"))


@pytest.mark.django_db
def test_nothing_but_near_duplicates_is_refused_with_the_reason() -> None:
    people = make.cast()
    text = in_split("test")
    make.document(text, split="test")
    approved(make.document(one_word(text, 1), split="train"), people)
    with pytest.raises(Refused, match="nearly the same as test document"):
        freeze_snapshot(name="A", actor=people.ml_engineer)


@pytest.mark.django_db
def test_the_reference_summary_of_a_test_document_is_not_taught_with_another_article() -> None:
    people = make.cast()
    judge = make.document(in_split("test"), split="test")
    thief = make.document(article("another"), split="train", reference=judge.reference.upper())
    own = make.document(article("its own"), split="train")
    stolen, kept = approved(thief, people), approved(own, people)
    snapshot = freeze_snapshot(name="A", actor=people.ml_engineer)
    assert list(SnapshotExample.objects.values_list("origin", flat=True)) == [f"feedback:{kept.pk}"]
    (told,) = snapshot.selection["left_out"]["examples"]
    assert (
        told
        == f"Example {stolen.pk}: 100 % of its text is the reference summary of test document {judge.pk}."
    )


@pytest.mark.django_db
def test_a_test_document_that_a_snapshot_has_learnt_from_is_in_no_test_set() -> None:
    people = make.cast()
    text = article("learnt")
    twin = make.document(text, split="train")
    approved(twin, people)
    snapshot = freeze_snapshot(name="A", actor=people.ml_engineer)
    learnt = make.document(one_word(text, 1), split="test")
    with pytest.raises(Refused, match=f"document {twin.pk} .*snapshot {snapshot.pk} learns from"):
        freeze_test_set(actor=people.ml_engineer)
    own = make.document(article("unseen"), split="test")
    frozen = freeze_test_set(actor=people.ml_engineer)
    assert [example.origin for example in frozen.examples.all()] == [f"document:{own.pk}"]
    (told,) = frozen.selection["left_out"]["documents"]
    assert told.startswith(f"Document {learnt.pk} is nearly the same as document {twin.pk} (")
    client = Client()
    client.force_login(people.ml_engineer)
    assert told in markup(client.get(f"/snapshots/test-sets/{frozen.pk}/"))


@pytest.mark.django_db
@pytest.mark.parametrize("came", ["with the document", "by a reviewer"])
def test_no_reference_of_a_test_set_is_taught_with_another_article(came: str) -> None:
    """A test document has as many references as were frozen, not only the one it came with."""
    people = make.cast()
    judge = make.document(in_split("test"), split="test")
    words = corrected_reference(judge)
    taught = judge.reference if came == "with the document" else words
    thief = make.document(article("another"), split="train", reference=taught.upper())
    own = make.document(article("its own"), split="train")
    stolen, kept = approved(thief, people), approved(own, people)
    snapshot = freeze_snapshot(name="A", actor=people.ml_engineer)
    assert list(SnapshotExample.objects.values_list("origin", flat=True)) == [f"feedback:{kept.pk}"]
    assert snapshot.selection["left_out"]["examples"] == [
        f"Example {stolen.pk}: 100 % of its text is the reference summary of test document {judge.pk}."
    ]


def corrected_reference(test: SourceDocument) -> str:
    """A reviewer's words that a test set measures against, which no document came with."""
    words = article("the correction of a reviewer", 30)
    item = make.queue_item(make.summary(test, "The old pier closes."), state="done")
    Review.objects.create(
        item=item, summary=item.summary, reviewer=make.user("aaron", "reviewer"), rubric=item.queue.rubric,
        state="submitted", verdict="fair", stars=3, edited_text=words, submitted_at=item.created_at,
    )  # fmt: skip
    freeze_test_set(actor=None, references="both")
    return words


# ---------------------------------------------------------------- what is nearly the same


def test_a_sketch_finds_what_the_texts_say() -> None:
    texts = [article(f"sketch {number}", 400) for number in range(60)]
    halves = [" ".join(text.split()[:200]) for text in texts]
    index = Index(list(shingles(texts)))
    found = [index.near(half)[:1] for half in shingles(halves)]
    assert [row[0][0] for row in found if row] == list(range(60))
    assert all(row[0][1].share == 1 for row in found)
    assert all(not index.near(own) for own in shingles(article(f"none {number}") for number in range(60)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Don’t stop: it’s well-known.", "dont stop its well known"),
        ("Ｆｕｌｌ ｗｉｄｔｈ ﬁne café", "full width fine cafe"),
        ("Straße in MÜNCHEN", "STRASSE IN MUNCHEN"),
        ("你好吗朋友们", "你 好 吗, 朋 友 们"),
        ("a&amp;b &lt; c d", "a b c d"),
    ],
)
def test_what_reads_the_same_is_the_same(one: str, other: str) -> None:
    first, second = shingles([one, other])
    assert len(first)
    assert first.tolist() == second.tolist()


def test_no_text_and_few_words_have_no_twins_by_chance() -> None:
    nothing, one, two, three = shingles(["", "a", "a b", "a b c"])
    assert len(nothing) == 0
    assert len({tuple(text.tolist()) for text in (one, two, three)}) == 3
    index = Index([nothing, one, two])
    assert index.near(nothing) == []
    assert [place for place, _ in index.near(one)] == [1]


@pytest.mark.django_db
def test_as_much_is_kept_of_a_long_article_as_of_a_short_one() -> None:
    """64 hashes beside the document, 16 to find it by; of a reference 8."""
    for words in (200, 5000):
        text = article(f"of {words} words", words)
        reference = article(f"reference of {words}", words // 6)
        (test,) = take(tried(text, "test", lambda text, n: f"{text} {n}"), reference=reference)
        (own,) = shingles([test.text])
        assert len(own) > 64
        assert len(sketch(own)) == len(bytes(test.sketch or b"")) / 8 == 64
        assert SketchHash.objects.filter(document=test).count() == 16
        assert ReferenceHash.objects.filter(document=test).count() == 8
