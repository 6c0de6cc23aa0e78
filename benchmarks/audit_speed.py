"""How fast the audit trail is verified: every hash computed again, from the first event on.

    script/python benchmarks/audit_speed.py                   200,000 events

Events like those of a working installation, each appended as the application does it, in a database of its own. Prints
the seconds of each of three looks and the events a second. Budget: 20,000 events a second.
"""

from __future__ import annotations

import argparse
import time

import installation

KINDS = (
    (
        "review.submit",
        "review",
        "",
        "submitted",
        {"item": 7, "queue": "new-drafts", "stars": 4, "verdict": "good"},
    ),
    ("item.put_back", "queueitem", "", "", {"reason": "lease"}),
    ("feedback.approved", "feedbackexample", "proposed", "approved", {"kind": "demonstration"}),
    ("release.approve", "release", "", "", {"approvals": 1, "needed": 2, "evidence": "9f" * 32}),
)


def fill(events: int) -> None:
    from django.contrib.auth.models import User
    from django.db import transaction

    from models_app.foundation import audit

    people = [User.objects.create_user(f"person{number}") for number in range(20)]
    for start in range(0, events, 1000):
        with transaction.atomic():
            for number in range(start, min(start + 1000, events)):
                action, about, before, after, data = KINDS[number % len(KINDS)]
                audit.record(
                    actor=people[number % 20], action=action, subject=f"{about}:{number}", from_state=before,
                    to_state=after, reason="Numbers were wrong – corrected." if number % 3 else "", data=data,
                )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=200_000)
    events = parser.parse_args().events
    with installation.temporary():
        from models_app.foundation import audit

        began = time.perf_counter()
        fill(events)
        print(f"{events / (time.perf_counter() - began):,.0f} events/s were appended")
        took = []
        for _ in range(3):
            began = time.perf_counter()
            found = audit.verify()
            took.append(time.perf_counter() - began)
            assert found.whole, found.sentence
        print(f"{found.events:,} events verified: {', '.join(f'{seconds:.2f}' for seconds in took)} s")
        print(f"best: {found.events / min(took):,.0f} events/s")


if __name__ == "__main__":
    main()
