"""Writes the words of a loop's report again from its figures: .venv/bin/python script/render_report.py DIRECTORY.

report.json stays the run's; only its sentence and report.md are made again, by the code that `run_loop` uses.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(directory: Path) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops_site.settings")
    import django

    django.setup()
    from reviews.loop.report import sentence, write_facts

    facts = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    facts["comparison"]["sentence"] = sentence(facts)
    text, data = write_facts(facts, directory)
    print(f"{text}\n{data}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Name the directory of one report.")
    main(Path(sys.argv[1]))
