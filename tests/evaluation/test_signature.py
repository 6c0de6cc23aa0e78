"""The versions in the signature are raised by a person; what each gives is pinned here.

A test that fails here says that a score may come out differently. Then raise `VERSION` beside the code and add a line
for it, so that no comparison sets the new scores beside the old. A line that is there is never changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain, pairwise
from pathlib import Path

from models_app.evaluation import rouge
from models_app.evaluation.signature import SIGNATURE
from models_app.texts import measures, sentences

ROOT = Path(__file__).resolve().parents[2]
#: Version → SHA-256 over what it makes of the texts below.
SPLITTER = {1: "14b75e51a30b881acf1bd35a8ae71000a4aaf5d0d61f1668771d95b96d29b68b"}
UNICODE_WORDS = {1: "634513d0641511b42fed4b8b864508950b67153c26f327fc2516712b77b00d24"}
MEASURES = {1: "d58b66a3ede030a97dfe84ca585e0db022cbaea65842786176c2f65728376e54"}

HARD = (
    'Dr. J. R. Smith of St. Ives Ltd. said: "We lost 3.5 million. Who pays?" Nobody did.',
    "the u.s. senate met . then it rose . ' it is over , ' he said .",
    "One sentence a line\nand another\n\nA third, hard-wrapped\nover two lines.",
    "日本は勝った。次は？「はい。」そして終わり。",
    "यह पहला वाक्य है। यह दूसरा है। هذه جملة. وهذه أخرى؟",
    "No. 5 came at 8 p.m. on Jan. 3. The U.K. followed… and that was it!It ended.",
    "“Stop!” she said. ‘Why?’ he asked (again). Prices rose by 0.5 p.c. in Aug. The end",
    "Twenty-one people, 1,250 of them new, paid £5m, 5 million or 1k; twelve did not.",
)

#: What a stop may follow without ending a sentence; written down here, not read from the code.
_WORDS = (
    "mr mrs ms messrs mme mlle dr prof gen sen rep reps sens gov lt col sgt capt rev hon st mt ste pres supt det insp "
    "cpl pvt adm cmdr maj brig fr hr sra srta dra amb atty cllr comdr e.g i.e eg ie vs viz cf z.b d.h p.ex bzw no nos "
    "nr p pp fig figs vol vols art sec ch c ca approx para mar op eq inc ltd co corp bros jr sr llc plc assn dept univ "
    "est al ave blvd rd jan feb apr jun jul aug sept sep oct nov dec calif fla ariz colo conn ky md mich minn mont neb "
    "nev okla ore tenn tex va vt wis wyo mass ala ark ph.d m.d u.s u.k a.m p.m etc"
)
ABBREVIATIONS = _WORDS.split()


def articles() -> Iterator[tuple[str, str]]:
    with (ROOT / "reviews" / "loop" / "sample" / "articles.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            article = json.loads(line)
            yield article["text"], article["reference"]


def hard() -> Iterator[str]:
    yield from HARD
    for word in ABBREVIATIONS:
        yield f"They met {word.capitalize()}. Smith there. It was {word}. 12 of them. In {word}. The rest left."


def digest(values: Iterator[object]) -> str:
    return hashlib.sha256(json.dumps(list(values), ensure_ascii=False).encode()).hexdigest()


def test_the_splitter_gives_what_its_version_gives() -> None:
    texts = chain(hard(), chain.from_iterable(articles()))
    found = digest([list(span) for span in sentences.sentence_spans(text)] for text in texts)
    assert SPLITTER.get(sentences.VERSION) == found, "sentences.py splits differently: raise its VERSION"


def test_the_measures_give_what_their_version_gives() -> None:
    pairs = chain(articles(), pairwise(hard()))
    found = digest(
        asdict(measures.measure(source=source, reference=other, summary=other)) for source, other in pairs
    )
    assert MEASURES.get(measures.VERSION) == found, "measures.py measures differently: raise its VERSION"


def test_the_words_of_any_script_are_what_their_version_gives() -> None:
    texts = chain(hard(), chain.from_iterable(articles()))
    found = digest(rouge.unicode_words(text) for text in texts)
    assert UNICODE_WORDS.get(rouge.UNICODE_VERSION) == found, (
        "rouge.py finds other words: raise UNICODE_VERSION"
    )


def test_the_versions_are_numbers_that_the_signature_carries() -> None:
    assert f"splitter-{sentences.VERSION}|" in SIGNATURE
    assert SIGNATURE.endswith(f"|measures-{measures.VERSION}")
    assert SIGNATURE.startswith(rouge.SIGNATURE)
