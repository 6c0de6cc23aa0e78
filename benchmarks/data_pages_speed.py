"""Server time of the lists of documents and feedback examples, and of their pages, with full tables.

    python benchmarks/data_pages_speed.py [--documents 100000] [--examples 20000] [--times 40]

Each page is asked for in turn in one process, signed in, over Django's test client: what a request costs without the
network. The budget is a p95 of 150 ms each, with a number of queries that does not grow.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import installation

BUDGET_MS = 150


def fill(documents: int, examples: int) -> None:
    """Every document with a draft; words differ from document to document, some have no title."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO reviews_sourcedocument (title, text, domain, language, origin, licence, external_id, group_key,
                                                content_hash, split, reference, words, fields, created_at)
            SELECT CASE WHEN n %% 3 = 0 THEN '' ELSE 'Report ' || n || ' of harbour ' || (n %% 977) END,
                   'The ' || (ARRAY['harbour', 'school', 'choir', 'market', 'clinic'])[1 + n %% 5] || ' of town ' ||
                   (n %% 4999) || ' said on day ' || n || '. ' || repeat('Words that stand for an article. ', 120),
                   (ARRAY['news', 'business', 'culture', 'sport', 'science', 'other'])[1 + n %% 6], '',
                   'file ' || (n %% 12) || '.jsonl', '', 'row-' || n, '', md5(n::text) || md5((-n)::text),
                   CASE WHEN n %% 10 < 7 THEN 'train' WHEN n %% 10 = 7 THEN 'validation' ELSE 'test' END,
                   CASE WHEN n %% 4 = 0 THEN '' ELSE 'A reference summary of report ' || n || '.' END, 730, '{}', now()
              FROM generate_series(1, %s) n
            """,
            [documents],
        )
        cursor.execute(
            """
            INSERT INTO reviews_summary (document_id, text, decoding, source, words, truncated, finish, created_at)
            SELECT id, 'The harbour of Nordhaven closes for nine months. 410 piles are rotten.', '{}', 'import', 12,
                   false, '', now() FROM reviews_sourcedocument
            """
        )
        cursor.execute(
            """
            INSERT INTO reviews_feedbackexample (kind, origin, document_id, summary_id, target, rejected, state, reason,
                                                 created_at)
            SELECT 'demonstration', (ARRAY['reference', 'client'])[1 + (d.id %% 2)::int], d.id, s.id,
                   'The harbour of Nordhaven closes for nine months. 140 piles are rotten.', '',
                   (ARRAY['proposed', 'approved', 'declined'])[1 + (d.id %% 3)::int], '', now()
              FROM reviews_sourcedocument d JOIN reviews_summary s ON s.document_id = d.id
             WHERE d.split <> 'test' ORDER BY d.id LIMIT %s
            """,
            [examples],
        )
        cursor.execute("VACUUM ANALYZE")


def measure(paths: list[str], times: int) -> bool:
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.create_superuser("bench"))
    held = True
    print(f"{'page':48} {'p50 ms':>8} {'p95 ms':>8} {'queries':>8}")
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(path)
        count = len(queries)
        if answer.status_code != 200:
            sys.exit(f"{path}: {answer.status_code}")
        took = []
        for _ in range(times):
            began = time.perf_counter()
            client.get(path)
            took.append((time.perf_counter() - began) * 1000)
        p95 = statistics.quantiles(took, n=20)[-1]
        held = held and p95 <= BUDGET_MS
        print(f"{path:48} {statistics.median(took):8.0f} {p95:8.0f} {count:8}")
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=40)
    options = parser.parse_args()
    with installation.temporary():
        from django.conf import settings

        # nothing was collected for this installation
        settings.STORAGES["staticfiles"] = {
            "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        }
        fill(options.documents, options.examples)
        from reviews.examples.references import freeze_test_set
        from reviews.examples.snapshots import freeze_snapshot
        from reviews.models import SourceDocument

        snapshot, tests = freeze_snapshot(name="all", actor=None), freeze_test_set(actor=None, limit=11_490)
        last = options.documents // 50
        middle = SourceDocument.objects.order_by("pk")[options.documents // 2].pk
        held = measure(
            [
                "/documents/", f"/documents/?page={last}", "/documents/?split=test&domain=news",
                "/documents/?q=harbour",
                "/documents/?q=town+4711", "/documents/?origin=file+7.jsonl&page=30", "/documents/?drafted=no",
                f"/documents/{middle}/", "/feedback/", "/feedback/?state=all&domain=news&page=100", "/feedback/freeze/",
                "/snapshots/", f"/snapshots/{snapshot.pk}/", f"/snapshots/{snapshot.pk}/?split=train&page=200",
                f"/snapshots/test-sets/{tests.pk}/?page=400",
            ],
            options.times,
        )  # fmt: skip
    print(f"p95 of every page at most {BUDGET_MS} ms: {'held' if held else 'NOT held'}")


if __name__ == "__main__":
    main()
