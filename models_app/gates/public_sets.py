"""Public sets that are known by fingerprints: loaded, declared as what a base model learnt from, and looked up.

Nobody can read what a model from elsewhere was trained on. What can be said is which test documents lie about in public
sets, and that is said by name: a base model may have learnt them. Of these sets no text is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction

from models_app.evaluation.sets import digest_of_documents
from models_app.foundation import audit
from models_app.foundation.constraints import broke
from models_app.foundation.errors import InvalidInput, Refused
from models_app.foundation.roles import require
from models_app.models import (
    DeclaredTraining,
    EvaluationExample,
    EvaluationSet,
    FingerprintSet,
    ModelVersion,
    PublicOccurrence,
    TextFingerprint,
)
from models_app.texts.near_duplicates import Hashes, shingles
from models_app.texts.normalise import one_line
from models_app.texts.public_sets import METHOD, Fingerprint, fingerprints, occurring

LONGEST_NAME = 120
LONGEST_NOTE = 300
MOST_ROWS = 5_000_000
_ROWS_AT_ONCE = 500
_LOOKED_UP_AT_ONCE = 20_000

#: What a row of a file may call its texts.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "article": ("article", "text", "document", "source"),
    "reference": ("reference", "highlights", "summary", "target", "abstract"),
}


# ---------------------------------------------------------------- loading


def load_fingerprints(*, name: str, file: Path, note: str = "", actor: Any | None) -> FingerprintSet:
    """Fingerprints of the texts of a JSON Lines file, or those that the file has already; the texts are not kept.

    The same texts again give the set there is. Raises InvalidInput for a row that is wrong, with its number, and
    Refused where another set has the name.
    """
    require(actor, "evaluate")
    name, note = _name(name), _note(note)
    digest, rows = _read(file)
    same = FingerprintSet.objects.filter(digest=digest).first()
    if same is not None:
        return same
    _refuse_name(name)
    try:
        with transaction.atomic():
            made = FingerprintSet.objects.create(
                name=name,
                note=note,
                method=METHOD,
                digest=digest,
                rows=rows,
                loaded_by=actor,
            )
            for block in _blocks(file):
                TextFingerprint.objects.bulk_create(
                    TextFingerprint(
                        of=made, position=position, role=role, shingles=one.shingles, sketch=one.sketch
                    )
                    for position, role, one in block
                )
            if _read(file) != (digest, rows):
                raise Refused(f"{file.name} was changed while it was read. Load it again.")
            audit.record(
                actor=actor,
                action="fingerprints.load",
                subject=made,
                data={"name": name, "rows": rows, "digest": digest},
            )
    except IntegrityError as error:
        if broke(error, "fingerprint_set_name"):
            _refuse_name(name)
        same = FingerprintSet.objects.filter(digest=digest).first()
        if same is None:
            raise
        return same
    return made


def _refuse_name(name: str) -> None:
    if FingerprintSet.objects.filter(name__iexact=name).exists():
        raise Refused(
            f"There is a set called {name!r} already, of other texts. Give this one a name of its own, such as "
            f"{name[:100]!r} with its version."
        )


def _name(name: str) -> str:
    name = one_line(name)
    if not 1 <= len(name) <= LONGEST_NAME:
        raise InvalidInput(
            "The set needs a name.",
            fields={"name": f"1 to {LONGEST_NAME} characters, such as cnn_dailymail test."},
        )
    return name


def _note(note: str) -> str:
    note = one_line(note)
    if len(note) > LONGEST_NOTE:
        raise InvalidInput("The note is too long.", fields={"note": f"At most {LONGEST_NOTE} characters."})
    return note


def _read(file: Path) -> tuple[str, int]:
    """(digest over all fingerprints, rows)"""
    digest, rows = hashlib.sha256(METHOD.encode()), 0
    for block in _blocks(file):
        for position, role, one in block:
            digest.update(f"{position} {role} {one.shingles} ".encode() + one.sketch)
            rows = position
    if not rows:
        raise InvalidInput(f"{file.name} has no rows.", fields={"file": "It has no rows with texts."})
    return digest.hexdigest(), rows


def _blocks(file: Path) -> Iterator[list[tuple[int, str, Fingerprint]]]:
    """(row from 1, role, fingerprint) of some rows at a time"""
    rows: list[tuple[int, Mapping[str, Any]]] = []
    for number, row in _rows(file):
        rows.append((number, row))
        if len(rows) == _ROWS_AT_ONCE:
            yield _prints(rows)
            rows = []
    if rows:
        yield _prints(rows)


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    number = 0
    with file.open("rb") as lines:
        for raw in lines:
            if not raw.strip():
                continue
            number += 1
            if number > MOST_ROWS:
                raise _wrong(number, f"a set has at most {MOST_ROWS:,} rows")
            try:
                row = json.loads(raw)
            except (ValueError, RecursionError) as error:
                raise _wrong(number, f"no JSON ({str(error)[:80]})") from error
            if not isinstance(row, dict):
                raise _wrong(number, "no object")
            yield number, row


def _prints(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> list[tuple[int, str, Fingerprint]]:
    found: list[tuple[int, str, Fingerprint]] = []
    texts: list[tuple[int, str, str]] = []
    for number, row in rows:
        mine = len(found) + len(texts)
        for role, names in FIELDS.items():
            value = next((row[name] for name in names if row.get(name)), None)
            if isinstance(value, list) and all(isinstance(one, str) for one in value):
                value = "\n".join(value)
            if isinstance(value, str):
                texts.append((number, role, value))
            elif value is not None:
                found.append((number, role, _given(number, value)))
        if len(found) + len(texts) == mine:
            known = ", ".join(name for names in FIELDS.values() for name in names)
            raise _wrong(number, f"it has none of the fields {known}")
    made = fingerprints([text for _, _, text in texts])
    found += [(number, role, one) for (number, role, _), one in zip(texts, made, strict=True) if one.shingles]
    return sorted(found, key=lambda one: one[:2])


def _given(number: int, value: Any) -> Fingerprint:
    """A fingerprint that somebody else made: {"sketch": base64, "shingles": number}."""
    if not isinstance(value, dict) or not isinstance(value.get("sketch"), str):
        raise _wrong(number, "a text, or a fingerprint with sketch and shingles")
    size = value.get("shingles")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size < 1 << 31:
        raise _wrong(number, "shingles is a whole number")
    try:
        one = Fingerprint(base64.b64decode(value["sketch"], validate=True), size)
    except (ValueError, binascii.Error) as error:
        raise _wrong(number, "the sketch is no base64") from error
    if problem := one.mistakes():
        raise _wrong(number, problem)
    return one


def _wrong(number: int, what: str) -> InvalidInput:
    return InvalidInput(f"Row {number:,}: {what}.", fields={"file": f"Row {number:,}: {what}."})


# ---------------------------------------------------------------- declared


def declare_training(
    *, model_version: ModelVersion, name: str, note: str = "", actor: Any | None
) -> DeclaredTraining:
    """Say that a model from elsewhere was trained on a set; twice is once. A set that is known by fingerprints is found
    by its name. Raises Refused for a model that was trained here: its snapshots say what it learnt from."""
    require(actor, "train")
    name, note = _name(name), _note(note)
    if model_version.training_run_id is not None:
        raise Refused(
            f"Model {model_version.pk} was trained here: its snapshots say on what. Declare what its base learnt from."
        )
    if not model_version.artefact:
        raise Refused(f"Model {model_version.pk} has no weights, so it learnt from nothing.")
    existing = DeclaredTraining.objects.filter(model_version=model_version, name__iexact=name).first()
    if existing is not None:
        return existing
    try:
        with transaction.atomic():
            made = DeclaredTraining.objects.create(
                model_version=model_version,
                name=name,
                fingerprints=FingerprintSet.objects.filter(name__iexact=name).first(),
                note=note,
                declared_by=actor,
            )
            audit.record(
                actor=actor, action="model.declare_training", subject=model_version, data={"set": name}
            )
    except IntegrityError as error:
        if not broke(error, "declared_training_once"):
            raise
        return DeclaredTraining.objects.get(model_version=model_version, name__iexact=name)
    return made


# ---------------------------------------------------------------- looking up


def occurrences(evaluation_set: EvaluationSet, *, digest: str = "") -> list[PublicOccurrence]:
    """Of each known set, which documents of the test set occur in it; looked up once for the texts as they are.
    `digest`: over these, where somebody has it."""
    sets = list(FingerprintSet.objects.order_by("name"))
    if not sets:
        return []
    digest = digest or digest_of_documents(evaluation_set)
    known = {
        one.of_id: one for one in PublicOccurrence.objects.filter(test_digest=digest).select_related("of")
    }
    missing = [one for one in sets if one.pk not in known]
    texts = _held_out(evaluation_set) if missing else {}
    for one in missing:
        known[one.pk] = _look(one, evaluation_set, digest, texts)
    return [known[one.pk] for one in sets]


def _held_out(evaluation_set: EvaluationSet) -> dict[str, list[tuple[int, Hashes]]]:
    """By role: (position of the document, its shingles)"""
    rows = list(
        EvaluationExample.objects.filter(evaluation_set=evaluation_set)
        .order_by("position")
        .only("position", "source", "reference", "all_references")
    )
    articles = zip((row.position for row in rows), shingles(row.source for row in rows), strict=True)
    references = [(row.position, text) for row in rows for text in row.texts]
    of_references = shingles(text for _, text in references)
    return {
        "article": list(articles),
        "reference": [(place, one) for (place, _), one in zip(references, of_references, strict=True)],
    }


def _look(
    known: FingerprintSet,
    evaluation_set: EvaluationSet,
    digest: str,
    texts: Mapping[str, list[tuple[int, Hashes]]],
) -> PublicOccurrence:
    shares: dict[int, float] = {}
    for role, held_out in texts.items():
        hashes = [one for _, one in held_out]
        for block in _fingerprints(known, role):
            for place, _, share in occurring(hashes, block):
                position = held_out[place][0]
                shares[position] = max(share, shares.get(position, 0.0))
    try:
        with transaction.atomic():
            return PublicOccurrence.objects.create(
                of=known,
                evaluation_set=evaluation_set,
                test_digest=digest,
                documents=[[position, round(share, 4)] for position, share in sorted(shares.items())],
                count=len(shares),
            )
    except IntegrityError as error:
        if not broke(error, "public_occurrence_once"):
            raise
        return PublicOccurrence.objects.select_related("of").get(of=known, test_digest=digest)


def _fingerprints(known: FingerprintSet, role: str) -> Iterator[list[Fingerprint]]:
    rows = TextFingerprint.objects.filter(of=known, role=role).order_by("position")
    block: list[Fingerprint] = []
    for sketch, count in rows.values_list("sketch", "shingles").iterator(chunk_size=2000):
        block.append(Fingerprint(bytes(sketch), count))
        if len(block) == _LOOKED_UP_AT_ONCE:
            yield block
            block = []
    if block:
        yield block
