"""How long it takes to read the evidence of a release again, as the last approval and the switch do.

    script/python benchmarks/evidence_speed.py      the test split of CNN/DailyMail: 11,490 documents, two evaluations

Made-up texts of the usual lengths in a database of its own. Prints the seconds of each of five looks, and the documents
a second. Budget: 2 s.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import installation

if TYPE_CHECKING:
    from tests.releases.scene import Scene


def extend_to(the: Scene, documents: int) -> None:
    """By statements: this is about reading them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO models_app_evaluationexample (evaluation_set_id, position, document_hash, origin, domain, "
            "fields, title, source, reference, all_references) "
            "SELECT %s, 10 + i, encode(sha256(('x' || i)::bytea), 'hex'), 'document:1', 'news', '{}', 'A title', "
            "(SELECT string_agg(md5((i * 1000 + j)::text), ' ') FROM generate_series(1, 125) j), "
            "repeat('A reference of words ' || i, 15), '[]' FROM generate_series(1, %s) i",
            [the.on.pk, documents - 2],
        )
        for run in (the.comparison.candidate, the.comparison.baseline):
            cursor.execute(
                'INSERT INTO models_app_examplescore (run_id, example_id, signature, output, rouge1, rouge2, "rougeL", '
                '"rougeLsum", summary_words, length_ratio, repetition, copied_share, unsupported_numbers, '
                "unsupported_names, latency_ms, truncated, finish) SELECT %s, id, %s, repeat('Some words ' || id, 20), "
                "random(), random(), random(), random(), 50, random(), random(), random(), 1, 0, random(), false, "
                "'stop' FROM models_app_evaluationexample WHERE evaluation_set_id = %s AND position >= 10",
                [run.pk, run.signature, the.on.pk],
            )
        cursor.execute("ANALYZE models_app_examplescore, models_app_evaluationexample")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=11_490)
    documents = parser.parse_args().documents
    with installation.temporary():
        from models_app.releases.composing import digests_of_rows
        from models_app.releases.hands import training_lineage
        from tests.releases.scene import scene

        the = scene(documents=2)
        extend_to(the, documents)
        took = []
        for _ in range(5):
            began = time.perf_counter()
            digests_of_rows(the.comparison, training_lineage(the.candidate))
            took.append(time.perf_counter() - began)
        print(f"{documents:,} documents, 2 evaluations: {', '.join(f'{seconds:.2f}' for seconds in took)} s")
        print(f"best: {documents / min(took):,.0f} documents/s")


if __name__ == "__main__":
    main()
