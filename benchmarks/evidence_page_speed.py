"""How long the page with the evidence of a release takes, and the files that are taken from it.

    script/python benchmarks/evidence_page_speed.py      the test split of CNN/DailyMail: 11,490 documents

Made-up documents in a database of its own, compared, submitted and judged by all gates; then the page is asked for by
an approver, with everything that a request passes. Prints the median and the 95th percentile of as many looks, how
long the processor worked for one without the database, which tells more on a busy machine, and the statements of one.
Budget of the page: p95 300 ms.
"""

from __future__ import annotations

import argparse
import statistics
import time

import installation


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=11_490)
    parser.add_argument("--looks", type=int, default=60)
    options = parser.parse_args()
    with installation.temporary():
        from django.conf import settings
        from django.db import connection
        from django.test import Client
        from django.test.utils import CaptureQueriesContext

        from tests.releases.scene import scene

        # nothing is collected here
        settings.STORAGES["staticfiles"] = {
            "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        }
        the = scene(documents=options.documents)
        the.submitted()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        client = Client(headers={"host": "127.0.0.1"})
        client.force_login(the.cast.approver)
        print(f"{options.documents:,} documents, {options.looks} looks each, one at a time")
        for name, path in (
            ("page", f"/releases/{the.candidate.pk}/"),
            ("evidence file", f"/releases/{the.candidate.pk}/evidence.json"),
            ("model card", f"/releases/{the.candidate.pk}/card/"),
        ):
            client.get(path)  # what is read once by each process
            took, worked = [], []
            for _ in range(options.looks):
                began, worked_before = time.perf_counter(), time.process_time()
                answer = client.get(path)
                took.append((time.perf_counter() - began) * 1000)
                worked.append((time.process_time() - worked_before) * 1000)
                assert answer.status_code == 200
            with CaptureQueriesContext(connection) as caught:
                client.get(path)
            p95 = statistics.quantiles(took, n=20)[-1]
            print(
                f"{name:<14} median {statistics.median(took):4.0f} ms, p95 {p95:4.0f} ms, of it the web process's own "
                f"work {statistics.median(worked):4.0f} ms, {len(caught)} statements, "
                f"{len(answer.content) / 1024:,.0f} kB"
            )


if __name__ == "__main__":
    main()
