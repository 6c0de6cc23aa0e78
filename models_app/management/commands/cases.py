from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from models_app.cases import files, queries
from models_app.cases.writing import create_case_set, import_cases
from models_app.foundation.errors import GalleyError, InvalidInput
from models_app.management import arguments
from models_app.management.output import written
from models_app.models import CaseSet, CaseSetVersion
from models_app.texts.normalise import one_line

TOLD = 20  # lines that are wrong


class Command(BaseCommand):
    help = "Behavioural cases: list the sets, export one as JSON Lines, import one."

    def add_arguments(self, parser: CommandParser) -> None:
        parsers = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        words = "The sets with their newest versions; of one, its cases and what they assert."
        listing: CommandParser = parsers.add_parser("list", help=words, description=words)
        listing.add_argument("--set", dest="name", metavar="NAME", help="the cases of this set")
        listing.add_argument("--format", choices=["text", "json"], default="text")
        words = "The cases of a set as JSON Lines, one a line."
        out: CommandParser = parsers.add_parser("export", help=words, description=words)
        out.add_argument("--set", dest="name", metavar="NAME", required=True)
        out.add_argument("--version", type=int, dest="number", metavar="N", help="[the newest]")
        out.add_argument("--output", type=Path, metavar="FILE", help="where to write them [standard output]")
        words = (
            "All cases of a file as one new version of a set, or none of them. A line with a number is that case; one "
            "without is new, unless the set has it word for word."
        )
        into: CommandParser = parsers.add_parser("import", help=words, description=words)
        into.add_argument("file", help="JSON Lines as `export` writes them; - is standard input")
        into.add_argument(
            "--set", dest="name", metavar="NAME", required=True, help="made where there is none"
        )
        into.add_argument("--reason", help="why, for the history of the set [the name of the file]")
        arguments.add_user(into)

    def handle(self, *args: Any, **options: Any) -> None:
        act = {"list": self._list, "export": self._export, "import": self._import}[options["act"]]
        try:
            act(options)
        except InvalidInput as error:
            raise CommandError(_listed(error)) from error
        except GalleyError as error:
            raise CommandError(error.message) from error

    # ---------------------------------------------------------------- looking

    def _list(self, options: dict[str, Any]) -> None:
        if options["name"] is not None:
            self._list_cases(_newest(_set(options["name"])), options["format"])
            return
        rows = queries.set_rows()
        if options["format"] == "json":
            self.stdout.write(json.dumps([_values(row) for row in rows], indent=2, ensure_ascii=False))
            return
        for row in rows:
            version = (
                f"version {row.version.number}, {row.version.cases:,} cases" if row.version else "no case yet"
            )
            self.stdout.write(f"{row.case_set.name}  {version}")

    def _list_cases(self, version: CaseSetVersion, form: str) -> None:
        cases = queries.cases_of(version).defer("article")
        if form == "json":
            names = ("number", "title", "domain", "must_pass", "assertions", "origin")
            told = [{name: getattr(case, name) for name in names} for case in cases]
            self.stdout.write(json.dumps(told, indent=2, ensure_ascii=False))
            return
        for case in cases:
            must = "  must pass" if case.must_pass else ""
            self.stdout.write(f"{case.number:>5}  {case.title or 'untitled'}{must}")
            for words in queries.assertion_words(case):
                self.stdout.write(f"       The summary {words}.")

    def _export(self, options: dict[str, Any]) -> None:
        case_set = _set(options["name"])
        version = _newest(case_set)
        if (number := options["number"]) is not None:
            found = queries.version_of(case_set, number) if 0 < number < 1 << 31 else None
            if found is None:
                raise CommandError(f"{case_set.name} has no version {number}.")
            version = found
        with written(options["output"]) as file:
            for line in files.lines_of(queries.cases_of(version).iterator(chunk_size=50)):
                file.write(line)
        if options["output"]:
            self.stderr.write(f"{options['output']}: {version.cases:,} cases of {version}")

    # ---------------------------------------------------------------- changing

    def _import(self, options: dict[str, Any]) -> None:
        actor = arguments.actor(options["user"])
        drafts = self._read(options["file"])
        reason = (
            options["reason"]
            if options["reason"] is not None
            else f"Imported from {Path(options['file']).name}."
        )
        with transaction.atomic():
            case_set = CaseSet.objects.filter(name=one_line(options["name"])).first()
            case_set = case_set or create_case_set(name=options["name"], actor=actor)
            done = import_cases(case_set=case_set, drafts=drafts, reason=reason, actor=actor)
        what = f"{done.added:,} added, {done.edited:,} edited, {done.same:,} there already"
        made = f"version {done.version.number}" if done.version else "no new version"
        self.stdout.write(f"{case_set.name}: {made} ({what}).")

    def _read(self, name: str) -> list[Any]:
        if name == "-":
            return _drafts(sys.stdin.buffer)
        try:
            with Path(name).open("rb") as file:
                return _drafts(file)
        except OSError as error:
            raise CommandError(f"{name} cannot be read: {error.strerror or error}.") from error


def _drafts(file: IO[bytes]) -> list[Any]:
    return list(files.read_drafts(file))


def _set(name: str) -> CaseSet:
    found = CaseSet.objects.filter(name=one_line(name)).first()
    if found is None:
        raise CommandError(f"There is no set of cases {name!r}. See: cases list")
    return found


def _newest(case_set: CaseSet) -> CaseSetVersion:
    version = queries.version_of(case_set)
    if version is None:
        raise CommandError(f"{case_set.name} has no case yet.")
    return version


def _values(row: queries.SetRow) -> dict[str, Any]:
    version = row.version
    return {
        "name": row.case_set.name,
        "version": version.number if version else None,
        "cases": version.cases if version else 0,
        "digest": version.digest if version else None,
        "made_at": version.made_at.isoformat() if version else None,
    }


def _listed(error: InvalidInput) -> str:
    lines = [f"  {place}: {words}" for place, words in error.fields.items()]
    more = [f"  and {len(lines) - TOLD:,} more"] if len(lines) > TOLD else []
    return "\n".join([error.message, *lines[:TOLD], *more])
