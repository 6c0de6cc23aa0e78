"""ROUGE-1, -2, -L and -Lsum of 11,490 pairs (the size of the CNN/DailyMail test set): ours against rouge-score.

    python benchmarks/rouge_speed.py [--pairs 11490] [--data ../shared/data/cnndm-validation-1000/validation.jsonl]

One process, one core, CPU time. The texts come in blocks, both scorers in turn on each, so that whatever else the
machine does falls on both. Ours starts with an empty stem cache. "With splitting" counts the splitting into
sentences on both sides; rouge-score needs it for ROUGE-Lsum too. Any value that differs ends it with an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rouge_score.rouge_scorer import RougeScorer  # noqa: E402

from models_app.evaluation import rouge  # noqa: E402
from models_app.texts.sentences import split_sentences  # noqa: E402

BLOCK = 250


def pairs_of(path: Path) -> Iterator[tuple[str, str]]:
    """Reference against three sentences in a row of its article, from ever further down."""
    with path.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    articles = [(record["reference"], split_sentences(record["article"])) for record in records]
    first = 0
    while True:
        found = [(reference, sentences[first : first + 3]) for reference, sentences in articles]
        if not any(window for _, window in found):
            return
        yield from ((reference, " ".join(window)) for reference, window in found if window)
        first += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=11_490)
    default = ROOT.parent / "shared/data/cnndm-validation-1000/validation.jsonl"
    parser.add_argument("--data", type=Path, default=default)
    options = parser.parse_args()
    if not options.data.exists():
        sys.exit(
            f"{options.data} does not exist; name a JSON Lines file with article and reference by --data"
        )
    pairs = [pair for pair, _ in zip(pairs_of(options.data), range(options.pairs), strict=False)]

    theirs = RougeScorer(list(rouge.METRICS), use_stemmer=True)
    splitting = reference_seconds = own_seconds = 0.0
    for start in range(0, len(pairs), BLOCK):
        block = pairs[start : start + BLOCK]
        began = time.process_time()
        lines = [(rouge.as_lines(reference), rouge.as_lines(prediction)) for reference, prediction in block]
        split = time.process_time()
        expected = [theirs.score(*pair) for pair in lines]
        scored = time.process_time()
        own = [rouge.score_lines(*pair) for pair in lines]
        ended = time.process_time()
        splitting, reference_seconds = splitting + split - began, reference_seconds + scored - split
        own_seconds += ended - scored
        for pair, one, other in zip(lines, expected, own, strict=True):
            if any(tuple(one[metric]) != tuple(getattr(other, metric)) for metric in rouge.METRICS):
                sys.exit(f"different values for {pair}: {one} and {other}")

    count = len(pairs)
    print(f"{count} pairs, precision, recall and F of all four equal to the last bit; {rouge.SIGNATURE}")
    for name, seconds in [
        ("rouge-score", reference_seconds),
        ("Galley", own_seconds),
        ("splitting", splitting),
    ]:
        print(f"{name:12} {seconds:8.2f} CPU-s {count / seconds:9.0f} pairs/s")
    print(f"ratio {reference_seconds / own_seconds:.1f}")
    print(
        f"ratio with splitting on both sides {(reference_seconds + splitting) / (own_seconds + splitting):.1f}"
    )


if __name__ == "__main__":
    main()
