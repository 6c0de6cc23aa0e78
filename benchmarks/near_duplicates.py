"""Near duplicates at the size of a data set: 20,000 training articles against 11,490 test documents.

    python benchmarks/near_duplicates.py [--training 20000] [--tests 11490] [--data …/validation.jsonl]

Shingling, the index of the test documents, and looking every training article up; one in a hundred is a test document
with every tenth word changed, and one in a hundred the half of one: all have to be found, and nothing else. Beside it
datasketch on a twentieth of the articles, multiplied: its MinHash of 128 permutations by its bulk path over the same
three-word shingles, and its MinHashLSH at Jaccard 0.8; and how many of the same twins that finds. CPU time.

Articles have the lengths and the words of real ones; each of their words is replaced by another one at seven chances
in ten, so that two articles made of the same sentence do not look like copies.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from datasketch import MinHash, MinHashLSH  # noqa: E402

from models_app.texts.near_duplicates import Index, plain, shingles  # noqa: E402

T = TypeVar("T")
PART = 20


def timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def made_up(path: Path, count: int, seed: int) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        articles = [json.loads(line)["article"].split() for line in lines]
    vocabulary = [word for words in articles for word in words]
    chance = random.Random(seed)
    made = []
    for number in range(count):
        words = articles[number % len(articles)]
        at = chance.randrange(len(vocabulary))
        strange = vocabulary[at : at + len(words)]
        # other words at seven places of ten: of three in a row hardly any are left
        made.append(" ".join(b if chance.random() < 0.7 else a for a, b in zip(words, strange, strict=False)))
    return made


def every_tenth(text: str, number: int) -> str:
    return " ".join(f"x{number}y{i}" if i % 10 == 5 else word for i, word in enumerate(text.split()))


def half(text: str) -> str:
    words = text.split()
    return " ".join(words[: len(words) // 2])


def of_datasketch(texts: list[str]) -> list[MinHash]:
    sets = []
    for text in texts:
        words = [word.encode() for word in plain(text).split()]
        sets.append([b" ".join(words[i : i + 3]) for i in range(len(words) - 2)])
    made: list[MinHash] = MinHash.bulk(sets, num_perm=128)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--training", type=int, default=20_000)
    parser.add_argument("--tests", type=int, default=11_490)
    default = (
        Path(__file__).resolve().parent.parent.parent / "shared/data/cnndm-validation-1000/validation.jsonl"
    )
    parser.add_argument("--data", type=Path, default=default)
    options = parser.parse_args()
    if not options.data.exists():
        sys.exit(f"{options.data} does not exist; name a JSON Lines file with articles by --data")
    tests = made_up(options.data, options.tests, 1)
    training = made_up(options.data, options.training, 2)
    twins: dict[int, int] = {}
    for place in range(0, options.training, 100):
        twins[place] = (place * 7) % options.tests
        training[place] = every_tenth(tests[twins[place]], place)
    for place in range(50, options.training, 100):
        twins[place] = (place * 7) % options.tests
        training[place] = half(tests[twins[place]])

    cpu_tests, of_tests = timed(lambda: list(shingles(tests)))
    cpu_training, of_training = timed(lambda: list(shingles(training)))
    cpu_index, index = timed(lambda: Index(of_tests))
    cpu_found, found = timed(lambda: index.all_near(of_training))
    ours = cpu_tests + cpu_training + cpu_index + cpu_found
    right = sum(bool(found[place]) and found[place][0][0] == test for place, test in twins.items())
    wrong = sum(bool(row) for place, row in enumerate(found) if place not in twins)

    few = options.tests // PART, options.training // PART
    theirs_tests, minhashes = timed(lambda: of_datasketch(tests[: few[0]]))
    theirs_training, asked = timed(lambda: of_datasketch(training[: few[1]]))

    def look_up() -> None:
        lsh = MinHashLSH(threshold=0.8, num_perm=128)
        for number, minhash in enumerate(minhashes):
            lsh.insert(number, minhash)
        for minhash in asked:
            lsh.query(minhash)

    theirs_found, _ = timed(look_up)
    theirs = PART * (theirs_tests + theirs_training + theirs_found)
    lsh = MinHashLSH(threshold=0.8, num_perm=128)
    pairs = list(twins.items())[:100]
    for number, minhash in enumerate(of_datasketch([tests[test] for _, test in pairs])):
        lsh.insert(number, minhash)
    seen = sum(
        number in lsh.query(minhash)
        for number, minhash in enumerate(of_datasketch([training[place] for place, _ in pairs]))
    )

    print(f"{options.training:,} articles against {options.tests:,}: {ours:.1f} s")
    print(
        f"  shingles {cpu_tests + cpu_training:.1f} s, index {cpu_index:.2f} s, looking up {cpu_found:.1f} s; "
        f"{1e3 * (cpu_tests + cpu_training) / (options.training + options.tests):.3f} ms an article"
    )
    print(f"  {right} of {len(twins)} twins found, {wrong} others taken for one")
    print(f"datasketch, from a twentieth: {theirs:.1f} s, {theirs / ours:.1f} times as much")
    print(f"  {seen} of {len(pairs)} of the same twins found")


if __name__ == "__main__":
    main()
