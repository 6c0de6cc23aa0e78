"""`python -m llmops_site.supervisor`: all of Galley, from one process, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys

from django.core.exceptions import ImproperlyConfigured

from llmops_site import private
from llmops_site.env import FIELDS, read_environment
from llmops_site.postgres_account import EmbeddedDatabaseError
from llmops_site.startable import CannotStart
from llmops_site.supervisor import galley


def main() -> int:
    private.keep_new_files_private()
    settings = "\n".join(f"  {field.name:<30}{field.meaning} [{field.default}]" for field in FIELDS)
    argparse.ArgumentParser(
        prog="script/run",
        description="Starts Galley and keeps it running until Ctrl-C.",
        epilog=f"Settings, from the environment:\n{settings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        return galley.run(read_environment(os.environ))
    except (CannotStart, EmbeddedDatabaseError, ImproperlyConfigured) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
