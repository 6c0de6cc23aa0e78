"""Commands that end with a verdict: 0 pass, 1 fail, 2 inconclusive, 3 error. Pipelines read it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_app.gates.results import Verdict

ERROR = 3
CODES: Mapping[Verdict, int] = {
    Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 2, Verdict.ERROR: ERROR,
}  # fmt: skip


class VerdictCommand(BaseCommand):
    """1 and 2 are verdicts: what else goes wrong, wrong arguments included, ends with 3."""

    judged = False
    requires_system_checks: tuple[
        ()
    ] = ()  # they import every page: half of what a refusal takes; the tests run them

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
        except SystemExit as ended:
            if self.judged or ended.code in (0, None):
                raise
            raise SystemExit(ERROR) from ended
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(ERROR) from error

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            if error.returncode == ERROR:
                raise
            raise CommandError(str(error), returncode=ERROR) from error

    def end(self, code: int) -> None:
        """With a verdict's code."""
        if code:
            self.judged = True
            sys.exit(code)

    def write(self, text: str, output: Path | None, *, said: str) -> None:
        """To a file, and then what it comes to on standard error; else to standard output."""
        if output is None:
            self.stdout.write(text)
            return
        try:
            output.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(
                f"{output} cannot be written: {error.strerror or error}.", returncode=ERROR
            ) from error
        self.stderr.write(f"{output}: {said}")
