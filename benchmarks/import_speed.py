"""Importing documents the size of CNN/DailyMail's: reading, cleaning, hash, split, duplicates, database, commit.

    python benchmarks/import_speed.py [--rows 20000] [--data …/validation.jsonl]

Articles are put together from the sentences of real ones (mean about 640 words, 34 in the reference); one row in
fifty is there twice. It runs on a database server of its own. Wall time, and CPU time of this process and of the
server's process that serves it: what the machine would need if nothing else ran on it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import installation
import psutil

from models_app.texts.sentences import split_sentences


def made_up_rows(path: Path, count: int, seed: int = 7) -> Iterator[dict[str, str]]:
    """Each article keeps one real article's length, with sentences from all over."""
    with path.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    sentences = [sentence for record in records for sentence in split_sentences(record["article"])]
    chance = random.Random(seed)
    for number in range(count):
        record = records[number % len(records)]
        wanted = len(record["article"].split())
        article: list[str] = []
        words = 0
        while words < wanted:
            sentence = chance.choice(sentences)
            article.append(sentence)
            words += len(sentence.split())
        yield {"id": f"row-{number}", "article": " ".join(article), "highlights": record["reference"]}


def write(path: Path, data: Path, count: int) -> int:
    """The file's size in bytes."""
    last = ""
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(made_up_rows(data, count)):
            line = json.dumps(row, ensure_ascii=False) + "\n"
            file.write(last if number % 50 == 49 else line)
            last = line
    return path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000)
    default = installation.ROOT.parent / "shared/data/cnndm-validation-1000/validation.jsonl"
    parser.add_argument("--data", type=Path, default=default)
    options = parser.parse_args()
    if not options.data.exists():
        sys.exit(
            f"{options.data} does not exist; name a JSON Lines file with article and reference by --data"
        )
    with installation.temporary() as home:
        measure(home / "rows.jsonl", options.data, options.rows)


def measure(path: Path, data: Path, rows: int) -> None:
    from django.db import connection

    from reviews.ingest.documents import ImportReport, import_rows
    from reviews.ingest.records import read_file
    from reviews.models import SourceDocument

    size = write(path, data, rows)
    report = ImportReport()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        server = psutil.Process(cursor.fetchone()[0])
    before = server.cpu_times()
    wall, cpu = time.perf_counter(), time.process_time()
    import_rows(rows=read_file(path, report=report), origin="benchmark", actor=None, report=report)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = server.cpu_times()
    served = after.user + after.system - before.user - before.system
    kept = SourceDocument.objects.count()
    if report.read != rows or kept != report.imported or not report.duplicates:
        sys.exit(f"wrong result: {report.to_dict()}, {kept} kept")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{rows:,} rows, {size / 2**20:.0f} MB: {wall:.2f} s")
    print(f"CPU: {cpu:.2f} s here, {served:.2f} s in the database")
    print(f"{report.imported:,} imported, {report.duplicates:,} duplicates, {rows / wall:,.0f} rows/s")
    print(f"most memory: {peak} MB")


if __name__ == "__main__":
    main()
