"""A commit is checked by the tools that script/lint runs, called the same way."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
TOOL = re.compile(r"(?:\.venv/bin/|\"\$bin/)([\w-]+)\"?((?: (?!-r)-?[\w-]+(?:\.toml)?)*)")
# A hook is handed the files that changed; what says which files are looked at differs.
ONLY_HOOKS = {"--force-exclude"}


def calls(text: str) -> set[tuple[str, ...]]:
    return {
        (name, *(word for word in options.split() if word not in ONLY_HOOKS))
        for name, options in TOOL.findall(text)
    }


def test_a_commit_is_checked_as_script_lint_checks_everything() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = "\n".join(
        line
        for line in (ROOT / "script" / "lint").read_text().splitlines()
        if not line.startswith("    echo")
    )
    of_hooks = calls("\n".join(hook["entry"] for hook in hooks))
    assert of_hooks == calls(lint)
    assert ("bandit", "-q", "--confidence-level", "medium", "-c", "pyproject.toml") in of_hooks
    assert {hook["language"] for hook in hooks} == {"system"}, "nothing is fetched"
