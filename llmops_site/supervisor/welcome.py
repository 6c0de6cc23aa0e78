"""What the person who started Galley reads first: a box with the address, the accounts, the logs and how to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LINES = "─│┌┐└┘"
_PLAIN = "-|++++"


@dataclass(frozen=True)
class Account:
    username: str
    password: str
    role: str


def box(*, url: str, accounts: Sequence[Account], logs: Path, state: str, encoding: str) -> list[str]:
    """`state` says whether summaries are served. Where the terminal has no box characters, plain ones are used."""
    rows = [f"Galley runs at {url}", ""]
    if accounts:
        rows += [*_table(accounts), "These passwords are shown this once.", ""]
    else:
        rows += ["The accounts are those of the first start. A forgotten password: docs/operations.md", ""]
    rows += [
        f"Summaries  {state}",
        f"Logs       {logs} (warnings and worse appear here, too)",
        "Stop       Ctrl-C",
    ]
    flat, upright, *corners = list(_characters(encoding))
    width = max(len(row) for row in rows)
    edge = flat * (width + 2)
    return [
        f"{corners[0]}{edge}{corners[1]}",
        *(f"{upright} {row:<{width}} {upright}" for row in rows),
        f"{corners[2]}{edge}{corners[3]}",
    ]


def _table(accounts: Sequence[Account]) -> list[str]:
    names = max(len("Sign in as"), *(len(account.username) for account in accounts))
    passwords = max(len("Password"), *(len(account.password) for account in accounts))
    head = Account("Sign in as", "Password", "Role")
    return [
        f"{row.username:<{names}}   {row.password:<{passwords}}   {row.role}" for row in (head, *accounts)
    ]


def _characters(encoding: str) -> str:
    try:
        _LINES.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return _PLAIN
    return _LINES
