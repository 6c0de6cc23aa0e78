"""Leakage at the size of a data set: 20,000 training rows against the 11,490 test documents of CNN/DailyMail.

    script/python benchmarks/leakage_speed.py [--training 20000] [--tests 11490] [--data …/validation.jsonl]

Rows and documents lie in a database of their own; what is timed is the whole check as the gate makes it: reading both,
their digests, comparing articles, references, summaries and the prompt, the excerpts and writing down; then the same
check again, the clean comparison, and the gates of personal data and data quality on the same rows. Three in a hundred
rows hold a test document: with every tenth word changed, its half, or its reference in another article. All have to
be found. Memory is what the process takes more during the check, at most. Budget: 60 s.

Articles have the lengths and the words of real ones, as in `near_duplicates.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import installation
import psutil
from near_duplicates import every_tenth, half, made_up

if TYPE_CHECKING:
    from tests.releases.scene import Scene

T = TypeVar("T")
EVERY = 100


def timed(what: str, work: Callable[[], T]) -> T:
    wall, cpu = time.perf_counter(), time.process_time()
    made = work()
    print(f"  {what}: {time.perf_counter() - wall:.1f} s, {time.process_time() - cpu:.1f} CPU-s", flush=True)
    return made


class Memory:
    """Megabytes that the process takes more than at the beginning, at most."""

    def __enter__(self) -> Memory:
        self._process, self._ended = psutil.Process(), threading.Event()
        self._before = self.most = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            self.most = max(self.most, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def megabytes(self) -> float:
        return (self.most - self._before) / 1e6


def summaries(articles: list[str], seed: int) -> list[str]:
    """34 words of other articles: what a reference has of its own article says nothing here."""
    chance = random.Random(seed)
    words = [word for article in articles for word in article.split()]
    chance.shuffle(words)
    return [" ".join(words[34 * place : 34 * place + 34]) for place in range(len(articles))]


def fill(the: Scene, tests: list[str], training: list[str], path: Path) -> dict[int, int]:
    """Rows and documents by COPY-sized inserts; returns which row holds which test document."""
    from django.db import connection

    from models_app.models import EvaluationExample, ExampleScore, SnapshotExample

    references, targets = summaries(tests, 3), summaries(training, 4)
    twins: dict[int, int] = {}
    for place in range(len(training)):
        if place % EVERY not in (0, 33, 66):
            continue
        twins[place] = place * 7 % len(tests)
        test, reference = tests[twins[place]], references[twins[place]]
        training[place] = {
            0: every_tenth(test, place),
            33: half(test),
            66: f"{training[place]} {reference} {training[place - 1]}",
        }[place % EVERY]
    EvaluationExample.objects.bulk_create(
        (
            EvaluationExample(
                evaluation_set=the.on,
                position=10 + place,
                document_hash=hashlib.sha256(f"test {place}".encode()).hexdigest(),
                origin=f"document:{place}",
                source=source,
                reference=references[place],
            )
            for place, source in enumerate(tests)
        ),
        batch_size=500,
    )
    SnapshotExample.objects.bulk_create(
        (
            SnapshotExample(
                snapshot=the.snapshot,
                position=10 + place,
                split="train",
                document_hash=hashlib.sha256(f"row {place}".encode()).hexdigest(),
                origin=f"feedback:{place}",
                source=source,
                target=targets[place],
            )
            for place, source in enumerate(training)
        ),
        batch_size=500,
    )
    with connection.cursor() as cursor:
        for run in (the.comparison.candidate, the.comparison.baseline):
            cursor.execute(
                f"INSERT INTO {ExampleScore._meta.db_table} (run_id, example_id, signature, output, rouge1, rouge2, "
                '"rougeL", "rougeLsum", summary_words, length_ratio, repetition, copied_share, unsupported_numbers, '
                "unsupported_names, latency_ms, truncated, finish) SELECT %s, id, %s, repeat('Some words ' || id, 20), "
                "random(), random(), random(), random(), 50, random(), random(), random(), 1, 0, random(), false, "
                f"'stop' FROM {EvaluationExample._meta.db_table} WHERE evaluation_set_id = %s AND position >= 10",
                [run.pk, run.signature, the.on.pk],
            )
        cursor.execute("ANALYZE")
    return twins


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--training", type=int, default=20_000)
    parser.add_argument("--tests", type=int, default=11_490)
    default = installation.ROOT.parent / "shared/data/cnndm-validation-1000/validation.jsonl"
    parser.add_argument("--data", type=Path, default=default)
    options = parser.parse_args()
    if not options.data.exists():
        sys.exit(f"{options.data} does not exist; name a JSON Lines file with articles by --data")
    tests, training = made_up(options.data, options.tests, 1), made_up(options.data, options.training, 2)
    with installation.temporary():
        from models_app.gates import data_quality, personal_data
        from models_app.gates.clean_comparisons import clean_comparison
        from models_app.gates.gate import Judged
        from models_app.gates.leakage_checks import check
        from models_app.gates.policy import Policy
        from models_app.models import LeakageFinding
        from tests.releases.scene import scene

        the = scene(documents=2)
        twins = fill(the, tests, training, options.data)
        del tests, training
        print(f"{options.training:,} rows against {options.tests:,} documents")
        with Memory() as memory:
            made = timed("the check", lambda: check(release=the.candidate, evaluation_set=the.on))
        timed("the same again", lambda: check(release=the.candidate, evaluation_set=the.on))
        the.comparison.resamples = 10_000  # the scene takes fewer
        timed("clean comparison", lambda: clean_comparison(comparison=the.comparison, check=made))
        judged = Judged(the.candidate, the.comparison, Policy(), lambda words: None)
        timed("personal data", lambda: personal_data.facts_of(judged))
        timed("data quality", lambda: data_quality.facts_of(judged))
        findings = LeakageFinding.objects.filter(check_run=made).values_list(
            "row__position", "example__position"
        )
        found = {(row - 10, test - 10) for row, test in findings if row is not None and row >= 10}
        print(
            f"  {len(found & set(twins.items()))} of {len(twins)} found, {len(found - set(twins.items()))} others"
        )
        print(f"  {memory.megabytes:,.0f} MB more during the check")


if __name__ == "__main__":
    main()
