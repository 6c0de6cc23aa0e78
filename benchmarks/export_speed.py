"""Exports of 20,000 and of 200,000 reviews: wall time, CPU time, and the most memory, which must not grow with rows.

    python benchmarks/export_speed.py [--small 20000] [--large 200000] [--words 640]

Every review has four ratings, an edit, a comment, every second one a marked error and judged sentences; articles have
as many words as CNN/DailyMail's. Each export is a process of its own, as in the queue, on a database server of this
benchmark's own; what it wrote is read again and counted. The exit code is 1 where 20,000 take longer than 2.5 s or ten
times the rows take a quarter more memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import installation
import psutil

BUDGET_SECONDS = 2.5
RUNS = (
    ("small", "reviews", "jsonl", "articles"), ("small", "reviews", "jsonl", "none"),
    ("small", "reviews", "csv", "articles"), ("small", "ratings", "jsonl", "none"),
    ("small", "reviews", "datasets", "articles"), ("small", "sft", "jsonl", "articles"),
    ("large", "reviews", "jsonl", "articles"), ("large", "reviews", "csv", "none"),
    ("large", "reviews", "datasets", "articles"),
)  # fmt: skip

DATA = """
INSERT INTO reviews_sourcedocument (title, text, domain, language, origin, licence, external_id, group_key,
       content_hash, split, reference, words, fields, created_at)
SELECT 'Report number ' || n, (SELECT string_agg(md5(n || '-' || w), ' ') FROM generate_series(1, %(chunks)s) w),
       'news', 'en', 'benchmark', 'CC0', 'report-' || n, '', encode(sha256(n::text::bytea), 'hex'),
       CASE WHEN n %% 10 = 0 THEN 'test' ELSE 'train' END, '', %(words)s, '{}', now()
  FROM generate_series(1, %(large)s) n;

INSERT INTO reviews_summary (document_id, release_id, model_version_id, prompt_version_id, text, decoding, source,
       words, truncated, finish, created_at)
SELECT id, %(release)s, %(model)s, %(prompt)s, repeat('The harbour will close for 410 months. ', 6) || title, '{}',
       'batch', 45, false, 'stop', now() FROM reviews_sourcedocument;

INSERT INTO reviews_queueitem (queue_id, summary_id, reason, note, priority, wanted_reviews, state, created_at)
SELECT CASE WHEN row_number() OVER (ORDER BY id) <= %(small)s THEN %(other_queue)s ELSE %(queue)s END, id,
       'new draft', '', 0, 1, 'done', now() FROM reviews_summary;

INSERT INTO reviews_review (item_id, summary_id, reviewer_id, rubric_id, state, stars, verdict, ratings,
       overall_from_ratings, marks, support, edited_text, comment, wants_retrain, wants_refine, sentiment, category,
       active_seconds, late, revision, created_at, updated_at, submitted_at)
SELECT item.id, summary.id, (%(reviewers)s)[item.id %% cardinality(%(reviewers)s) + 1], %(rubric)s, 'submitted',
       item.id %% 5 + 1, (ARRAY['good', 'fair', 'poor'])[item.id %% 3 + 1], '{}', false, '[]', '[]',
       replace(summary.text, '410', '14'), 'One number is wrong: months, not weeks.', false, false, 'negative', '',
       90, false, 3, now(), now(), now()
  FROM reviews_queueitem item JOIN reviews_summary summary ON summary.id = item.summary_id;

INSERT INTO reviews_reviewrating (review_id, criterion_id, value)
SELECT review.id, criterion.id, review.id %% 5 + 1
  FROM reviews_review review CROSS JOIN reviews_criterion criterion WHERE criterion.rubric_id = %(rubric)s;

INSERT INTO reviews_spanmark (review_id, side, start, "end", quote, error_type, severity, note, suggested)
SELECT id, 'summary', 27, 30, '410', 'wrong entity or number', 'major', '', true FROM reviews_review WHERE id %% 2 = 0;

INSERT INTO reviews_sentencesupport (review_id, start, "end", supported)
SELECT id, n * 39, n * 39 + 38, n %% 2 = 0 FROM reviews_review, generate_series(0, 5) n WHERE id %% 2 = 0;

INSERT INTO reviews_feedbackexample (kind, origin, document_id, summary_id, review_id, target, rejected, state, reason,
       created_at)
SELECT 'demonstration', 'review', summary.document_id, summary.id, review.id, review.edited_text, '', 'approved', '',
       now() FROM reviews_review review JOIN reviews_summary summary ON summary.id = review.summary_id
"""


def fill(small: int, large: int, words: int) -> None:
    from django.contrib.auth.models import User
    from django.db import connection, transaction

    from models_app.models import PromptVersion
    from reviews.models import ReviewQueue
    from tests import make

    queue = ReviewQueue.objects.get(slug="new-drafts")
    other = ReviewQueue.objects.get(slug="weak-outputs")
    prompt = PromptVersion.objects.get(prompt__name="news summary", number=1)
    release = make.release(prompt_version=prompt)
    people = [User.objects.create_user(f"reviewer{number}").pk for number in range(20)]
    values = {
        "small": small, "large": large, "words": words, "chunks": words * 6 // 33,
        "release": release.pk, "prompt": prompt.pk,
        "model": release.model_version_id, "queue": queue.pk, "other_queue": other.pk, "rubric": queue.rubric_id,
        "reviewers": people,
    }  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in DATA.split(";\n"):
            cursor.execute(statement, values)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def write(kind: str, format: str, articles: bool, queue: str, path: Path) -> None:  # noqa: A002
    """One export in this process, and its figures on standard output."""
    import django

    django.setup()
    from django.db import connection

    from reviews.exports import files
    from reviews.exports.columns import columns_of
    from reviews.exports.request import Request
    from reviews.exports.requests import card_of
    from reviews.exports.rows import open_rows

    request = Request(kind=kind, format=format, texts=articles, queue=queue)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        server = psutil.Process(cursor.fetchone()[0])
    before = server.cpu_times()
    wall, cpu = time.perf_counter(), time.process_time()
    columns, card = columns_of(request), card_of(request)
    with open_rows(request, None, progress=lambda done, total: None) as rows:
        count = files.write_file(rows, path, format=format, columns=columns, card=card)
    files.digest_of(path)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = server.cpu_times()
    figures = {
        "rows": count, "megabytes": path.stat().st_size / 1e6, "wall": wall, "cpu": cpu,
        "server": after.user + after.system - before.user - before.system,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }  # fmt: skip
    print(json.dumps(figures))


def measured(run: tuple[str, str, str, str], path: Path) -> dict[str, float]:
    size, kind, form, articles = run
    queue = "weak-outputs" if size == "small" else ""
    command = [sys.executable, __file__, "--write", kind, form, articles, queue, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    path.unlink()
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=200_000)
    parser.add_argument("--words", type=int, default=640)
    parser.add_argument("--write", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        kind, form, articles, queue, path = options.write
        write(kind, form, articles == "articles", queue, Path(path))
        return 0
    missed = False
    memory: dict[tuple[str, ...], float] = {}
    with installation.temporary() as home:
        began = time.monotonic()
        fill(options.small, options.large, options.words)
        print(f"{options.large:,} reviews made in {time.monotonic() - began:.0f} s\n")
        print(f"{'':30} {'rows':>9} {'MB':>7} {'wall s':>7} {'here':>6} {'server':>6} {'memory MB':>9}")
        for run in RUNS:
            size, kind, form, articles = run
            found = measured(run, home / "export")
            memory[run] = found["memory"]
            over = size == "small" and found["wall"] > BUDGET_SECONDS
            small = memory.get(("small", *run[1:]))
            over |= size == "large" and small is not None and found["memory"] > 1.25 * small
            missed |= over
            name = f"{kind} {form}{'' if articles == 'articles' else ', no articles'}"
            print(
                f"{name:30} {found['rows']:9,} {found['megabytes']:7.0f} {found['wall']:7.2f} {found['cpu']:6.2f} "
                f"{found['server']:6.2f} {found['memory']:9}{'  over' if over else ''}"
            )
    print(
        f"\nbudget: {BUDGET_SECONDS:.1f} s for {options.small:,}, constant memory: {'missed' if missed else 'held'}"
    )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
