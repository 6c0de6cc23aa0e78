"""How long agreement takes over 200,000 reviews of 100,000 items: the queue's job, and the pages.

    .venv/bin/python -m llmops_site.embedded with -- .venv/bin/python benchmarks/agreement_speed.py [REVIEWS]

Makes the rows in the database that GALLEY_HOME or DATABASE_URL names; give it an empty one.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops_site.settings")
os.environ.setdefault("GALLEY_LOG_LEVEL", "WARNING")

QUEUES, PEOPLE = 50, 50
GOLD_ANSWERS = 2000
FILL = """
INSERT INTO reviews_sourcedocument (title, text, domain, language, origin, licence, external_id, group_key,
                                    content_hash, split, reference, words, fields, created_at)
SELECT 'Article ' || n, 'Text ' || n, 'news', 'en', 'bench', '', '', '', md5('agreement' || n), 'train', '', 2, '{}',
       now()
  FROM generate_series(1, %(items)s) n;
INSERT INTO reviews_summary (document_id, text, decoding, source, words, truncated, finish, created_at)
SELECT id, 'Summary of it.', '{}', 'batch', 3, false, '', now() FROM reviews_sourcedocument WHERE origin = 'bench';
INSERT INTO reviews_reviewqueue (name, slug, kind, description, rubric_id, reviews_per_item, overlap_percent,
                                 lease_minutes, blind_to_peers, blind_to_model, "order", calibration, gold_percent,
                                 dispute_points, active, created_at)
SELECT 'Bench ' || n, 'bench-' || n, 'rate and edit', '', (SELECT min(id) FROM reviews_rubricversion), 2, 100, 30, true,
       true, 'priority', false, 0, 2, true, now() FROM generate_series(1, %(queues)s) n;
INSERT INTO reviews_queueitem (queue_id, summary_id, reason, note, priority, wanted_reviews, state, created_at)
SELECT (SELECT min(id) FROM reviews_reviewqueue WHERE slug LIKE 'bench-%%') + s.id %% %(queues)s, s.id, 'new draft',
       '', 0, 2, 'done', now() FROM reviews_summary s JOIN reviews_sourcedocument d ON d.id = s.document_id
 WHERE d.origin = 'bench';
INSERT INTO reviews_review (item_id, summary_id, reviewer_id, rubric_id, state, stars, verdict, ratings,
                            overall_from_ratings, marks, support, edited_text, comment, wants_retrain, wants_refine,
                            sentiment, category, active_seconds, late, revision, created_at, updated_at, submitted_at)
SELECT i.id, i.summary_id, %(first)s + (i.id + placed * 7) %% %(people)s, (SELECT min(id) FROM reviews_rubricversion),
       'submitted', stars, CASE WHEN stars < 3 THEN 'poor' WHEN stars = 3 THEN 'fair' ELSE 'good' END,
       '{}', false, '[]', '[]', 'Summary of it.', '', false, false, '', '', 60, false, 1, now(), now(),
       now() - random() * interval '120 days'
  FROM reviews_queueitem i, generate_series(0, 1) placed,
       LATERAL (SELECT 1 + ((hashint8(i.id) & 7) %% 5 + (random() * 1.4)::int * placed) %% 5 AS stars) drawn
 WHERE i.queue_id >= (SELECT min(id) FROM reviews_reviewqueue WHERE slug LIKE 'bench-%%');
INSERT INTO reviews_reviewrating (review_id, criterion_id, value)
SELECT r.id, c.id, least(5, r.stars + (random() * 1.2)::int) FROM reviews_review r
  JOIN reviews_criterion c ON c.rubric_id = r.rubric_id;
UPDATE reviews_queueitem SET reason = 'gold item' WHERE id %% %(gold_every)s = 0;
INSERT INTO reviews_goldanswer (summary_id, rubric_id, stars, verdict, ratings, tolerance, explanation, active,
                                created_by_id, created_at)
SELECT i.summary_id, (SELECT min(id) FROM reviews_rubricversion), 4, 'good', '{"fluency": 4}', 1, 'So it is.', true,
       %(first)s, now() FROM reviews_queueitem i WHERE i.reason = 'gold item';
INSERT INTO reviews_reviewrevision (review_id, number, data, at)
SELECT r.id, 1, jsonb_build_object('stars', r.stars, 'verdict', r.verdict, 'ratings', '{"fluency": 3}'::jsonb),
       now() FROM reviews_review r JOIN reviews_queueitem i ON i.id = r.item_id WHERE i.reason = 'gold item';
ANALYZE;
"""


def main(reviews: int) -> None:
    django.setup()
    from django.contrib.auth.models import Group, User
    from django.db import connection
    from django.test import Client

    from llmops_site.prepare import collect_static_files, migrate
    from reviews.quality import agreement_report

    migrate()
    collect_static_files()
    people = [User(username=f"bench{n}") for n in range(PEOPLE)]
    User.objects.bulk_create(people)
    engineer = User.objects.create(username="bench-engineer")
    engineer.groups.add(Group.objects.get(name="ml engineer"))
    one = User.objects.get(username="bench7")
    one.groups.add(Group.objects.get(name="reviewer"))
    values = {
        "items": reviews // 2,
        "queues": QUEUES,
        "people": PEOPLE,
        "gold_every": max(1, reviews // GOLD_ANSWERS),
        "first": User.objects.get(username="bench0").pk,
    }
    with connection.cursor() as cursor:
        for statement in FILL.split(";\n"):
            if statement.strip():
                cursor.execute(statement, values)
    started = time.perf_counter()
    answered = agreement_report.read()
    read = time.perf_counter() - started
    started = time.perf_counter()
    agreement_report.measure_all()
    print(
        f"{len(answered.items):,} reviews: read {read:.1f} s, the whole job {time.perf_counter() - started:.1f} s"
    )
    for who, path in ((engineer, "/agreement/?days=0"), (engineer, "/agreement/disputes/"), (one, "/how-i-rate/"),
                      (engineer, "/agreement/gold/")):  # fmt: skip
        print(f"{path}: {_timed(Client(), who, path)}")


def _timed(client: Any, who: Any, path: str) -> str:
    client.force_login(who)
    times = []
    for _ in range(30):
        started = time.perf_counter()
        answer = client.get(path, headers={"host": "localhost"})
        times.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, answer.status_code  # nosec B101
    times.sort()
    return f"p50 {statistics.median(times):.0f} ms, p95 {times[int(0.95 * len(times))]:.0f} ms"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
