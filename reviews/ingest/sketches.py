"""What documents with nearly the same text are found by: the hashes of all that are there.

They lie in `SketchHash`. Those of a running import stay in memory until it ends, in order: there thousands are looked
up at once, and the index grows by neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models_app.texts.near_duplicates import Hashes, Meetings, looked_up, meetings, sketch, stacked
from reviews.ingest import statements
from reviews.models import SourceDocument, Split

MOST_IN_MEMORY = 1 << 20  # hashes; a document has 16 of them, and takes 1 kB


class Sketches:
    """`learnt`: whether test documents (False), those that may train (True) or both are found. What is added is found
    by this one alone until it is written; the caller writes it, in the transaction that saves the documents."""

    def __init__(self, learnt: Sequence[bool] = (False, True)) -> None:
        self._learnt = learnt
        self._clear()

    def _clear(self) -> None:
        self._hashes = np.empty(0, dtype=np.uint64)
        self._documents = np.empty(0, dtype=np.int64)
        self._trains = np.empty(0, dtype=np.bool_)
        self._sketches: dict[int, Hashes] = {}

    def meet(self, texts: Sequence[Hashes]) -> Meetings:
        """The documents that each text is to be compared with, by their numbers."""
        wanted = np.unique(np.concatenate([looked_up(text) for text in texts])) if texts else self._hashes
        rows = np.array(statements.owners(signed(wanted), learnt=self._learnt), dtype=np.int64).reshape(-1, 2)
        hashes = rows[:, 0].copy().view(np.uint64)
        order = np.argsort(hashes, kind="stable")
        written = meetings(texts, hashes[order], rows[order, 1])
        here = meetings(texts, self._hashes, self._documents)
        return Meetings(
            np.concatenate((written.texts, here.texts)),
            np.concatenate((written.owners, here.owners)),
            np.concatenate((written.shared, here.shared)),
        )

    def of(self, documents: Sequence[int]) -> Hashes:
        """Their sketches, a row each, in the same order; of a document that is gone, an empty one."""
        missing = [document for document in documents if document not in self._sketches]
        rows = SourceDocument.objects.filter(pk__in=missing, sketch__isnull=False).order_by()
        known = dict(rows.values_list("pk", "sketch")) if missing else {}
        return stacked(
            [
                self._sketches[document]
                if document in self._sketches
                else read_sketch(known.get(document) or b"")
                for document in documents
            ]
        )

    def add(self, documents: Sequence[SourceDocument], texts: Sequence[Hashes]) -> None:
        """Of each hash test documents come first: a flood of copies that train must not hide the one that judges."""
        for document, text in zip(documents, texts, strict=True):
            self._sketches[document.pk] = sketch(text).copy()
        for trains, side in ((True, "right"), (False, "left")):
            chosen = [
                (document.pk, looked_up(text))
                for document, text in zip(documents, texts, strict=True)
                if (document.split != Split.TEST) is trains
            ]
            if not chosen:
                continue
            hashes = np.concatenate([row for _, row in chosen])
            owners = np.repeat([document for document, _ in chosen], [len(row) for _, row in chosen])
            order = np.argsort(hashes, kind="stable")
            hashes, owners = hashes[order], owners[order]
            places = np.searchsorted(self._hashes, hashes, side=side)
            self._hashes = np.insert(self._hashes, places, hashes)
            self._documents = np.insert(self._documents, places, owners)
            self._trains = np.insert(self._trains, places, trains)
        if len(self._hashes) > MOST_IN_MEMORY:
            self.write()

    def write(self) -> None:
        if len(self._hashes):
            statements.copy_sketch_hashes(self._hashes.view(np.int64), self._trains, self._documents)
            self._clear()


def signed(hashes: Hashes) -> list[int]:
    """As the database has them."""
    return hashes.view(np.int64).tolist()


def kept_sketch(text: Hashes) -> bytes:
    kept: bytes = sketch(text).astype("<u8").tobytes()
    return kept


def sketch_of(document: SourceDocument) -> Hashes:
    assert document.sketch is not None  # nosec B101 (its callers see to it)
    return read_sketch(document.sketch)


def read_sketch(kept: bytes | memoryview) -> Hashes:
    return np.frombuffer(kept, dtype="<u8")
