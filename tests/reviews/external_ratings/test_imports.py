"""Ratings that were given elsewhere: read right, brought in whole, once, and nobody's work here."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from models_app.foundation.errors import InvalidInput, NotAllowed, Refused
from models_app.models import AuditEvent
from reviews.external_ratings import rows as rating_rows
from reviews.external_ratings.imports import RATINGS, looked
from reviews.external_ratings.options import Options
from reviews.external_ratings.rows import Rules, Unreadable
from reviews.external_ratings.storing import Report
from reviews.ingest import uploads
from reviews.ingest.sources.files import open_file
from reviews.models import (
    Assignment,
    FeedbackExample,
    Preference,
    QueueItem,
    Rater,
    RatingImport,
    Review,
    ReviewQueue,
    ReviewRating,
    ReviewRevision,
    SourceDocument,
    Summary,
)
from reviews.reports import progress
from tests import make
from tests.pages import markup

SUMMEVAL = Path(__file__).resolve().parents[4] / "shared/data/summeval/summeval.jsonl"
LONGER = "The old pier closes for nine months."
KEYS = ("consistency", "relevance", "coherence", "fluency")
WORDS = " ".join(f"word{n}" for n in range(30))


@pytest.fixture
def cast(db: None) -> make.Cast:
    cache.clear()
    return make.cast()


def record(number: int = 1, **fields: Any) -> dict[str, Any]:
    """As SummEval has them: several systems, each with the ratings of each expert."""
    systems = {"M0": "The pier will close.", "M1": "The pier closes for nine months."}
    ratings = {name: dict.fromkeys(KEYS, 4.0) for name in systems}
    return {
        "id": f"d-{number}",
        "article": f"Article {number}. {WORDS}",
        "systems": systems,
        "ratings": ratings,
        **fields,
    }


def written(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


MAPPING = {
    "text": "article", "external_id": "id", "summary": "systems.*", "system": "*", "rater": "=summeval-experts",
    **{f"rating.{key}": f"ratings.*.{key}" for key in KEYS},
}  # fmt: skip


def imported(path: Path, actor: Any = None, **options: Any) -> Report:
    chosen = Options(**{"mapping": MAPPING, **options})
    return RATINGS.import_at_once(source=open_file(path), options=chosen, actor=actor)[1]


# ---------------------------------------------------------------- pure


def test_a_star_makes_a_row_of_each_key_or_place() -> None:
    one = record(article="A", expert=[{"coherence": 2}, {"coherence": 5}])
    rows = list(
        rating_rows.expanded(
            one, {"summary": "systems.*", "system": "*", "rating.fluency": "ratings.*.fluency"}
        )
    )
    assert [(row["system"], row["rating.fluency"]) for row in rows] == [("M0", 4.0), ("M1", 4.0)]
    rows = list(
        rating_rows.expanded(one, {"rater": "*", "rating.coherence": "expert.*.coherence", "stars": "=3"})
    )
    assert [(row["rater"], row["rating.coherence"], row["stars"]) for row in rows] == [
        ("0", 2, "3"),
        ("1", 5, "3"),
    ]
    assert list(rating_rows.expanded(one, {"summary": "id"})) == [{"summary": "d-1"}]
    assert list(rating_rows.expanded({"a.b": 1}, {"stars": "a\\.b"})) == [{"stars": 1}]
    assert list(rating_rows.expanded(one, {"summary": "nothing.*"})) == []


def test_usual_names_are_found_and_the_paths_offered() -> None:
    paths = rating_rows.paths_in([record()])
    assert paths[:2] == ["id", "article"]
    assert "systems.*" in paths
    assert "ratings.*.coherence" in paths
    assert rating_rows.guess(paths, KEYS, "reviews") == {**{k: v for k, v in MAPPING.items() if k != "rater"}}


@pytest.mark.parametrize(
    ("value", "rules", "points"),
    [
        (4, Rules(), (4, False)),
        ("5", Rules(), (5, False)),
        (4.67, Rules(rounding=True), (5, True)),
        (2.5, Rules(rounding=True), (3, True)),
        (0, Rules(scale=(0, 100)), (1, False)),
        (75, Rules(scale=(0, 100)), (4, False)),
        (80, Rules(scale=(0, 100), rounding=True), (4, True)),
        (3, Rules(scale=(1, 7), rounding=True), (2, True)),
    ],
)
def test_numbers_become_points(value: Any, rules: Rules, points: tuple[int, bool]) -> None:
    assert rating_rows.points("stars", value, rules) == points


@pytest.mark.parametrize(
    "value", [99, 0, "good", None, "", True, float("nan"), float("inf"), 4.5, [4], {"a": 1}]
)
def test_what_is_no_point_is_refused(value: Any) -> None:
    with pytest.raises(Unreadable):
        rating_rows.points("stars", value, Rules())


def test_stars_and_verdict_follow_from_ratings_where_nobody_gave_them() -> None:
    values = {"summary": "S", "rater": "r", "rating.a": 5, "rating.b": 4}
    row = rating_rows.rated_row(1, values, Rules())
    assert (row.stars, row.verdict, row.overall_from_ratings, row.edited_text) == (5, "good", True, "S")
    row = rating_rows.rated_row(1, {**values, "stars": 2, "verdict": "Fair", "edited_text": "T"}, Rules())
    assert (row.stars, row.verdict, row.overall_from_ratings, row.edited_text) == (2, "fair", False, "T")
    for wrong in (
        {"verdict": "fine"},
        {"summary": " "},
        {"rater": None},
        {"at": "yesterday"},
        {"summary": {"a": 1}},
    ):
        with pytest.raises(Unreadable):
            rating_rows.rated_row(1, {**values, **wrong}, Rules())
    with pytest.raises(Unreadable):
        rating_rows.rated_row(1, {"summary": "S", "rater": "r"}, Rules())


@pytest.mark.parametrize(
    ("said", "choice"),
    [("A", "before"), ("model_b", "after"), ("Tie", "tie"), ("tie (bothbad)", "both bad"), ("x", "tie")],
)
def test_choices_in_other_words(said: str, choice: str) -> None:
    rules = Rules(kind="pairwise", choices={"x": "tie"})
    values = {"before": "One.", "after": "Two.", "rater": "r", "choice": said, "strength": "2"}
    row = rating_rows.pair_row(1, values, rules)
    assert (row.choice, row.strength) == (choice, 2 if choice in ("before", "after") else None)
    for wrong in ({"choice": "maybe"}, {"after": "One."}, {"strength": 4, "choice": "a"}, {"before": ""}):
        with pytest.raises(Unreadable):
            rating_rows.pair_row(1, {**values, **wrong}, rules)


# ---------------------------------------------------------------- brought in


def test_a_file_comes_in_whole_and_twice_is_once(cast: make.Cast, tmp_path: Path) -> None:
    path = written(tmp_path / "ratings.jsonl", record(1), record(2))
    report = imported(path, cast.ml_engineer)
    assert (report.read, report.imported, report.repeated, report.refused_count) == (4, 4, 0, 0)
    assert (report.documents, report.summaries, report.raters) == (2, 4, ["summeval-experts"])
    review = Review.objects.order_by("pk")[0]
    assert (review.stars, review.verdict, review.overall_from_ratings) == (4, "good", True)
    assert review.edited_text == review.summary.text
    assert review.summary.system == "M0"
    assert review.summary.source == "import"
    assert review.imported_from is not None
    assert set(ReviewRating.objects.filter(review=review).values_list("criterion__key", "value")) == {
        (key, 4) for key in KEYS
    }
    assert review.revisions.get().data["stars"] == 4
    again = imported(path, cast.ml_engineer, queue=report.queue)
    assert (again.imported, again.repeated, again.documents, again.summaries) == (0, 4, 0, 0)
    assert Review.objects.count() == Summary.objects.count() == Assignment.objects.count() == 4
    assert AuditEvent.objects.filter(action="ratings.import").count() == 2


def test_raters_cannot_sign_in_and_never_are_somebody_here(cast: make.Cast, tmp_path: Path) -> None:
    imported(written(tmp_path / "a.jsonl", record()), cast.ml_engineer)
    rater = Rater.objects.get().user
    assert (rater.is_active, rater.has_usable_password(), rater.groups.count()) == (False, False, 0)
    report = imported(
        written(tmp_path / "b.jsonl", record()), cast.ml_engineer, mapping={**MAPPING, "rater": "=rita"}
    )
    assert (report.imported, report.refused_count) == (0, 2)
    assert "has an account here" in report.refused[0][2]
    assert not Review.objects.filter(reviewer=cast.reviewer).exists()
    named = imported(
        written(tmp_path / "c.jsonl", record()),
        cast.ml_engineer,
        mapping={**MAPPING, "rater": "=7"},
        raters={"7": "expert-7"},
    )
    assert named.raters == ["expert-7"]
    assert Rater.objects.filter(user__username="expert-7").exists()
    for name in ("Rita", "Expert-7"):  # an account is one in upper and lower case
        report = imported(
            written(tmp_path / f"{name}.jsonl", record()),
            cast.ml_engineer,
            mapping={**MAPPING, "rater": f"={name}"},
        )
        assert (report.imported, report.refused_count) == (0, 2)
        assert report.refused[0][2].startswith(f"{name!r}")


def test_imported_work_is_nobodys_work_here(cast: make.Cast, tmp_path: Path) -> None:
    report = imported(written(tmp_path / "a.jsonl", *(record(n) for n in range(8))), cast.ml_engineer)
    assert progress.team(actor=cast.ml_engineer).people == []
    queue = ReviewQueue.objects.get(name=report.queue)
    assert not queue.active
    assert not QueueItem.objects.filter(queue=queue).exclude(state="done").exists()
    assert queue.slug not in {row.slug for row in progress.queues().rows}


def test_two_raters_of_one_summary_are_two_assignments(cast: make.Cast, tmp_path: Path) -> None:
    one = record(
        decoded="The pier closes.",
        expert=[dict.fromkeys(KEYS, 5), dict.fromkeys(KEYS, 1), dict.fromkeys(KEYS, 3)],
    )
    mapping = {
        "text": "article", "summary": "decoded", "rater": "*", **{f"rating.{key}": f"expert.*.{key}" for key in KEYS},
    }  # fmt: skip
    raters = {str(n): f"expert-{n}" for n in range(3)}
    imported(written(tmp_path / "a.jsonl", one), cast.ml_engineer, mapping=mapping, raters=raters)
    item = QueueItem.objects.get()
    assert item.wanted_reviews == 3
    assert [assignment.position for assignment in item.assignments.all()] == [0, 1, 2]
    assert [review.verdict for review in item.reviews.order_by("pk")] == ["good", "poor", "fair"]


def test_another_answer_of_the_same_rater_is_refused(cast: make.Cast, tmp_path: Path) -> None:
    imported(written(tmp_path / "a.jsonl", record()), cast.ml_engineer, queue="Others")
    worse = record(ratings={name: dict.fromkeys(KEYS, 2) for name in ("M0", "M1")})
    report = imported(written(tmp_path / "b.jsonl", worse, worse), cast.ml_engineer, queue="Others")
    assert (report.imported, report.repeated, report.refused_count) == (0, 0, 4)
    assert "otherwise" in report.refused[0][2]


def test_bad_rows_hinder_no_other_and_are_named(cast: make.Cast, tmp_path: Path) -> None:
    between = record(2, ratings={"M0": dict.fromkeys(KEYS, 4.33), "M1": dict.fromkeys(KEYS, 4)})
    missing = record(3, ratings={"M0": {**dict.fromkeys(KEYS, 4), "fluency": 99}, "M1": {}})
    short = record(4, article="Too short.")
    path = written(tmp_path / "a.jsonl", record(1), between, missing, short)
    path.write_text(path.read_text() + "{\n")
    report = imported(path, cast.ml_engineer)
    assert (report.imported, report.refused_count, report.read) == (3, 5, 8)
    assert report.documents == SourceDocument.objects.count() == 2, "no article of which every row is refused"
    assert report.refused == sorted(report.refused)
    reasons = {(row, name) for row, name, _ in report.refused}
    assert {row for row, _ in reasons} == {2, 3, 4, 5}
    assert (3, "rating.fluency") in reasons
    assert (4, "text") in reasons
    rounded = imported(path, cast.ml_engineer, rounding=True, queue=report.queue)
    assert (rounded.imported, rounded.rounded, rounded.repeated) == (1, 4, 3)


def test_a_failure_half_way_leaves_nothing(
    cast: make.Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents, queues = SourceDocument.objects.count(), ReviewQueue.objects.count()

    def fail(*args: Any, **options: Any) -> None:
        raise OSError("the disk went away")

    monkeypatch.setattr(ReviewRevision.objects, "bulk_create", fail)
    with pytest.raises(OSError):
        imported(written(tmp_path / "a.jsonl", record()), cast.ml_engineer)
    assert not Review.objects.exists()
    assert not Rater.objects.exists()
    assert (SourceDocument.objects.count(), ReviewQueue.objects.count()) == (documents, queues)


def test_edits_become_examples_to_be_decided_on(cast: make.Cast, tmp_path: Path) -> None:
    row = {
        "article": f"A. {WORDS}",
        "summary": "It closes soon.",
        "edit": LONGER,
        "stars": 2,
    }
    mapping = {
        "text": "article",
        "summary": "summary",
        "edited_text": "edit",
        "stars": "stars",
        "rater": "=lab",
    }
    report = imported(written(tmp_path / "a.jsonl", row), cast.ml_engineer, mapping=mapping)
    kinds = set(FeedbackExample.objects.values_list("kind", flat=True))
    assert report.proposed == len(kinds) == 2
    assert not FeedbackExample.objects.filter(state="approved").exists()
    other = {**row, "article": f"B. {WORDS}"}
    assert not imported(
        written(tmp_path / "b.jsonl", other), cast.ml_engineer, mapping=mapping, propose=False
    ).proposed


def test_choices_between_two_come_in_and_twice_is_once(cast: make.Cast, tmp_path: Path) -> None:
    row = {
        "article": f"A. {WORDS}",
        "a": "One.",
        "b": "Two.",
        "winner": "model_b",
        "who": "w 1",
        "why": "Shorter.",
    }
    mapping = {
        "text": "article",
        "before": "a",
        "after": "b",
        "choice": "winner",
        "rater": "who",
        "comment": "why",
    }
    path = written(tmp_path / "a.jsonl", row, {**row, "who": "w2", "winner": "tie"})
    for counts in ((2, 0), (0, 2)):
        report = imported(path, cast.ml_engineer, kind="pairwise", mapping=mapping, queue="Pairs")
        assert (report.imported, report.repeated) == counts
    choices = Preference.objects.order_by("pk")
    assert [(one.reviewer.username, one.choice, one.reason) for one in choices] == [
        ("w-1", "after", "Shorter."), ("w2", "tie", "Shorter."),
    ]  # fmt: skip
    item = QueueItem.objects.get(queue__name="Pairs")
    assert item.other is not None
    assert (item.summary.text, item.other.text, item.queue.kind) == ("One.", "Two.", "pairwise")


def test_nonsense_is_refused_with_its_field(cast: make.Cast, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", record())
    for options, name in (
        ({"mapping": {}}, "summary"),
        ({"mapping": {**MAPPING, "text": "body"}}, "text"),
        ({"mapping": {**MAPPING, "rating.wit": "id"}}, "rating.wit"),
        ({"mapping": {k: v for k, v in MAPPING.items() if not k.startswith("rating.")}}, "stars"),
        ({"scale": (5.0, 1.0)}, "scale"),
        ({"kind": "likes"}, "kind"),
        ({"raters": {"0": "two words"}}, "raters"),
        ({"rubric": 99}, "rubric"),
        ({"queue": "New drafts"}, "queue"),
    ):
        with pytest.raises(InvalidInput) as refused:
            imported(path, cast.ml_engineer, **options)
        assert name in refused.value.fields, options
    for person in (cast.reviewer, cast.approver, cast.stranger):
        with pytest.raises(NotAllowed):
            imported(path, person)
    assert not Review.objects.exists()


@pytest.mark.slow
@pytest.mark.skipif(not SUMMEVAL.exists(), reason="the SummEval file is not here")
def test_summeval_comes_in(cast: make.Cast, capsys: Any) -> None:
    call_command("import_ratings", str(SUMMEVAL), "--map", "rater==summeval-experts", "--round", "--json")
    report = json.loads(capsys.readouterr().out)
    assert (report["read"], report["imported"], report["documents"]) == (1600, 1600, 100)
    assert report["refused_count"] == 0
    assert report["rounded"] == 1403 + 1321, "means of three experts that are no whole points"
    assert Summary.objects.filter(source="import").count() == 1600
    assert ReviewRating.objects.count() == 6400


def test_the_command_looks_imports_and_says_what_is_wrong(
    cast: make.Cast, tmp_path: Path, capsys: Any
) -> None:
    path = written(tmp_path / "ratings.jsonl", record())
    call_command("import_ratings", str(path), "--map", "rater==experts", "--look")
    out = capsys.readouterr().out
    assert "ratings.*.coherence" in out
    assert "rater='experts'" in out
    assert not Review.objects.exists()
    call_command("import_ratings", str(path), "--map", "rater==experts", "--user", "mila")
    assert "2 read, 2 imported, 0 there already, 0 refused" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        call_command("import_ratings", str(path))
    assert "rater: Say which column" in capsys.readouterr().err
    with pytest.raises(CommandError):
        call_command("import_ratings", str(path), "--scale", "low")


def test_a_file_is_submitted_looked_at_and_imported_by_a_job(
    cast: make.Cast, tmp_path: Path, settings: Any
) -> None:
    home = Path(settings.GALLEY_HOME) / RATINGS.place / "x"
    home.mkdir(parents=True, exist_ok=True)
    path = written(home / "ratings.jsonl", record())
    batch = make.looked_at(RATINGS.submit_file(path=path, options=Options(), actor=cast.ml_engineer))
    seen = looked(sample=batch.report["sample"], options=Options(mapping=MAPPING))
    assert [one.row.system for one in seen if isinstance(one.row, rating_rows.RatedRow)] == ["M0", "M1"]
    job = RATINGS.start(row=batch, options=Options(mapping=MAPPING), actor=cast.ml_engineer)
    assert RATINGS.start(row=batch, options=Options(mapping=MAPPING), actor=cast.ml_engineer).pk == job.pk
    assert make.carried_out(job).result["imported"] == 2
    batch.refresh_from_db()
    assert RATINGS.carry_out(row=batch) is None
    with pytest.raises(Refused):
        RATINGS.discard(row=batch, actor=cast.ml_engineer)


def test_a_file_that_nobody_imported_goes_when_its_time_is_over(
    cast: make.Cast, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.GALLEY_UPLOAD_DAYS = 3

    def submitted(name: str) -> RatingImport:
        content = json.dumps(record()).encode()
        path = uploads.keep(chunks=[content], name=name, place=RATINGS.place)
        return make.looked_at(RATINGS.submit_file(path=path, options=Options(), actor=cast.ml_engineer))

    old, same, other = submitted("one.jsonl"), submitted("one.jsonl"), submitted("other.jsonl")
    job = RATINGS.start(row=same, options=Options(mapping=MAPPING), actor=cast.ml_engineer)
    long_ago = timezone.now() - timedelta(days=4)
    RatingImport.objects.exclude(pk=other.pk).update(created_at=long_ago)
    with django_capture_on_commit_callbacks(execute=True):
        assert RATINGS.forget_left_behind() == 1
    assert not RatingImport.objects.filter(pk=old.pk).exists()
    assert AuditEvent.objects.get(action="ratings.import.discard").data == {"name": "one.jsonl"}
    assert uploads.path_of(same).is_file(), "its import still waits for the queue"
    with django_capture_on_commit_callbacks(execute=True):
        make.carried_out(job)
    RatingImport.objects.update(created_at=long_ago, finished_at=long_ago)
    with django_capture_on_commit_callbacks(execute=True):
        assert RATINGS.forget_left_behind() == 1
    assert [*RatingImport.objects.all()] == [same], "what came in keeps its report"
    assert not list((Path(settings.GALLEY_HOME) / RATINGS.place).glob("*/o*.jsonl"))


# ---------------------------------------------------------------- the pages


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_the_pages_look_map_import_and_report(cast: make.Cast) -> None:
    client = signed_in(cast.ml_engineer)
    lines = "".join(json.dumps(record(number)) + "\n" for number in (1, 2))
    upload = SimpleUploadedFile("experts.jsonl", lines.encode())
    answer = client.post("/ratings/", {"kind": "reviews", "file": upload})
    batch = RatingImport.objects.get()
    assert answer["Location"] == f"/ratings/{batch.pk}/"
    assert "Looking at the first rows" in markup(client.get(answer["Location"]))
    assert client.post(f"/ratings/{batch.pk}/preview/", {}).status_code == 409
    assert client.post(f"/ratings/{batch.pk}/start/", {}).status_code == 302
    make.looked_at(batch)
    assert "to be checked" in markup(client.get("/ratings/"))
    page = markup(client.get(answer["Location"]))
    assert 'value="ratings.*.coherence"' in page
    assert "Say which column it is" in page, "nobody can guess the rater"
    form = {f"map_{name}": path for name, path in MAPPING.items()} | {"low": 1, "high": 5}
    fragment = markup(client.post(f"/ratings/{batch.pk}/preview/", form))
    assert "by summeval-experts" in fragment
    assert "nothing wrong" in fragment
    wrong = client.post(f"/ratings/{batch.pk}/start/", {**form, "map_rater": "=rita", "raters": "no sign"})
    assert wrong.status_code == 422
    assert "write value=name" in markup(wrong)
    wrong = client.post(f"/ratings/{batch.pk}/start/", {**form, "map_summary": "text"})
    assert "There is no column" in markup(wrong)
    assert client.post(f"/ratings/{batch.pk}/start/", form).status_code == 302
    assert "waiting for the queue" in markup(client.get(f"/ratings/{batch.pk}/"))
    batch.refresh_from_db()
    assert batch.job is not None
    make.carried_out(batch.job)
    done = client.get(f"/ratings/{batch.pk}/", headers={"HX-Request": "true"})
    assert done["HX-Refresh"] == "true"
    page = markup(client.get(f"/ratings/{batch.pk}/"))
    assert "4 of 4 rows came in" in page
    assert "cannot sign in" in page
    assert "experts.jsonl" in markup(client.get("/ratings/"))
    assert client.post(f"/ratings/{batch.pk}/discard/").status_code == 409


def test_pages_of_pairs_and_of_files_that_are_none(cast: make.Cast) -> None:
    client = signed_in(cast.ml_engineer)
    row = {
        "article": f"A. {WORDS}",
        "chosen": "Two.",
        "rejected": "One.",
        "annotator": "w1",
        "winner": "after",
    }
    upload = SimpleUploadedFile("pairs.jsonl", json.dumps(row).encode())
    client.post("/ratings/", {"kind": "pairwise", "file": upload})
    batch = make.looked_at(RatingImport.objects.get())
    page = markup(client.get(f"/ratings/{batch.pk}/"))
    assert "nothing wrong with it" in page
    assert 'name="map_stars"' not in page
    assert client.post(f"/ratings/{batch.pk}/discard/").status_code == 302
    assert not RatingImport.objects.exists()
    broken = SimpleUploadedFile("a.pdf", b"%PDF-1.7 something")
    answer = client.post("/ratings/", {"kind": "reviews", "file": broken})
    assert answer.status_code == 422
    assert "PDF" in markup(answer)
    for person in (cast.reviewer, cast.approver, cast.stranger):
        assert signed_in(person).get("/ratings/").status_code == 403
