"""What differs between the OpenAPI schemas of two checkouts: paths, operations, schemas, fields, words.

python benchmarks/schema_difference.py BEFORE [AFTER]    AFTER is this checkout where it is left out
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WRITE = """
import json, sys, django
django.setup()
from drf_spectacular.generators import SchemaGenerator
json.dump(SchemaGenerator().get_schema(request=None, public=True), sys.stdout, default=str)
"""


def schema_of(checkout: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        told = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", WRITE], cwd=checkout, check=True, capture_output=True, text=True,
            env={**os.environ, "GALLEY_HOME": home, "DJANGO_SETTINGS_MODULE": "llmops_site.settings"},
        ).stdout  # fmt: skip
    return json.loads(told[told.index("{") :])


def differences(before: Any, after: Any, at: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys(), key=str):
            place = f"{at} › {key}" if at else str(key)
            if key not in after:
                yield f"- {place}"
            elif key not in before:
                yield f"+ {place}"
            else:
                yield from differences(before[key], after[key], place)
    elif before != after:
        yield f"~ {at}: {json.dumps(before, ensure_ascii=False)} → {json.dumps(after, ensure_ascii=False)}"


def main() -> None:
    before = Path(sys.argv[1]).resolve()
    after = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else Path(__file__).resolve().parents[1]
    found = list(differences(schema_of(before), schema_of(after)))
    print("\n".join(found) or "The schemas are the same.")


if __name__ == "__main__":
    main()
