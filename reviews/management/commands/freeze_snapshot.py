from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from models_app.foundation.errors import GalleyError
from models_app.management import arguments
from models_app.models import DatasetSnapshot, EvaluationSet
from reviews.examples.references import SOURCES, freeze_test_set
from reviews.examples.snapshots import Selection, freeze_snapshot, preview_snapshot
from reviews.ingest import twins
from reviews.models import FeedbackExample


class Command(BaseCommand):
    help = (
        "Freeze the approved feedback examples into a snapshot, or with --test-set the test documents that have a "
        "reference. The same selection gives the same digest, and the snapshot there is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default="", help="what it is called")
        parser.add_argument("--note", default="")
        parser.add_argument("--domain", action="append", default=[], help="only this domain; may be repeated")
        parser.add_argument(
            "--from", action="append", default=[], dest="origins", choices=FeedbackExample.Origin.values,
            help="only examples of this origin; may be repeated",
        )  # fmt: skip
        parser.add_argument("--batch", type=int, help="only documents of this import")
        parser.add_argument("--dry-run", action="store_true", help="say what would be in and freeze nothing")
        parser.add_argument("--test-set", action="store_true", help="freeze test documents instead")
        parser.add_argument("--limit", type=int, help="with --test-set: at most so many documents")
        parser.add_argument(
            "--references", choices=tuple(SOURCES), default="imported",
            help="with --test-set: what summaries are measured against; final corrections favour the release that "
            "wrote what was corrected",
        )  # fmt: skip
        parser.add_argument(
            "--words", choices=EvaluationSet.Words.values,
            help="with --test-set: what ROUGE counts, words of a–z or of any script [what its references are in]",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true")
        arguments.add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["limit"] is not None and options["limit"] < 1:
            raise CommandError("--limit: at least 1.")
        self.as_json = options["json"]
        actor = arguments.actor(options["user"])
        twins.sketch_missing()
        try:
            if options["test_set"]:
                self._freeze_test_set(options, actor)
            else:
                self._freeze_snapshot(options, actor)
        except GalleyError as error:
            raise CommandError(error.message) from error

    def _freeze_snapshot(self, options: dict[str, Any], actor: Any | None) -> None:
        selection = Selection(
            domains=tuple(options["domain"]), origins=tuple(options["origins"]), batch=options["batch"]
        )
        if options["dry_run"]:
            preview = preview_snapshot(selection)
            lacks = "" if preview.enough else f"; too small to train on ({preview.least:,} and 1 are needed)"
            self._say(
                {"train": preview.train, "validation": preview.validation, "enough": preview.enough},
                f"{preview.train:,} training and {preview.validation:,} validation rows would be in{lacks}.",
            )
            return
        before = timezone.now()
        snapshot = freeze_snapshot(
            name=options["name"] or f"{before:%Y-%m-%d %H:%M}",
            note=options["note"],
            selection=selection,
            actor=actor,
        )
        self._say(
            {
                "snapshot": snapshot.pk, "digest": snapshot.digest, "train": snapshot.train_rows,
                "validation": snapshot.validation_rows, "directory": snapshot.directory,
            },
            f"Snapshot {snapshot.pk} ({snapshot.name}): {snapshot.train_rows:,} training and "
            f"{snapshot.validation_rows:,} validation rows, digest {snapshot.digest}{_known(snapshot, before)}",
        )  # fmt: skip

    def _freeze_test_set(self, options: dict[str, Any], actor: Any | None) -> None:
        before = timezone.now()
        frozen = freeze_test_set(
            actor=actor,
            name=options["name"],
            batch=options["batch"],
            limit=options["limit"],
            references=options["references"],
            words=options["words"],
        )
        self._say(
            {"test_set": frozen.pk, "digest": frozen.digest, "rows": frozen.rows, "words": frozen.words},
            f"Test set {frozen.pk} ({frozen.name}): {frozen.rows:,} documents, digest {frozen.digest}"
            + _known(frozen, before),
        )

    def _say(self, facts: dict[str, Any], sentence: str) -> None:
        self.stdout.write(json.dumps(facts) if self.as_json else sentence)


def _known(frozen: DatasetSnapshot | EvaluationSet, before: Any) -> str:
    return " (frozen before; nothing new was made)" if frozen.created_at < before else ""
