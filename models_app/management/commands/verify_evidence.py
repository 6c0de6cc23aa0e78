from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from models_app.evidence import keys
from models_app.evidence.envelope import LARGEST, Evidence, NotEvidence, check, fingerprint, read_key

FAIL, INCONCLUSIVE, ERROR = 1, 2, 3


def public_key(words: str) -> str:
    try:
        read_key(words)
    except ValueError as error:
        raise ArgumentTypeError(f"{words[:60]!r} is no public key: {error}") from error
    return words.strip()


class Command(BaseCommand):
    help = (
        "Check evidence files of releases on any machine, without a database and a network: that nobody changed them "
        "since they were signed, and by which key. Of several files of one release it says which is superseded. Ends "
        "with 0 where all hold and are signed with the key that is given or with this installation's own; 1 where one "
        "was changed, cut off or signed with another key, or is superseded; 2 where a file is whole, but nobody said "
        "whose key it should be signed with; 3 where a file or the key cannot be read."
    )
    requires_system_checks: tuple[()] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument(
            "--key", metavar="PUBLIC",
            help="the installation's public key, as its page Audit shows it: what a file itself says about its key, a "
            "forger can say too",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key = public_key(options["key"]) if options["key"] is not None else None
        except ArgumentTypeError as error:
            raise CommandError(str(error), returncode=ERROR) from error
        found = {path: self._checked(path, key) for path in options["files"]}
        whole = {path: evidence for path, evidence in found.items() if evidence is not None}
        superseded = [
            path
            for path, one in whole.items()
            if any(one.is_superseded_by(other) for other in whole.values())
        ]
        own = keys.public_key() if keys.path().exists() else None
        known = [path for path, one in whole.items() if key is not None or one.key == own]
        for path, evidence in whole.items():
            self._say(path, evidence, superseded=path in superseded, known=path in known)
        if len(whole) < len(found) or superseded:
            self._end(FAIL, f"{len(found) - len(whole) + len(superseded)} of {len(found)} do not hold.")
        if len(known) < len(whole):
            self._end(
                INCONCLUSIVE,
                "Whole, but nobody said by whom it should be signed. Give the key with --key, as the page Audit of the "
                "installation shows it.",
            )

    def _checked(self, path: Path, key: str | None) -> Evidence | None:
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST + 1)
        except (OSError, ValueError) as error:
            raise CommandError(f"{path} cannot be read: {error}.", returncode=ERROR) from error
        try:
            return check(content, key=key)
        except NotEvidence as error:
            self.stdout.write(self.style.ERROR(f"{path}: not to be trusted. {error}"))
            return None

    def _say(self, path: Path, evidence: Evidence, *, superseded: bool, known: bool) -> None:
        release, comparison = evidence.document["release"], evidence.document.get("comparison")
        at = evidence.submitted_at
        submitted = (
            f"of the submission of {_moment(at)}" if at is not None else "of a release that was not submitted"
        )
        self.stdout.write(f"{path}: {'superseded by another of these files' if superseded else 'whole'}.")
        self.stdout.write(
            f"  release   {evidence.release} ({_printable(release.get('environment'))}), "
            f"{_printable(release.get('state'))} when it was written"
        )
        self.stdout.write(f"  written   {_moment(evidence.made_at)}, {submitted}")
        if isinstance(comparison, dict):
            self.stdout.write(f"  verdict   {_printable(comparison.get('verdict'))}")
        self.stdout.write(
            f"  key       {fingerprint(evidence.key)} ({'known' if known else 'named by the file alone'})"
        )

    def _end(self, code: int, words: str) -> None:
        raise CommandError(words, returncode=code)


def _moment(at: Any) -> str:
    return (
        f"{timezone.localtime(at):%d %B %Y, %H:%M %Z}" if timezone.is_aware(at) else f"{at:%d %B %Y, %H:%M}"
    )


def _printable(value: Any) -> str:
    """A file that nobody vouches for yet says nothing to the terminal but words."""
    return "".join(letter for letter in str(value)[:60] if letter.isprintable())
