"""What a text has of test documents: of their articles, and of the references that summaries are measured against.

A test document has the reference it came with, if any, and those of the test sets it is in: corrections that people
wrote are references there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from models_app.models import EvaluationExample
from models_app.texts.near_duplicates import SHARE, SHINGLE_WORDS, Hashes, likeness, shingles
from reviews.ingest import statements, twins
from reviews.ingest.sketches import signed
from reviews.models import ReferenceHash, SourceDocument, Split

_QUOTED_ARTICLE = 25
_QUOTED_REFERENCE = 8


@dataclass(frozen=True)
class Quoted:
    document: int
    words: int


def quoted_test(text: str) -> Quoted | None:
    """The test document of which this text has the most, where that is more than chance: 25 phrases of three words of
    the article, or most of one of its references. Of an article, a quotation of 50 words is seen in seven cases of
    ten, one of 200 words in 99 of 100: by one of the 16 hashes that it is found by; a whole reference always. As many
    queries however many test documents there are. Raises Unavailable."""
    (mine,) = shingles([text])
    if len(mine) < _QUOTED_REFERENCE:
        return None
    twins.sketch_few()
    found = [*_articles_in(mine), *_references_in(mine)]
    if not found:
        return None
    common, document = max(found)
    return Quoted(document, common + SHINGLE_WORDS - 1)


def _articles_in(mine: Hashes) -> Iterable[tuple[int, int]]:
    """(shingles in common, test document)"""
    tests = {document for _, document in statements.owners(signed(mine), learnt=[False])}
    for document, (_, other) in twins.read_texts(tests).items():
        common = likeness(mine, other).common
        if common >= _QUOTED_ARTICLE:
            yield common, document


def _references_in(mine: Hashes) -> Iterable[tuple[int, int]]:
    """(shingles in common, test document)"""
    found = ReferenceHash.objects.filter(hash__in=signed(mine)).order_by()
    known = list(references(set(found.values_list("document", flat=True))))
    for (document, _), other in zip(known, shingles(text for _, text in known), strict=True):
        common = likeness(mine, other).common
        if common >= _QUOTED_REFERENCE and common >= SHARE * len(other):
            yield common, document


def references(documents: Collection[int] | None = None) -> Iterable[tuple[int, str]]:
    """(test document, reference) of these, or of all: what they came with, and what test sets have. 2 queries."""
    tests = SourceDocument.objects.filter(split=Split.TEST).order_by("pk")
    frozen = EvaluationExample.objects.exclude(all_references=[])
    if documents is not None:
        tests = tests.filter(pk__in=list(documents))
    by_hash: dict[str, int] = {}
    for document, digest, reference in tests.values_list("pk", "content_hash", "reference"):
        by_hash[digest] = document
        if reference:
            yield document, reference
    if documents is not None:
        frozen = frozen.filter(document_hash__in=by_hash)
    known = frozen.order_by("document_hash", "pk").values_list("document_hash", "all_references")
    several = {(digest, row["text"]) for digest, rows in known for row in rows if digest in by_hash}
    for digest, text in sorted(several):
        yield by_hash[digest], text
