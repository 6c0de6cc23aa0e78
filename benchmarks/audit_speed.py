"""How fast the audit trail is verified: every hash computed again, from the first event on.

    script/python benchmarks/audit_speed.py                   200,000 events

Events like those of a working installation, in a database of its own. Prints the seconds of three looks, those of
the processor in which this process did its part, and the events a second. Budget: 20,000 events a second.
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
    """With the hashes that the application would have given them."""
    from django.contrib.auth.models import User
    from django.utils import timezone

    from models_app.foundation import audit
    from models_app.models import AuditEvent

    people = [User.objects.create_user(f"person{number}") for number in range(20)]
    previous = AuditEvent.objects.order_by("-pk").values_list("hash", flat=True).first() or audit.GENESIS
    for start in range(0, events, 2000):
        rows = []
        for number in range(start, min(start + 2000, events)):
            action, about, before, after, data = KINDS[number % len(KINDS)]
            event = AuditEvent(
                at=timezone.now(), actor=people[number % 20], actor_name=people[number % 20].username, action=action,
                subject=f"{about}:{number}", from_state=before, to_state=after, data=data, door="page",
                door_which="desk_submit", reason="Numbers were wrong – corrected." if number % 3 else "",
                previous_hash=previous,
            )  # fmt: skip
            event.hash = previous = audit._digest(previous, audit._parts(event))
            rows.append(event)
        AuditEvent.objects.bulk_create(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=200_000)
    events = parser.parse_args().events
    with installation.temporary():
        from models_app.foundation import audit

        fill(events)
        took, worked = [], []
        for _ in range(3):
            began, before = time.perf_counter(), time.process_time()
            found = audit.verify()
            took.append(time.perf_counter() - began)
            worked.append(time.process_time() - before)
            assert found.whole, found.sentence
        print(f"{found.events:,} events verified: {', '.join(f'{seconds:.2f}' for seconds in took)} s")
        print(f"of the processor: {', '.join(f'{seconds:.2f}' for seconds in worked)} s")
        print(f"best: {found.events / min(took):,.0f} events/s")


if __name__ == "__main__":
    main()
