#!/usr/bin/env python
from __future__ import annotations

import os
import sys


def main() -> None:
    from llmops_site import env, private

    private.keep_new_files_private()
    if sys.argv[1:2] == ["verify_evidence"]:
        env.keep_no_key()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops_site.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from llmops_site import tables
    from models_app import doors

    doors.of_command(sys.argv[1] if len(sys.argv) > 1 else "help")
    try:
        if tables.needs_tables(sys.argv[1:]):
            tables.make_sure_of_tables()
    except (ImproperlyConfigured, tables.TablesUnfit) as error:
        sys.exit(str(error))
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
