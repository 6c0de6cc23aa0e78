"""The installation's settings, read from the environment once, typed, and refused where they make no sense.

`FIELDS` is the one list of them: the reader, the error messages and docs/settings.md come from it.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured

from models_app.webhooks.targets import Inside

BASE_DIR = Path(__file__).resolve().parent.parent

# set by Galley's own processes for each other, or by the tests; not settings
INTERNAL = ("GALLEY_INSTANCE", "GALLEY_JOB_TOKEN", "GALLEY_SUPERVISED")
INTERNAL_PREFIXES = ("GALLEY_TEST_",)


def _boolean(value: str) -> bool:
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if value.strip().lower() not in words:
        raise ValueError("write yes or no")
    return words[value.strip().lower()]


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value) if value.strip().lstrip("-").isdigit() else None
        if number is None or not low <= number <= high:
            raise ValueError(f"write a whole number from {low} to {high}")
        return number

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError("write one of: " + ", ".join(words))
        return value

    return parse


def _stars(value: str) -> float:
    try:
        stars = float(value)
    except ValueError as error:
        raise ValueError("write a number of stars such as 3 or 3.5") from error
    if not 0 <= stars <= 5:
        raise ValueError("write a number of stars from 0 to 5")
    return stars


def _shares(value: str) -> tuple[int, int, int]:
    parts = value.split("/")
    numbers = tuple(int(part) for part in parts if part.strip().isdigit())
    if len(parts) != 3 or len(numbers) != 3 or sum(numbers) != 100 or min(numbers) < 1:
        raise ValueError("write three whole percentages that add up to 100, such as 70/10/20")
    return numbers[0], numbers[1], numbers[2]


def _rate(value: str) -> str:
    number, _, period = value.partition("/")
    if not number.isdigit() or int(number) < 1 or period not in ("second", "minute", "hour", "day"):
        raise ValueError("write a rate such as 600/minute")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("write a time zone's name, such as Europe/Berlin") from error
    return value


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def _directories(value: str) -> list[Path]:
    found = [Path(word).expanduser() for word in _words(value)]
    if not all(path.is_absolute() for path in found):
        raise ValueError("write absolute paths with commas between them, such as /srv/models")
    return found


def _url(value: str) -> str:
    parts = urlparse(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("write an address such as https://galley.example.org")
    return value.rstrip("/")


def _networks(value: str) -> list[IPv4Network | IPv6Network]:
    try:
        networks = [ip_network(word, strict=False) for word in _words(value)]
    except ValueError as error:
        raise ValueError("write addresses or networks such as 127.0.0.1,10.0.0.0/8") from error
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("name the proxies, not everybody: what clients write themselves would be believed")
    return networks


def _file(value: str) -> Path | None:
    path = Path(value).expanduser() if value else None
    if path is not None and not path.is_absolute():
        raise ValueError("write an absolute path, such as /mnt/worm/galley-anchors")
    return path


def _inside(value: str) -> Inside:
    """Names and networks of one's own network."""
    hosts, networks = set(), []
    for word in _words(value):
        try:
            networks.append(ip_network(word, strict=False))
        except ValueError:
            if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", word.lower()) or "/" in word:
                raise ValueError(
                    "write host names, addresses or networks such as ci.intern,10.1.0.0/16"
                ) from None
            hosts.add(word.lower())
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("name the places, not everything: webhooks could then be sent to any service inside")
    return Inside(frozenset(hosts), tuple(networks))


def _database(value: str) -> str:
    if value and urlparse(value).scheme not in ("postgres", "postgresql"):
        raise ValueError("write postgres://user:password@host:5432/name; Galley runs on PostgreSQL only")
    return value


@dataclass(frozen=True)
class Field:
    name: str
    default: str
    parse: Callable[[str], Any]
    meaning: str
    secret: bool = False


FIELDS = (
    Field("GALLEY_HOME", str(BASE_DIR / "var"), lambda v: Path(v).expanduser().resolve(),
          "data directory: database, artefacts, snapshots, logs"),
    Field("DATABASE_URL", "", _database, "a PostgreSQL to use instead of the embedded one"),
    Field("GALLEY_HOST", "127.0.0.1", str, "address the web process listens on"),
    Field("GALLEY_PORT", "8000", _whole(1, 65535), "port the web process listens on"),
    Field("GALLEY_PUBLIC_URL", "", lambda v: _url(v) if v else "",
          "address people use, when a proxy stands in front; https turns on secure cookies"),
    Field("GALLEY_TRUSTED_PROXIES", "", _networks,
          "addresses or networks of proxies in front; what they say in X-Forwarded-For is believed, of nobody else"),
    Field("GALLEY_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", _words, "host names that are answered"),
    Field("GALLEY_SECRET_KEY", "", str, "signing key; without it one is made and kept in the data directory",
          secret=True),
    Field("GALLEY_DEBUG", "no", _boolean, "Django's debug pages; never on a server that others reach"),
    Field("GALLEY_LOG_LEVEL", "INFO", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "how much is logged"),
    Field("GALLEY_TIME_ZONE", "UTC", _time_zone, "time zone of the pages"),
    Field("GALLEY_ADMIN_USERNAME", "admin", str, "administrator made at the first start"),
    Field("GALLEY_ADMIN_PASSWORD", "", str, "its password; without it one is made and printed once", secret=True),
    Field("GALLEY_DJANGO_ADMIN", "no", _boolean, "show some tables read-only under /admin/, to administrators"),
    Field("GALLEY_SAMPLE", "yes", _boolean, "load the sample workspace at the first start"),
    Field("GALLEY_WEB_WORKERS", "1", _whole(1, 32), "web processes"),
    Field("GALLEY_WEB_THREADS", "16", _whole(1, 256), "threads of each web process"),
    Field("GALLEY_QUEUE_WORKERS", "2", _whole(1, 64), "jobs of the default queue at a time, one kept for short ones"),
    Field("GALLEY_SLOT_THREADS", "2", _whole(1, 64), "CPU threads of a model slot"),
    Field("GALLEY_SLOT_QUEUE", "64", _whole(1, 10000), "requests that may wait in a slot before 503 is answered"),
    Field("GALLEY_SLOT_ANSWERS_MB", "0", _whole(0, 100_000),
          "memory of a model slot for what it wrote, given again where the same text is asked for; 0: none is kept"),
    Field("GALLEY_SLOT_MEMORY_MB", "0", _whole(0, 1_000_000),
          "a model slot that has grown beyond it answers what it was asked and starts again; 0: no ceiling"),
    Field("GALLEY_REQUEST_SECONDS", "60", _whole(1, 600), "longest time a summary request may take"),
    Field("GALLEY_OUTAGE_MINUTES", "120", _whole(0, 100_000),
          "so long summaries go on by what was read last while the database does not answer; 0: not at all"),
    Field("GALLEY_OUTAGE_LOG_MB", "512", _whole(1, 1_000_000),
          "most that the rows of the request log may take that wait in files meanwhile; beyond it 503 is answered"),
    Field("GALLEY_DEVICE", "auto", _one_of("auto", "cpu", "cuda"), "where models are trained and served"),
    Field("GALLEY_TORCH_THREADS", "1", _whole(1, 128), "CPU threads of a training or evaluation process"),
    Field("GALLEY_MODEL_DIRECTORIES", "", _directories,
          "below these, and below bases/ of the data directory, lie model directories that may be registered"),
    Field("GALLEY_OFFLINE", "no", _boolean, "never ask the Hugging Face hub"),
    Field("GALLEY_KEEP_REQUEST_TEXT", "yes", _boolean,
          "keep texts of API requests, summaries and remarks on them, for people to review; else keyed hashes alone"),
    Field("GALLEY_API_RATE", "600/minute", _rate, "API requests of one token"),
    Field("GALLEY_MAX_UPLOAD_MB", "100", _whole(1, 10000), "largest file that can be imported"),
    Field("GALLEY_IMPORT_MEMORY_MB", "1024", _whole(64, 1_000_000),
          "most memory that reading an imported file may take, beside what its process has anyway"),
    Field("GALLEY_EXPORT_DAYS", "7", _whole(1, 365), "days until the file of an export is removed"),
    Field("GALLEY_UPLOAD_DAYS", "7", _whole(1, 365), "days until a file that nobody imported is forgotten"),
    Field("GALLEY_NOTIFICATION_DAYS", "90", _whole(1, 3650), "days until a notification that was read is removed"),
    Field("GALLEY_MAX_DOCUMENT_WORDS", "50000", _whole(100, 1000000), "longest article"),
    Field("GALLEY_MIN_DOCUMENT_WORDS", "20", _whole(1, 1000), "shortest article"),
    Field("GALLEY_SPLIT_SHARES", "70/10/20", _shares, "train/validation/test percentages of new documents"),
    Field("GALLEY_SPLIT_SALT", "galley", str, "salt of the split's hash; never change it once documents are in"),
    Field("GALLEY_MIN_TRAINING_EXAMPLES", "20", _whole(1, 1000000), "smallest snapshot that may be trained on"),
    Field("GALLEY_REQUEST_AFTER_CORRECTIONS", "50", _whole(0, 1000000),
          "retraining is requested once so many accepted corrections are new to the live model; 0: never"),
    Field("GALLEY_REQUEST_BELOW_STARS", "3", _stars,
          "and where reviewers give the live model fewer stars in at least 30 reviews; 0: never"),
    Field("GALLEY_JOB_LEASE_SECONDS", "60", _whole(5, 3600), "a job whose worker is silent for so long is taken over"),
    Field("GALLEY_WEDGE_SECONDS", "60", _whole(10, 3600), "a queue that lets due work lie for so long is restarted"),
    Field("GALLEY_TRAINING_HOURS", "24", _whole(1, 1000), "longest training run"),
    Field("GALLEY_AUDIT_ANCHOR_FILE", "", _file,
          "file to which the head of the audit trail is appended every hour; best where Galley's account only appends"),
    Field("GALLEY_WEBHOOK_HOSTS", "", _inside,
          "host names, addresses and networks to which webhooks may go though they are not public or have no TLS"),
)  # fmt: skip


class Environment:
    """The parsed settings as attributes: GALLEY_PORT is `port`, DATABASE_URL is `database_url`."""

    def __init__(self, values: Mapping[str, Any], written: Mapping[str, str] | None = None) -> None:
        self._values = dict(values)
        self._written = dict(written or {})

    def __getattr__(self, name: str) -> Any:
        values = object.__getattribute__(self, "_values")
        for key in (f"GALLEY_{name.upper()}", name.upper()):
            if key in values:
                return values[key]
        raise AttributeError(name)

    @property
    def secret_key(self) -> str:
        """The given key, else one made once and kept in the data directory, readable by its owner only."""
        given: str = self._values["GALLEY_SECRET_KEY"]
        if given:
            return given
        path: Path = self._values["GALLEY_HOME"] / "secret_key"
        if not path.exists() and _keeps_no_key:
            return secrets.token_urlsafe(50)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".secret_key.{os.getpid()}")
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(50))
            with suppress(
                FileExistsError
            ):  # the first of several starters wins; the others read what it wrote
                os.link(beside, path)
            beside.unlink()
        return path.read_text()

    def in_words(self) -> dict[str, str]:
        """By setting what was written, for the audit trail: of what is secret only whether it is given, and of the
        signing key a fingerprint, since another key is another installation to people who check signatures."""
        words = {
            field.name: ("given" if self._written.get(field.name) else "")
            if field.secret
            else self._written.get(field.name, "")
            for field in FIELDS
        }
        words["DATABASE_URL"] = _without_password(words["DATABASE_URL"])
        words["GALLEY_SECRET_KEY"] = hashlib.sha256(f"galley key {self.secret_key}".encode()).hexdigest()[:16]
        return words


_keeps_no_key = False


def keep_no_key() -> None:
    """For a process that only reads, on a machine that need not be an installation: where there is no signing key it
    has one of its own, which signs nothing."""
    global _keeps_no_key
    _keeps_no_key = True


def _without_password(url: str) -> str:
    parts = urlparse(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Parse and check everything at once. Raises ImproperlyConfigured with one line for each mistake."""
    values: dict[str, Any] = {}
    written: dict[str, str] = {}
    mistakes = []
    for field in FIELDS:
        raw = written[field.name] = environ.get(field.name, "") or field.default
        try:
            values[field.name] = field.parse(raw)
        except ValueError as error:
            mistakes.append(f"{field.name}={raw!r}: {error} ({field.meaning}).")
    known = {field.name for field in FIELDS}
    for name in sorted(environ):
        if (
            not name.startswith("GALLEY_")
            or name in known
            or name in INTERNAL
            or name.startswith(INTERNAL_PREFIXES)
        ):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        mistakes.append(f"{name} is not a setting of Galley." + (f" Did you mean {near[0]}?" if near else ""))
    if 0 < len(environ.get("GALLEY_SECRET_KEY", "")) < 32:
        mistakes.append("GALLEY_SECRET_KEY: write at least 32 characters.")
    if mistakes:
        raise ImproperlyConfigured("\n".join(["Galley cannot start with these settings:", *mistakes]))
    return Environment(values, written)


def settings_table() -> str:
    """The table of docs/settings.md."""
    rows = [f"| `{field.name}` | `{_shown_default(field)}` | {field.meaning} |" for field in FIELDS]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def _shown_default(field: Field) -> str:
    return field.default.replace(str(BASE_DIR), ".") or "–"
