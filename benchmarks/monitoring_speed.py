"""The monitoring page with many requests in the log, and what summing them up takes.

    script/python benchmarks/monitoring_speed.py --requests 50_000_000 [--days 30] [--looks 20]

Made-up requests without texts in a database of its own (50 million take about 15 GB), spread over so many days and two
releases, and feedback on one in a hundred; summed up as the queue does it, six hours of the log at a time.
Then the page is asked for with each window, with everything that a request passes. Budget: p95 200 ms.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import timedelta
from typing import Any

import installation

INSERT = """
INSERT INTO models_app_inferencerequest (id, release_id, model_version_id, prompt_version_id, arm, token_key, user_hash,
  session_hash, title, domain, text, text_hash, summary, summary_hash, input_words, summary_words, latency_ms, queue_ms,
  outcome, error, flags, created_at, logged_at)
SELECT gen_random_uuid(), CASE WHEN random() < 0.9 THEN %(one)s ELSE %(two)s END, %(model)s, %(prompt)s, 'live', 'b',
  'u' || floor(random() * 200000), 's' || floor(random() * 1000000), '', (ARRAY['news', 'sport', 'business', ''])[1 +
  floor(random() * 4)::int], '', 'x', '', 'y', (50 + random() * 900)::int, (10 + random() * 80)::int,
  exp(6 + random() * 2), 1, (ARRAY['ok', 'overloaded', 'timeout'])[1 + floor(random() * random() * 3)::int], '',
  CASE WHEN random() < 0.05 THEN '["truncated"]' ELSE '[]' END::jsonb, moment, moment
FROM generate_series(1, %(count)s) number, LATERAL (
  SELECT %(start)s::timestamptz + (%(seconds)s::float * number / %(count)s) * interval '1 second' AS moment) at
"""
FEEDBACK = """
INSERT INTO models_app_clientfeedback (request_id, stars, comment, edited_summary, edited, wants, sentiment, category,
  created_at)
SELECT id, 1 + floor(random() * 5)::int, '', '', false, 'none', (ARRAY['positive', 'neutral', 'negative'])[1 +
  floor(random() * 3)::int], 'other', created_at FROM models_app_inferencerequest
WHERE created_at >= %(start)s AND random() < 0.01 AND outcome = 'ok'
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--looks", type=int, default=20)
    options = parser.parse_args()
    with installation.temporary():
        measure(options)


def measure(options: argparse.Namespace) -> None:
    from django.conf import settings
    from django.db import connection
    from django.db.models import Sum
    from django.test import Client
    from django.utils import timezone

    from models_app.models import InferenceRequest, RequestRollup
    from models_app.monitoring.rollups import Log, roll_up_new
    from tests import make

    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    cast = make.cast()
    one, two = make.release(), make.release(decoding={"max_words": 41})
    now = timezone.now()
    values: dict[str, Any] = {
        "one": one.pk,
        "two": two.pk,
        "model": one.model_version_id,
        "prompt": one.prompt_version_id,
        "count": options.requests // options.days,
        "seconds": 86400,
    }
    began = time.perf_counter()
    for day in range(options.days, 0, -1):
        values["start"] = now - timedelta(days=day)
        with connection.cursor() as cursor:
            cursor.execute(INSERT, values)
            cursor.execute(FEEDBACK, values)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    made = time.perf_counter() - began
    began, before = time.perf_counter(), time.process_time()
    roll_up_new()
    summed, worked = time.perf_counter() - began, time.process_time() - before
    count = values["count"] * options.days
    print(f"{count:,} requests of {options.days} days made in {made:.0f} s")
    million = count / 1e6
    print(
        f"summed up in {summed:.0f} s, {summed / million:.1f} s a million, of it Python {worked / million:.1f} s"
    )
    rolled = RequestRollup.objects.filter(span="day", release=None).aggregate(n=Sum("requests"))["n"]
    assert rolled == count - InferenceRequest.objects.filter(logged_at__gt=Log.as_it_is().read_from).count()
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(cast.operator)
    print(
        f"monitoring page, {options.looks} looks each: median and p95 in ms, CPU of the web process, statements"
    )
    for window in ("1h", "24h", "7d", "30d"):
        print(f"  {window:<4} {look(client, window, options.looks)}")


def look(client: Any, window: str, looks: int) -> str:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    took, worked = [], []
    for _ in range(looks + 1):
        began, before = time.perf_counter(), time.process_time()
        answer = client.get(f"/monitoring/?window={window}")
        took.append((time.perf_counter() - began) * 1000)
        worked.append((time.process_time() - before) * 1000)
        assert answer.status_code == 200
    took, worked = took[1:], worked[1:]  # the first reads what each process reads once
    with CaptureQueriesContext(connection) as caught:
        client.get(f"/monitoring/?window={window}")
    p95 = statistics.quantiles(took, n=20)[-1]
    return f"{statistics.median(took):6.0f} {p95:6.0f} {statistics.median(worked):6.0f} {len(caught):4}"


if __name__ == "__main__":
    main()
