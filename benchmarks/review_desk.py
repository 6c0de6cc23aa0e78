"""The review desk with 1,000,000 summaries, 200,000 reviews and 50 queues, through the web processes as started.

    python benchmarks/review_desk.py [--summaries 1000000] [--reviews 200000] [--parts all] [--keep | --on DIRECTORY]

Makes the data in a database of its own and starts the web program with the supervisor's own command. Clients are
threads of this process with a connection each: they take from the two cores they measure. Parts:

    pages     server time of the pages that people wait for, one after another; budget 150 ms at p95
    cost      the same pages within this process: work of Python and of PostgreSQL apart, and the number of queries,
              which do not depend on what else the machine does
    pace      50 reviewers who claim every 5 to 10 seconds, half by page and half by API; budget 50 ms at p95 by API
    instant   5,000 claims, 50 at the same instant each time, half by page and half by API: nobody gets what another has
    alone     one reviewer without a pause: next and submit, by API and by page
    crowd     20 reviewers without a pause: cycles a second and next at p95, by API and by page
    change    reviews per item and order of a queue of 100,000 items changed in one transaction

The exit code is 1 where an assignment was given twice, an item got more reviews than wanted, or a request failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from web_share import free_port

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
QUEUES, REVIEWERS, FRESH = 50, 50, 20_000
PARTS = ("pages", "cost", "pace", "instant", "alone", "crowd", "change")
SENTENCES = (
    "The harbour authority of Nordhaven said on Monday that it will close the old pier for nine months. "
    "Divers found that 140 of its piles are rotten, and the engineer called the state of them a surprise. "
    "The work will cost 3.2 million euros, half of it paid by the region and the rest by the town itself. "
    "Ferries to the two islands will leave from the northern quay instead, an hour later than they do now. "
)
RATINGS = ("consistency", "relevance", "coherence", "fluency")
CSRF = "benchmark" * 3 + "12345"


# ---------------------------------------------------------------- the data


@contextlib.contextmanager
def installation(kept: Path | None, keep: bool) -> Iterator[None]:
    home = kept or Path(tempfile.mkdtemp(prefix="galley-review-desk-"))
    home.chmod(0o755)  # PostgreSQL may have to run as a user of its own
    for name in ("GALLEY_DEBUG", "GALLEY_PUBLIC_URL"):
        os.environ.pop(name, None)
    from llmops_site import embedded

    os.environ.update(
        GALLEY_HOME=str(home), GALLEY_LOG_LEVEL="ERROR", DJANGO_SETTINGS_MODULE="llmops_site.settings",
        DATABASE_URL=embedded.database_url(home),
    )  # fmt: skip
    try:
        with embedded.held(home):
            import django
            from django.core.management import call_command
            from django.db import connections

            django.setup()
            call_command("migrate", verbosity=0)
            call_command("collectstatic", verbosity=0, interactive=False)
            try:
                yield
            finally:
                connections.close_all()
    finally:
        if keep or kept:
            print(f"kept: {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)


def insert(model: Any, rows: str, /, **columns: str) -> None:
    """INSERT … SELECT by Django's model: what is not given has the model's default."""
    from django.db import connection

    names, expressions, values = [], [], []
    for field in model._meta.concrete_fields:
        if field.name in columns or field.attname in columns:
            names.append(field.column)
            expressions.append(columns.get(field.attname) or columns[field.name])
        elif not field.primary_key and not field.null:
            names.append(field.column)
            expressions.append("%s")
            values.append(field.get_db_prep_save(field.get_default(), connection))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) SELECT {', '.join(expressions)} FROM {rows}",
            values,
        )


def fill(summaries: int, reviews: int) -> None:
    """The first reviewer has a tenth of all reviews, and what the reviews teach is mostly decided."""
    from django.contrib.auth.models import Group, User
    from django.db import connection

    from reviews.models import (
        Assignment,
        FeedbackExample,
        QueueItem,
        Review,
        ReviewQueue,
        ReviewRating,
        SourceDocument,
        Summary,
    )  # fmt: skip
    from reviews.queues.settings import QueueSettings, create_queue

    for number in range(REVIEWERS):
        person = User.objects.create_user(f"reviewer{number:02}")
        person.groups.set(Group.objects.filter(name="reviewer"))
    engineer = User.objects.create_user("engineer")
    engineer.groups.set(Group.objects.filter(name="ml engineer"))
    orders = list(ReviewQueue.Order.values)
    for number in range(QUEUES):
        settings = QueueSettings(name=f"Queue {number:02}", rubric=1, order=orders[number % len(orders)])
        create_queue(settings=settings, actor=engineer)
    create_queue(settings=QueueSettings(name="Fresh", rubric=1), actor=engineer)
    first = ReviewQueue.objects.get(slug="queue-00").pk
    fresh = ReviewQueue.objects.get(slug="fresh").pk
    people = list(
        User.objects.filter(username__startswith="reviewer").order_by("pk").values_list("pk", flat=True)
    )
    rubric = ReviewQueue.objects.get(pk=first).rubric_id
    text = "'" + SENTENCES + "'"
    documents = max(FRESH, summaries // 5)
    insert(
        SourceDocument, f"generate_series(1, {documents}) n", title="'Report number ' || n",
        text=f"repeat({text}, 10) || 'This is report number ' || n || '.'", split="'train'", words="740",
        content_hash="encode(sha256(n::text::bytea), 'hex')", domain="(ARRAY['news', 'business', 'law'])[n %% 3 + 1]",
        created_at="now() - n * interval '1 second'",
    )  # fmt: skip
    insert(
        Summary, f"generate_series(1, {summaries}) n JOIN reviews_sourcedocument d ON d.id = n %% {documents} + 1",
        document_id="d.id", text=f"{text} || d.title || ', take ' || n || '.'", source="'import'", words="72",
        created_at="now() - n * interval '1 second'",
    )  # fmt: skip
    insert(
        QueueItem, "reviews_summary s", queue_id=f"{first} + s.id %% {QUEUES}", summary_id="s.id",
        priority="s.id / 50 %% 7", confidence="(s.id * 7919 %% 1000) / 1000.0", created_at="s.created_at",
    )  # fmt: skip
    insert(
        QueueItem, f"reviews_summary s WHERE s.id <= {FRESH}", queue_id=str(fresh), summary_id="s.id",
        created_at="s.created_at",
    )  # fmt: skip
    insert(
        Assignment, "reviews_queueitem item JOIN reviews_reviewqueue queue ON queue.id = item.queue_id",
        item_id="item.id", queue_id="item.queue_id", priority="item.priority",
        rank="""CASE queue."order" WHEN 'oldest' THEN 0 WHEN 'lowest confidence' THEN item.confidence
                WHEN 'most disagreement' THEN 0 ELSE -item.priority END""",
    )  # fmt: skip
    # In each queue those that come first are done.
    done = f"""(SELECT assignment.item_id,
                row_number() OVER (PARTITION BY assignment.queue_id
                ORDER BY assignment.rank, assignment.item_id) AS place FROM reviews_assignment assignment
                WHERE assignment.queue_id <> {fresh}) placed"""
    reviewer = f"CASE WHEN placed.place %% 10 = 0 THEN 1 ELSE item.id %% {REVIEWERS} + 1 END"
    insert(
        Review, f"{done} JOIN reviews_queueitem item ON item.id = placed.item_id "
        f"JOIN reviews_summary s ON s.id = item.summary_id WHERE placed.place <= {reviews // QUEUES}",
        item_id="item.id", summary_id="s.id", reviewer_id=f"(ARRAY{people})[{reviewer}]",
        rubric_id=str(rubric), state="'submitted'", stars="item.id %% 5 + 1",
        verdict="(ARRAY['good', 'fair', 'poor'])[item.id %% 3 + 1]", edited_text="replace(s.text, '140', '410')",
        ratings="""'{"consistency": 4, "relevance": 4, "coherence": 5, "fluency": 5}'""", revision="2",
        active_seconds="90", submitted_at="now() - item.id * interval '10 seconds'",
    )  # fmt: skip
    insert(
        ReviewRating, f"reviews_review r CROSS JOIN reviews_criterion c WHERE c.rubric_id = {rubric}",
        review_id="r.id", criterion_id="c.id", value="r.id %% 5 + 1",
    )  # fmt: skip
    insert(
        FeedbackExample, "(SELECT r.*, s.document_id, s.text AS draft, row_number() OVER ("
        "PARTITION BY s.document_id ORDER BY r.id) AS place FROM reviews_review r "
        "JOIN reviews_summary s ON s.id = r.summary_id) r CROSS JOIN unnest(ARRAY['demonstration', 'preference']) kind",
        kind="kind", origin="'review'", document_id="r.document_id", summary_id="r.summary_id", review_id="r.id",
        target="r.edited_text", rejected="CASE kind WHEN 'preference' THEN r.draft ELSE '' END",
        state="CASE WHEN r.id %% 20 = 0 THEN 'proposed' WHEN r.id %% 20 = 1 OR r.place > 1 THEN 'declined' "
        "ELSE 'approved' END", created_by_id="r.reviewer_id", created_at="r.submitted_at",
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE reviews_assignment assignment SET state = 'done', reviewer_id = r.reviewer_id "
            "FROM reviews_review r WHERE r.item_id = assignment.item_id"
        )
        cursor.execute(
            "UPDATE reviews_queueitem item SET state = 'done' FROM reviews_review r WHERE r.item_id = item.id"
        )
        cursor.execute("VACUUM ANALYZE")


# ---------------------------------------------------------------- the web program, and clients


@contextlib.contextmanager
def web() -> Iterator[int]:
    """The web program by the supervisor's own command; its port."""
    from urllib.error import URLError
    from urllib.request import urlopen

    from llmops_site.env import read_environment
    from llmops_site.supervisor.galley import programs

    port = free_port()
    environment = {**os.environ, "GALLEY_PORT": str(port), "GALLEY_API_RATE": "100000/second"}
    program = next(each for each in programs(read_environment(environment)) if each.name == "web")
    process = subprocess.Popen(
        list(program.command), cwd=ROOT, env={**environment, **program.environment}, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            with (
                contextlib.suppress(URLError, OSError),
                urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5),
            ):
                break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(30)


class Browser:
    """One person: a kept-alive connection, a session for pages, a token for the API."""

    def __init__(self, port: int, person: Any) -> None:
        from django.conf import settings
        from django.test import Client

        from models_app.foundation.tokens import create_token

        client = Client()
        client.force_login(person)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        scopes = ["reviews:write"]
        self.token = create_token(user=person, name="benchmark", scopes=scopes, days=1, actor=person)[1]
        self.cookies = f"{settings.SESSION_COOKIE_NAME}={session}; {settings.CSRF_COOKIE_NAME}={CSRF}"
        self.port, self.person = port, person
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b""
    ) -> tuple[int, bytes, float]:
        """Status, body, milliseconds. A connection that was closed while it lay idle is opened again."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in headers.items()
        )
        message = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        began = time.perf_counter()
        for attempt in range(2):
            try:
                self.socket.sendall(message)
                status = self.stream.readline()
                if status:
                    break
            except (ConnectionResetError, BrokenPipeError):
                if attempt:
                    raise
            self.open()
        length, close = 0, False
        while (line := self.stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.lower().partition(b":")
            length = int(value) if name == b"content-length" else length
            close |= name == b"connection" and b"close" in value
        answer = self.stream.read(length)
        took = (time.perf_counter() - began) * 1000
        if close:
            self.open()
        return int(status.split()[1]), answer, took

    def page(self, path: str) -> tuple[int, bytes, float]:
        return self.ask("GET", path, {"Cookie": self.cookies, "Accept": "text/html"})

    def api(self, path: str, value: Any = None) -> tuple[int, bytes, float]:
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        return self.ask("POST", f"/api/v1/{path}", headers, json.dumps(value or {}).encode())

    def claim(self, slug: str, by_page: bool) -> tuple[int, int, float]:
        """(item, assignment, milliseconds). Raises SystemExit for anything but an item."""
        if by_page:
            status, body, took = self.page(f"/desk/{slug}/")
            found = (
                re.search(rb'data-item="(\d+)"', body),
                re.search(rb'name="assignment" value="(\d+)"', body),
            )
            if status != 200 or not all(found):
                raise Failed(f"claim by page: {status} {body[:300]!r}")
            return int(found[0][1]), int(found[1][1]), took  # type: ignore[index]
        status, body, took = self.api(f"queues/{slug}/next/")
        if status != 200:
            raise Failed(f"claim by API: {status} {body[:300]!r}")
        claimed = json.loads(body)
        return claimed["item"], claimed["assignment"]["id"], took

    def submit(self, item: int, by_page: bool) -> float:
        """Milliseconds for an edit and four ratings."""
        edited = SENTENCES + f"Edited for item {item}."
        if by_page:
            values = {
                "stars": 4, "verdict": "good", "edited_text": edited, "active_seconds": 30, "base_revision": 0,
                **{f"rating-{key}": 4 for key in RATINGS},
            }  # fmt: skip
            headers = {
                "Cookie": self.cookies, "X-CSRFToken": CSRF, "Accept": "application/json",
                "Content-Type": "application/x-www-form-urlencoded", "Origin": "http://localhost",
            }  # fmt: skip
            status, body, took = self.ask(
                "POST", f"/desk/item/{item}/submit/", headers, urlencode(values).encode()
            )
        else:
            answers = {
                "stars": 4,
                "verdict": "good",
                "ratings": dict.fromkeys(RATINGS, 4),
                "edited_text": edited,
            }
            status, body, took = self.api(f"items/{item}/submit/", answers)
        if status != 200:
            raise Failed(f"submit of {item}: {status} {body[:300]!r}")
        return took


class Failed(Exception):
    """A request was answered otherwise than it has to be."""


def at_once(acts: list[Callable[[], None]]) -> list[Exception]:
    """Each in a thread of its own; what they raised."""
    errors: list[Exception] = []

    def carry_out(act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=carry_out, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def said(times: list[float]) -> str:
    times = sorted(times)
    at = lambda share: times[min(len(times) - 1, int(share * len(times)))]  # noqa: E731
    return f"p50 {at(0.5):7.1f} ms   p95 {at(0.95):7.1f} ms   max {times[-1]:7.1f} ms   n {len(times)}"


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


# ---------------------------------------------------------------- the parts


def asked(people: list[Any], engineer: Any) -> list[tuple[str, Any, str]]:
    """What, by whom, the address."""
    from reviews.models import QueueItem

    reviewer = people[0]
    item = QueueItem.objects.filter(queue__slug="queue-07").earliest("pk").pk
    return [
        ("desk: my item", reviewer, "/desk/queue-07/"),
        ("desk: queues", reviewer, "/desk/"),
        ("my feedback", reviewer, "/my-feedback/"),
        ("my feedback, accepted", reviewer, "/my-feedback/?state=accepted"),
        ("home", reviewer, "/"),
        ("home of a manager", engineer, "/"),
        ("queues", engineer, "/queues/"),
        ("a queue's items", engineer, "/queues/queue-07/"),
        ("a queue's open items", engineer, "/queues/queue-07/?state=open&page=30"),
        ("a queue's people", engineer, "/queues/queue-07/people/"),
        ("items of a person", engineer, "/queues/queue-07/?person=reviewer07"),
        ("an item", engineer, f"/queues/queue-07/items/{item}/"),
        ("documents", engineer, "/documents/"),
        ("documents with a word", engineer, "/documents/?q=report"),
        ("feedback", engineer, "/feedback/"),
        ("feedback, all", engineer, "/feedback/?state=all"),
        ("progress", engineer, "/progress/"),
        ("agreement", engineer, "/agreement/"),
        ("disputes", engineer, "/agreement/disputes/"),
        ("gold items", engineer, "/agreement/gold/"),
        ("exports", engineer, "/exports/"),
        ("notifications", reviewer, "/notifications/"),
    ]


def pages(port: int, people: list[Any], engineer: Any) -> None:
    browsers: dict[Any, Browser] = {person: Browser(port, person) for person in (people[0], engineer)}
    for what, who, path in asked(people, engineer):
        times = []
        for number in range(43):
            status, _, took = browsers[who].page(path)
            if status != 200:
                print(f"{what:24} answers {status}")
                break
            if number > 2:
                times.append(took)
        else:
            print(f"{what:24} {said(times)}   {load()}")


def cost(people: list[Any], engineer: Any, rounds: int = 20) -> list[Exception]:
    """Raises nothing: a page with another number of queries from one time to the next is returned as an error."""
    from django.conf import settings
    from django.core.cache import cache
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from reviews.models import ProgressFigures
    from reviews.reports import progress

    settings.ALLOWED_HOSTS = ["testserver"]
    clients: dict[Any, Client] = {}
    for person in (people[0], engineer):
        clients[person] = Client()
        clients[person].force_login(person)
    connection.ensure_connection()
    server = Path(f"/proc/{connection.connection.info.backend_pid}/stat")

    def spent() -> tuple[float, float, float]:
        """Seconds: on the clock, of this process, of its PostgreSQL process (to a hundredth)."""
        user, system = server.read_text().rpartition(")")[2].split()[11:13]
        return time.perf_counter(), time.process_time(), (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def counted_ahead() -> None:
        cache.clear()
        progress.count_ahead()

    def counted_again() -> None:
        cache.clear()
        ProgressFigures.objects.all().delete()

    before = {"progress, counted ahead": counted_ahead, "progress, counted again": counted_again}
    errors: list[Exception] = []
    for what, who, path in [*asked(people, engineer), *((what, engineer, "/progress/") for what in before)]:
        clock: list[float] = []
        here = there = 0.0
        for number in range(rounds + 2):
            before.get(what, lambda: None)()
            began = spent()
            status = clients[who].get(path).status_code
            ended = spent()
            if number >= 2:  # the first ones fill caches
                clock.append((ended[0] - began[0]) * 1000)
                here, there = here + ended[1] - began[1], there + ended[2] - began[2]
        counts = set()
        for _ in range(2):
            before.get(what, lambda: None)()
            with CaptureQueriesContext(connection) as queries:
                clients[who].get(path)
            counts.add(len(queries))
        print(
            f"{what:24} {said(clock)}   Python {here / rounds * 1000:5.1f} ms   "
            f"PostgreSQL {there / rounds * 1000:5.1f} ms   "
            f"{' or '.join(map(str, sorted(counts)))} queries   {load()}"
            + ("" if status == 200 else f"   {status}")
        )
        if len(counts) > 1:
            errors.append(Failed(f"{what}: {sorted(counts)} queries"))
    return errors


def pace(port: int, people: list[Any], seconds: float) -> list[Exception]:
    """Each at their own queue's item every 5 to 10 s, spread over the queues."""
    browsers = [Browser(port, person) for person in people]
    times: dict[bool, list[float]] = {True: [], False: []}
    submits: list[float] = []
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        draw = random.Random(number)  # nosec B311
        by_page = bool(number % 2)
        time.sleep(draw.uniform(0, 7))
        while time.monotonic() < end:
            item, _, took = browsers[number].claim(f"queue-{number % 7:02}", by_page)
            times[by_page].append(took)
            time.sleep(draw.uniform(2.5, 5))
            submits.append(browsers[number].submit(item, by_page))
            time.sleep(draw.uniform(2.5, 5))

    errors = at_once([lambda number=number: work(number) for number in range(len(browsers))])  # type: ignore[misc]
    print(f"50 at a human pace: claim by API    {said(times[False])}   {load()}")
    print(f"50 at a human pace: claim by page   {said(times[True])}")
    print(f"50 at a human pace: submit          {said(submits)}")
    return errors


def instant(port: int, people: list[Any], rounds: int) -> list[Exception]:
    browsers = [Browser(port, person) for person in people]
    together = threading.Barrier(len(browsers))
    assignments: list[tuple[int, int]] = []
    times: list[float] = []

    def work(number: int) -> None:
        by_page = bool(number % 2)
        try:
            for _ in range(rounds):
                together.wait(120)
                item, assignment, took = browsers[number].claim("queue-10", by_page)
                assignments.append((assignment, item))
                times.append(took)
                together.wait(120)
                browsers[number].submit(item, by_page)
        except Exception:
            together.abort()
            raise

    errors = at_once([lambda number=number: work(number) for number in range(len(browsers))])  # type: ignore[misc]
    twice = sum(number > 1 for number in Counter(assignment for assignment, _ in assignments).values())
    print(
        f"50 at the same instant: {len(assignments):,} claims, assignments given twice: {twice}   "
        f"{said(times)}   {load()}"
    )
    return errors + ([Failed(f"{twice} assignments were given twice")] if twice else [])


def alone(port: int, people: list[Any], rounds: int) -> list[Exception]:
    for by_page in (False, True):
        browser = Browser(port, people[int(by_page)])
        claims, submits = [], []
        for _ in range(rounds):
            item, _, took = browser.claim("fresh", by_page)
            claims.append(took)
            submits.append(browser.submit(item, by_page))
        how = "by page" if by_page else "by API "
        print(f"one reviewer {how}: next    {said(claims[3:])}   {load()}")
        print(f"one reviewer {how}: submit  {said(submits[3:])}")
    return []


def crowd(port: int, people: list[Any], seconds: float) -> list[Exception]:
    errors = []
    for by_page in (False, True):
        browsers = [Browser(port, person) for person in people[2:22]]
        claims: list[float] = []
        submits: list[float] = []
        end = time.monotonic() + seconds

        def work(
            browser: Browser,
            by_page: bool = by_page,
            end: float = end,
            claims: list[float] = claims,
            submits: list[float] = submits,
        ) -> None:
            while time.monotonic() < end:
                item, _, took = browser.claim("fresh", by_page)
                claims.append(took)
                submits.append(browser.submit(item, by_page))

        errors += at_once([lambda browser=browser: work(browser) for browser in browsers])  # type: ignore[misc]
        how = "by page" if by_page else "by API "
        print(
            f"20 reviewers {how}: {len(submits) / seconds:.1f} cycles a second   next {said(claims)}   {load()}"
        )
        print(f"20 reviewers {how}: submit {said(submits)}")
    return errors


def change(engineer: Any) -> None:
    from dataclasses import replace

    from django.db import connection

    from reviews.models import Assignment, QueueItem, ReviewQueue
    from reviews.queues.settings import QueueSettings, change_queue, create_queue

    queue = ReviewQueue.objects.filter(slug="large").first()
    if queue is None:
        queue = create_queue(settings=QueueSettings(name="Large", rubric=1), actor=engineer)
        insert(
            QueueItem, "reviews_summary s WHERE s.id <= 100000", queue_id=str(queue.pk), summary_id="s.id",
            priority="s.id %% 7", created_at="s.created_at",
        )  # fmt: skip
        insert(
            Assignment, f"reviews_queueitem item WHERE item.queue_id = {queue.pk}", item_id="item.id",
            queue_id="item.queue_id", priority="item.priority", rank="-item.priority",
        )  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE reviews_queueitem, reviews_assignment")
    for what, changes in (
        ("1 → 3 reviews an item", {"reviews_per_item": 3}),
        ("overlap 100 → 30 %", {"overlap_percent": 30}),
        ("order priority → oldest", {"order": "oldest"}),
        ("back", {"reviews_per_item": 1, "overlap_percent": 100, "order": "priority"}),
    ):
        began = time.perf_counter()
        moved = change_queue(
            queue=queue, settings=replace(QueueSettings.of(queue), **changes), actor=engineer
        )
        took = time.perf_counter() - began
        print(
            f"100,000 items, {what}: {took:.1f} s, {moved.assignments_added:,} assignments more, "
            f"{moved.assignments_removed:,} fewer"
        )


def surplus() -> list[Exception]:
    """Items with more reviews than were wanted."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT review.item_id FROM reviews_review review JOIN reviews_queueitem item "
            "ON item.id = review.item_id WHERE review.state = 'submitted' GROUP BY review.item_id, item.wanted_reviews "
            "HAVING count(*) > item.wanted_reviews) too_many"
        )
        found = cursor.fetchone()[0]
    print(f"items with more reviews than wanted: {found}")
    return [Failed(f"{found} items have more reviews than wanted")] if found else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--summaries", type=int, default=1_000_000)
    parser.add_argument("--reviews", type=int, default=200_000)
    parser.add_argument("--parts", default="all", help=f"with commas between: {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=60, help="of the parts that go by time")
    parser.add_argument("--claims", type=int, default=5000, help="of the part `instant`")
    parser.add_argument("--on", type=Path, help="a directory that --keep left behind, instead of new data")
    parser.add_argument("--keep", action="store_true", help="leave the database directory behind")
    options = parser.parse_args()
    parts = PARTS if options.parts == "all" else tuple(options.parts.split(","))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    errors: list[Exception] = []
    with installation(options.on, options.keep):
        from django.contrib.auth.models import User

        began = time.monotonic()
        if options.on is None:
            fill(options.summaries, options.reviews)
            print(
                f"{options.summaries:,} summaries, {options.reviews:,} reviews in {time.monotonic() - began:.0f} s"
            )
        people = list(User.objects.filter(username__startswith="reviewer").order_by("pk"))
        engineer = User.objects.get(username="engineer")
        with web() as port:
            Browser(port, people[0]).page("/desk/")  # imports
            if "pages" in parts:
                pages(port, people, engineer)
            if "cost" in parts:
                errors += cost(people, engineer)
            if "alone" in parts:
                errors += alone(port, people, 200)
            if "crowd" in parts:
                errors += crowd(port, people, options.seconds / 3)
            if "pace" in parts:
                errors += pace(port, people, options.seconds)
            if "instant" in parts:
                errors += instant(port, people, options.claims // REVIEWERS)
        if "change" in parts:
            change(engineer)
        errors += surplus()
    for error in errors[:10]:
        print(f"{type(error).__name__}: {error}")
    return int(bool(errors))


if __name__ == "__main__":
    sys.exit(main())
