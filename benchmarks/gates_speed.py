"""How long the gates of a release take, in their job.

    script/python benchmarks/gates_speed.py      20,000 training rows, the test split of CNN/DailyMail: 11,490 documents

Made-up texts of the usual lengths in a database of its own, two evaluations, every gate: slices by domain, length,
language and author, forgetting on a general test set as large as the other one against two releases, and people's
choices on a tenth of the documents. Prints the seconds of each gate, by the clock and of this process's CPU time, and
of all. Budget: 60 s.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import installation

if TYPE_CHECKING:
    from models_app.gates.gate import Gate
    from tests.releases.scene import Scene

WORDS = 600
REFERENCE_WORDS = 55
AUTHORS = 8


def texts(count: int, seed: int) -> list[tuple[str, str]]:
    """(article, summary) of made-up words, frequent ones more often."""
    drawn = random.Random(seed)
    vocabulary = [
        "".join(drawn.choices("abcdefghijklmnoprstuvw", k=drawn.randint(2, 9))) for _ in range(30_000)
    ]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    found = []
    for _ in range(count):
        words = drawn.choices(vocabulary, weights, k=WORDS)
        sentences = [" ".join(words[start : start + 20]).capitalize() + "." for start in range(0, WORDS, 20)]
        found.append((" ".join(sentences), " ".join(drawn.sample(sentences, REFERENCE_WORDS // 20))))
    return found


def made(documents: int, rows: int) -> Scene:
    """A candidate that learnt from so many rows, compared with what is live on so many test documents."""
    from models_app.datasets.freezing import SnapshotRow, rows_digest
    from models_app.evaluation.sets import EvaluationRow, freeze_evaluation_set
    from models_app.models import DatasetSnapshot, SnapshotExample
    from models_app.releases.composing import compose_release
    from tests.releases import scene as scenes

    the = scenes.scene(documents=12)
    learnt = [
        SnapshotRow("train", scenes.digest("learnt", i), f"feedback:{i}", source, target)
        for i, (source, target) in enumerate(texts(rows, seed=1))
    ]
    snapshot = DatasetSnapshot.objects.create(
        name="benchmark", digest=rows_digest(learnt), train_rows=rows, validation_rows=0,
        directory="snapshots/benchmark", created_by=the.cast.ml_engineer,
    )  # fmt: skip
    SnapshotExample.objects.bulk_create(
        (SnapshotExample(snapshot=snapshot, position=i, **asdict(row)) for i, row in enumerate(learnt)),
        batch_size=1000,
    )
    model = scenes.trained_model(the.live.model_version, snapshot, by=the.cast.ml_engineer)
    candidate = compose_release(
        model_version=model, prompt_version=scenes.chat_prompt(), decoding={}, origin="retraining",
        actor=the.cast.ml_engineer,
    )  # fmt: skip
    on, general = (
        freeze_evaluation_set(
            rows=[
                EvaluationRow(
                    scenes.digest(name, i), f"document:{i}", source, target, domain=("news", "sports")[i % 2],
                    fields={"language": ("en", "de")[i % 5 == 0], "author": f"author {i % AUTHORS}"},
                )
                for i, (source, target) in enumerate(texts(documents, seed=seed))
            ],
            name=name, selection={}, actor=None,
        )
        for name, seed in (("tested", 2), ("general", 3))
    )  # fmt: skip
    for release, level in ((candidate, 0.16), (the.live, 0.10)):
        scenes.evaluated(release, general, level=level)
    scenes.small_policy(
        slices={"fields": ["domain", "length", "language", "author"], "floor": 100},
        forgetting={"test_set": general.pk},
        preference={"ask": "always"},
    )
    comparison = scenes.compared(candidate, the.live, on)
    whole = replace(the, candidate=candidate, comparison=comparison, on=on, snapshot=snapshot, model=model)
    vote(whole)
    return whole


def vote(the: Scene) -> None:
    """Two people on a tenth of the documents, mostly for the candidate."""
    from models_app.models import HumanVote
    from tests import make

    hashes = the.on.examples.order_by("position").values_list("document_hash", flat=True)[::10]
    HumanVote.objects.bulk_create(
        HumanVote(
            candidate=the.candidate, baseline=the.live, document_hash=one, origin="benchmark", judge=judge,
            preferred=("candidate", "candidate", "tie", "baseline")[place % 4], candidate_left=bool(place % 2),
        )
        for judge in (the.cast.another_reviewer, make.user("another judge", "reviewer"))
        for place, one in enumerate(hashes)
    )  # fmt: skip


def timed(gates: list[Gate], took: dict[str, tuple[float, float]]) -> list[Gate]:
    def timing(gate: Gate) -> Gate:
        def judge(judged: Any) -> Any:
            began, cpu = time.perf_counter(), time.process_time()
            try:
                return gate.judge(judged)
            finally:
                took[gate.label] = time.perf_counter() - began, time.process_time() - cpu

        return replace(gate, judge=judge)

    return [timing(gate) for gate in gates]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=11_490)
    parser.add_argument("--rows", type=int, default=20_000)
    given = parser.parse_args()
    with installation.temporary():
        from models_app.gates import catalogue, running
        from tests.releases import scene as scenes

        the = made(given.documents, given.rows)
        took: dict[str, tuple[float, float]] = {}
        running.GATES = timed(list(catalogue.GATES), took)
        began, cpu = time.perf_counter(), time.process_time()
        run = scenes.judged(the.candidate, the.comparison)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(f"{given.rows:,} training rows, {given.documents:,} test documents: {run.state}, {run.verdict}")
        for row in run.results.exclude(verdict="pass"):
            print(f"  {row.gate} {row.name}: {row.verdict}. {row.words}")
        for label, (clock, own) in took.items():
            print(f"{label}: {clock:.1f} s, {own:.1f} s CPU")
        print(f"all: {seconds:.1f} s, of them {cpu:.1f} s of this process's CPU time")


if __name__ == "__main__":
    main()
