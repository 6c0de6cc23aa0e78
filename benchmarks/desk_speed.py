"""Server time and number of queries of the pages that people wait for, with 100,000 summaries and 20,000 reviews.

    python benchmarks/desk_speed.py [--summaries 100000] [--reviews 20000] [--rounds 60] [--keep | --on DIRECTORY]

Makes the data in a database of its own (in a temporary directory; PostgreSQL is started there and stopped again), then
asks each page through Django's test client: middleware, session, view and template, no network. Half of the summaries
wait in each of two queues; twenty reviewers have submitted a twentieth of the reviews each; all examples were approved
and are in a snapshot from which two models were trained. The budget is 150 ms at the 95th percentile and a fixed number
of queries; the exit code is 1 where a page misses it. Pages that this version does not have are named.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
BUDGET_MS = 150.0
REVIEWERS = 20
TEST_DOCUMENTS = 2000

SENTENCES = (
    "The harbour authority of Nordhaven said on Monday that it will close the old pier for nine months. "
    "Divers found that 140 of its piles are rotten, and the engineer called the state of them a surprise. "
    "The work will cost 3.2 million euros, half of it paid by the region and the rest by the town itself. "
    "Ferries to the two islands will leave from the northern quay instead, an hour later than they do now. "
)

DATA = """
INSERT INTO reviews_sourcedocument (title, text, domain, language, origin, licence, external_id, group_key,
       content_hash, split, reference, words, created_at)
SELECT 'Report number ' || n, repeat(%(sentences)s, 5) || 'This is report number ' || n || '.',
       (ARRAY['news', 'business', 'education', 'entertainment', 'other'])[n %% 5 + 1], 'en', 'benchmark', '', '', '',
       encode(sha256(n::text::bytea), 'hex'), CASE WHEN n %% 10 = 0 THEN 'test' ELSE 'train' END,
       'The pier closes for nine months, says report ' || n || '.', 370, now() - n * interval '1 second'
  FROM generate_series(1, %(summaries)s) n;

INSERT INTO reviews_summary (document_id, release_id, model_version_id, prompt_version_id, text, decoding, source,
       words, truncated, finish, latency_ms, created_at)
SELECT id, %(release)s, %(model)s, %(prompt)s, %(sentences)s || title || '.', '{}', 'batch', 72, false, 'stop', 900,
       created_at
  FROM reviews_sourcedocument;

INSERT INTO reviews_queueitem (queue_id, summary_id, reason, note, priority, state, created_at)
SELECT (ARRAY[%(queue)s, %(other_queue)s])[id %% 2 + 1], id, 'new draft', '', id %% 7, 'open', created_at
  FROM reviews_summary;

INSERT INTO reviews_assignment (item_id, queue_id, position, priority, state)
SELECT id, queue_id, 0, priority, 'free' FROM reviews_queueitem;

INSERT INTO reviews_review (item_id, summary_id, reviewer_id, rubric_id, state, stars, verdict, ratings, edited_text,
       comment, wants_retrain, wants_refine, sentiment, sentiment_score, category, active_seconds, late, revision,
       created_at, updated_at, submitted_at)
SELECT item.id, item.summary_id, (%(reviewers)s)[item.id %% cardinality(%(reviewers)s) + 1], %(rubric)s, 'submitted',
       item.id %% 5 + 1, (ARRAY['good', 'fair', 'poor'])[item.id %% 3 + 1],
       '{"consistency": 4, "relevance": 4, "coherence": 5, "fluency": 5}', replace(summary.text, '140', '410'),
       'One number is wrong.', false, false, 'negative', -0.4, 'factual error', 90, false, 3, now(), now(),
       now() - item.id * interval '20 seconds'
  FROM reviews_queueitem item JOIN reviews_summary summary ON summary.id = item.summary_id
 ORDER BY item.priority DESC, item.id LIMIT %(reviews)s;

UPDATE reviews_assignment assignment SET state = 'done', reviewer_id = review.reviewer_id
  FROM reviews_review review WHERE review.item_id = assignment.item_id;
UPDATE reviews_queueitem item SET state = 'done' FROM reviews_review review WHERE review.item_id = item.id;

INSERT INTO reviews_reviewrating (review_id, criterion_id, value)
SELECT review.id, criterion.id, review.id %% 5 + 1
  FROM reviews_review review CROSS JOIN reviews_criterion criterion WHERE criterion.rubric_id = %(rubric)s;

INSERT INTO reviews_feedbackexample (kind, origin, document_id, summary_id, review_id, target, rejected, state, reason,
       created_by_id, decided_by_id, created_at, decided_at)
SELECT kind, 'review', summary.document_id, summary.id, review.id, review.edited_text,
       CASE kind WHEN 'preference' THEN summary.text ELSE '' END, 'approved', '', review.reviewer_id,
       review.reviewer_id, now(), now()
  FROM reviews_review review JOIN reviews_summary summary ON summary.id = review.summary_id
 CROSS JOIN unnest(ARRAY['demonstration', 'preference']) kind;

INSERT INTO models_app_snapshotexample (snapshot_id, position, split, document_hash, origin, domain, title, source,
       target, rejected)
SELECT %(snapshot)s, row_number() OVER (ORDER BY example.id), 'train', document.content_hash, 'feedback:' || example.id,
       document.domain, document.title, document.text, example.target, ''
  FROM reviews_feedbackexample example JOIN reviews_sourcedocument document ON document.id = example.document_id
 WHERE example.kind = 'demonstration' AND document.split = 'train';

INSERT INTO reviews_promptsuggestion (suggested_by_id, document_id, based_on_id, system, template, output, note, state,
       reason, created_at)
SELECT (%(reviewers)s)[id %% cardinality(%(reviewers)s) + 1], id, %(prompt)s, '', 'In brief: {text} ' || id, 'Brief.',
       'Shorter.', 'open', '', now()
  FROM reviews_sourcedocument LIMIT 2000;
"""


@contextlib.contextmanager
def installation(kept: Path | None, keep: bool) -> Iterator[None]:
    """Django on a fresh database in a directory of its own, or on one that was kept."""
    home = kept or Path(tempfile.mkdtemp(prefix="galley-desk-speed-"))
    home.chmod(0o755)  # PostgreSQL may have to run as a user of its own
    os.environ.update(
        GALLEY_HOME=str(home), GALLEY_LOG_LEVEL="ERROR", DJANGO_SETTINGS_MODULE="llmops_site.settings"
    )
    for name in ("DATABASE_URL", "GALLEY_DEBUG", "GALLEY_PUBLIC_URL"):
        os.environ.pop(name, None)
    from llmops_site import embedded

    try:
        with embedded.held(home):
            import django
            from django.conf import settings
            from django.core.management import call_command

            settings.ALLOWED_HOSTS = ["testserver"]
            # no manifest: nothing is collected for this
            settings.STORAGES["staticfiles"] = {
                "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
            }
            django.setup()
            call_command("migrate", verbosity=0)
            yield
    finally:
        if keep or kept:
            print(f"kept: {home}")
        else:
            shutil.rmtree(home)


def fill(summaries: int, reviews: int) -> None:
    from django.contrib.auth.models import Group, User
    from django.db import connection, transaction

    from models_app.models import DatasetSnapshot, ModelVersion, PromptVersion, Route, TrainingRun
    from reviews.models import ReviewQueue
    from tests import make

    people = [
        User.objects.create_user(f"reviewer{number}", password=f"benchmark-{number}-{time.time()}")
        for number in range(REVIEWERS)
    ]
    for person in people:
        person.groups.set(Group.objects.filter(name="reviewer"))
    engineer = User.objects.create_user("engineer")
    engineer.groups.set(Group.objects.filter(name="ml engineer"))
    queue, other = ReviewQueue.objects.get(slug="new-drafts"), ReviewQueue.objects.get(slug="weak-outputs")
    prompt = PromptVersion.objects.get(prompt__name="news summary", number=1)
    snapshot = DatasetSnapshot.objects.create(
        name="benchmark",
        digest="0" * 64,
        train_rows=reviews,
        validation_rows=0,
        directory="snapshots/benchmark",
    )
    live = make.release(state="live", prompt_version=prompt)
    Route.objects.update(release=live)
    for number in range(2):
        run = TrainingRun.objects.create(
            name=f"run {number}", snapshot=snapshot, base="starter", prompt_version=prompt, recipe={},
            recipe_digest=str(number), state="succeeded",
        )  # fmt: skip
        model = ModelVersion.objects.create(
            name=f"tuned {number}", family="llama", architecture="Llama", base="starter", digest=str(number),
            engine="ctranslate2", training_run=run,
        )  # fmt: skip
        make.release(model, state="superseded", prompt_version=prompt)
    values = {
        "summaries": summaries,
        "reviews": reviews,
        "sentences": SENTENCES,
        "release": live.pk,
        "model": live.model_version_id,
        "prompt": prompt.pk,
        "queue": queue.pk,
        "other_queue": other.pk,
        "rubric": queue.rubric_id,
        "reviewers": [person.pk for person in people],
        "snapshot": snapshot.pk,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in DATA.split(";\n"):
            if statement.strip():
                cursor.execute(statement, values)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    comparison(live)


def found() -> dict[str, Any]:
    """What the pages need to be asked for."""
    from django.contrib.auth.models import User

    from models_app.models import Comparison
    from reviews.models import ReviewQueue

    return {
        "reviewers": list(User.objects.filter(username__startswith="reviewer").order_by("pk")),
        "engineer": User.objects.get(username="engineer"),
        "queue": ReviewQueue.objects.get(slug="new-drafts"),
        "comparison": Comparison.objects.first(),
    }


def comparison(live: Any) -> None:
    """Two releases on 2,000 test documents, compared."""
    import random

    from models_app.evaluation.comparing import compare_releases
    from models_app.evaluation.sets import EvaluationRow, freeze_evaluation_set
    from models_app.evaluation.signature import SIGNATURE
    from models_app.models import EvaluationExample, EvaluationRun, ExampleScore
    from tests import make

    rows = [
        EvaluationRow(
            document_hash=f"{number:064}",
            origin=f"document:{number}",
            source=SENTENCES * 5,
            reference=SENTENCES[:200],
            title=f"Report {number}",
            domain=("news", "business", "other")[number % 3],
        )
        for number in range(TEST_DOCUMENTS)
    ]
    documents = freeze_evaluation_set(rows=rows, name="benchmark", selection={}, actor=None)
    draw = random.Random(7)  # nosec B311 (figures for a benchmark)
    runs = []
    for release in (make.release(prompt_version=live.prompt_version), live):
        run = EvaluationRun.objects.create(
            release=release, evaluation_set=documents, state="succeeded", signature=SIGNATURE
        )
        ExampleScore.objects.bulk_create(
            ExampleScore(
                run=run,
                example=example,
                output=SENTENCES[: draw.randint(80, 300)],
                rouge1=draw.random(),
                rouge2=draw.random(),
                rougeL=draw.random(),
                rougeLsum=draw.random(),
                summary_words=draw.randint(20, 70),
                length_ratio=1.0,
                repetition=0.0,
                copied_share=0.5,
                unsupported_numbers=0,
                unsupported_names=0,
                latency_ms=800.0,
                finish="stop",
            )
            for example in EvaluationExample.objects.filter(evaluation_set=documents).iterator()
        )
        runs.append(run)
    compare_releases(candidate=runs[0], baseline=runs[1], lead=None, actor=None, resamples=2000)


def pages(made: dict[str, Any]) -> Iterator[tuple[str, Any, Callable[[int], str]]]:
    """(what, who asks, address of the n-th request)."""
    from django.urls import NoReverseMatch, reverse

    first = made["reviewers"][0]
    wanted: list[tuple[str, Any, str, list[Any], str]] = [
        ("desk: my item", first, "desk_next", [made["queue"].slug], ""),
        ("desk: queues", first, "desk", [], ""),
        ("my feedback", first, "my_feedback", [], "?page={page}"),
        ("my suggestions", first, "my_feedback", [], "?list=suggestions"),
        ("home", made["engineer"], "home", [], ""),
        ("documents", made["engineer"], "documents", [], "?page={page}"),
        ("documents, searched", made["engineer"], "documents", [], "?q=number+77"),
        ("feedback", made["engineer"], "feedback", [], "?state=approved&page={page}"),
        ("comparison", made["engineer"], "comparison", [made["comparison"].pk], ""),
    ]
    for what, who, name, arguments, query in wanted:
        try:
            address = reverse(name, args=arguments)
        except NoReverseMatch:
            print(f"{what}: this version has no such page")
            continue
        yield what, who, lambda n, address=address, query=query: address + query.format(page=n % 40 + 1)  # type: ignore[misc]


def measured(ask: Callable[[int], Any], rounds: int) -> tuple[list[float], float, set[int]]:
    """Milliseconds of each round after three to warm up, the mean of this process's own work (neighbours on the
    machine do not change it), and the numbers of queries seen."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    for number in range(3):
        ask(number)
    times = []
    gc.collect()
    worked = time.process_time()
    for number in range(rounds):
        began = time.perf_counter()
        answer = ask(number)
        times.append((time.perf_counter() - began) * 1000)
        if answer.status_code >= 400:
            raise SystemExit(f"answered {answer.status_code}")
    own = (time.process_time() - worked) * 1000 / rounds
    counts = set()
    for number in range(5):
        with CaptureQueriesContext(connection) as queries:
            ask(number)
        counts.add(len(queries))
    return sorted(times), own, counts


def claims_and_submits(made: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Claiming and submitting through the pages, each time a new item, by several reviewers in turn."""
    from django.test import Client
    from django.urls import reverse

    clients = [signed_in(Client(), person) for person in made["reviewers"][1:6]]
    times: dict[str, list[float]] = {"desk: claim next": [], "desk: save draft": [], "desk: submit": []}
    for number in range(rounds):
        client = clients[number % len(clients)]
        began = time.perf_counter()
        page = client.get(reverse("desk_next", args=[made["queue"].slug]))
        times["desk: claim next"].append((time.perf_counter() - began) * 1000)
        item, assignment, token = (
            re.search(pattern, page.content.decode())[1]  # type: ignore[index]
            for pattern in (
                r'data-item="(\d+)"',
                r'name="assignment" value="(\d+)"',
                r'name="token" value="([^"]+)"',
            )
        )
        values = {
            "assignment": assignment,
            "token": token,
            "base_revision": 0,
            "stars": 4,
            "verdict": "good",
            "edited_text": SENTENCES,
            "comment": "The number of piles is wrong.",
            **{f"rating-{key}": 4 for key in ("consistency", "relevance", "coherence", "fluency")},
        }
        for what, name in (("desk: save draft", "desk_save"), ("desk: submit", "desk_submit")):
            began = time.perf_counter()
            answer = client.post(reverse(name, args=[item]), values, headers={"Accept": "application/json"})
            times[what].append((time.perf_counter() - began) * 1000)
            if answer.status_code != 200:
                raise SystemExit(f"{what}: answered {answer.status_code} {answer.content!r}")
            values["base_revision"] = 1
    return {what: sorted(found) for what, found in times.items()}


def signed_in(client: Any, person: Any) -> Any:
    client.force_login(person, "allauth.account.auth_backends.AuthenticationBackend")
    return client


def quantile(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--summaries", type=int, default=100_000)
    parser.add_argument("--reviews", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--only", default="", help="pages whose name contains this")
    parser.add_argument("--on", type=Path, help="a directory that --keep left behind, instead of new data")
    parser.add_argument("--keep", action="store_true", help="leave the database directory behind")
    options = parser.parse_args()
    over = False
    with installation(options.on, options.keep):
        from django.test import Client

        began = time.monotonic()
        if options.on is None:
            fill(options.summaries, options.reviews)
        made = found()
        print(
            f"{options.summaries:,} summaries and {options.reviews:,} reviews in {time.monotonic() - began:.0f} s\n"
        )
        print(f"{'page':24} {'p50 ms':>8} {'p95 ms':>8} {'own ms':>8}   queries")
        for what, who, address in pages(made):
            if options.only not in what:
                continue
            client = signed_in(Client(), who)
            times, own, counts = measured(
                lambda n, client=client, address=address: client.get(address(n)), options.rounds
            )  # type: ignore[misc]
            over |= quantile(times, 0.95) > BUDGET_MS or len(counts) > 1
            queries = " or ".join(str(count) for count in sorted(counts))
            figures = f"{quantile(times, 0.5):8.1f} {quantile(times, 0.95):8.1f} {own:8.1f}"
            print(f"{what:24} {figures}   {queries}")
        for what, times in claims_and_submits(made, options.rounds).items():
            over |= quantile(times, 0.95) > BUDGET_MS
            print(f"{what:24} {quantile(times, 0.5):8.1f} {quantile(times, 0.95):8.1f}")
    print(f"\nbudget: {BUDGET_MS:.0f} ms at p95, {'missed' if over else 'held'}")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
