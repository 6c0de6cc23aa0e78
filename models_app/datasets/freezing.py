"""Dataset snapshots: immutable rows with a digest, in the database and as files with a manifest."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from models_app.foundation import audit
from models_app.foundation.errors import Refused
from models_app.foundation.roles import require
from models_app.models import DatasetSnapshot, SnapshotExample

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class SnapshotRow:
    """One training example as plain values. `document_hash` names the document, `split` its split."""

    split: str
    document_hash: str
    origin: str
    source: str
    target: str
    title: str = ""
    domain: str = ""
    rejected: str = ""


def _canonical(row: SnapshotRow) -> str:
    """What the digest is over: content, not where it came from."""
    values = asdict(row)
    values.pop("origin")
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def rows_digest(rows: Iterable[SnapshotRow]) -> str:
    """SHA-256 over the sorted canonical rows: the order of selection does not matter."""
    digest = hashlib.sha256()
    for line in sorted(_canonical(row) for row in rows):
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def digest_of_rows(snapshot: DatasetSnapshot) -> str:
    """Of its rows as the database has them now; the snapshot's own where nobody rewrote one. 1 query."""
    names = [field.name for field in fields(SnapshotRow)]
    rows = SnapshotExample.objects.filter(snapshot=snapshot).order_by().values(*names)
    return rows_digest(SnapshotRow(**row) for row in rows.iterator(chunk_size=2000))


def freeze(
    *,
    rows: Sequence[SnapshotRow],
    name: str,
    selection: dict[str, Any],
    curators: Sequence[int],
    actor: Any | None,
    note: str = "",
) -> DatasetSnapshot:
    """Freeze rows; the same rows give the snapshot there is. Raises Refused for test rows, for none, for a
    document in two splits or twice."""
    require(actor, "freeze_snapshot")
    _check(rows)
    digest = rows_digest(rows)
    existing = DatasetSnapshot.objects.filter(digest=digest).first()
    if existing is not None:
        return existing
    ordered = sorted(rows, key=_canonical)
    directory = _write_files(ordered, digest, name, selection)
    counts = {split: sum(row.split == split for row in ordered) for split in SPLITS}
    try:
        with transaction.atomic():
            snapshot = DatasetSnapshot.objects.create(
                name=name,
                digest=digest,
                selection=selection,
                train_rows=counts["train"],
                validation_rows=counts["validation"],
                curators=sorted(set(curators)),
                directory=str(directory.relative_to(settings.GALLEY_HOME)),
                note=note,
                created_by=actor,
            )
            SnapshotExample.objects.bulk_create(
                [
                    SnapshotExample(snapshot=snapshot, position=i, **asdict(row))
                    for i, row in enumerate(ordered)
                ],
                batch_size=1000,
            )
            audit.record(
                actor=actor, action="snapshot.freeze", subject=snapshot, data={"digest": digest, **counts}
            )
    except IntegrityError:
        return DatasetSnapshot.objects.get(digest=digest)
    return snapshot


def _check(rows: Sequence[SnapshotRow]) -> None:
    if not rows:
        raise Refused("Nothing was selected. Approve feedback examples first, then freeze.")
    tests = sum(row.split == "test" for row in rows)
    if tests:
        raise Refused(
            f"{tests} of the rows belong to the test split. Test documents judge models; what is learnt from them "
            "would make every later comparison worthless, so they never enter a snapshot.",
            code="test_split",
        )
    seen: dict[str, str] = {}
    for row in rows:
        other = seen.get(row.document_hash)
        if other is not None:
            raise Refused(f"Document {row.document_hash[:12]} is there twice ({other} and {row.split}).")
        seen[row.document_hash] = row.split


def _write_files(rows: Sequence[SnapshotRow], digest: str, name: str, selection: dict[str, Any]) -> Path:
    """train.jsonl, validation.jsonl and, last, manifest.json, written beside and renamed: a directory of this name is
    whole."""
    parent = Path(settings.GALLEY_HOME) / "snapshots"
    parent.mkdir(parents=True, exist_ok=True)
    final = parent / digest[:16]
    if (final / "manifest.json").is_file():
        return final
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{digest[:16]}-") as directory:
        beside = Path(directory) / "files"
        beside.mkdir()
        files = {f"{split}.jsonl": _write_rows(beside / f"{split}.jsonl", rows, split) for split in SPLITS}
        manifest = {"format": 1, "digest": digest, "name": name, "selection": selection, "files": files}
        text = json.dumps(manifest, indent=2, ensure_ascii=False, default=str)
        (beside / "manifest.json").write_text(text, encoding="utf-8")
        try:
            beside.rename(final)
        except OSError:
            if not (final / "manifest.json").is_file():
                raise
            # another process has just frozen the same rows: its files are the same
    return final


def _write_rows(path: Path, rows: Sequence[SnapshotRow], split: str) -> dict[str, Any]:
    digest = hashlib.sha256()
    count = 0
    with path.open("wb") as file:
        for row in rows:
            if row.split == split:
                line = (json.dumps(asdict(row), ensure_ascii=False, sort_keys=True) + "\n").encode()
                digest.update(line)
                file.write(line)
                count += 1
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size, "rows": count}


def files_of(snapshot: DatasetSnapshot) -> list[tuple[str, dict[str, Any]]]:
    """(name, {"sha256", "bytes", "rows"}) by the manifest. Raises Refused where the files are lost."""
    manifest = Path(settings.GALLEY_HOME) / snapshot.directory / "manifest.json"
    if not manifest.is_file():
        raise Refused(
            f"The files of snapshot {snapshot.pk} are missing. Restore {manifest.parent} from a backup."
        )
    return sorted(json.loads(manifest.read_text(encoding="utf-8"))["files"].items())
