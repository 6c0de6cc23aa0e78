"""Plain builders for tests: each makes one thing with sensible values, by the use cases where these exist."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.db import connection

from models_app.foundation import jobs
from models_app.models import Approval, Job, ModelVersion, PromptVersion, Release
from models_app.models.releases import Environment
from reviews.models import ImportBatch, QueueItem, RatingImport, ReviewQueue, SourceDocument, Summary
from reviews.queues.assignments import fit_assignments
from tests.database import without_guards

PASSWORD = "a-long-test-password"
_numbers = itertools.count(1)
Imported = TypeVar("Imported", ImportBatch, RatingImport)

ARTICLE = (
    "The harbour authority of Nordhaven said on Monday that it will close the old pier for nine months. "
    "Divers found that 140 of its piles are rotten. The work will cost 3.2 million euros, half of it paid by the "
    "region. Ferries to the two islands will leave from the northern quay instead. "
    "Shop owners near the pier said they fear for the summer season."
)
REFERENCE = (
    "Nordhaven closes its old pier for nine months.\n140 rotten piles are replaced for 3.2 million euros."
)


@dataclass(frozen=True)
class Cast:
    """The people of the tests."""

    reviewer: User
    another_reviewer: User
    ml_engineer: User
    approver: User
    another_approver: User
    operator: User
    administrator: User
    stranger: User  # signed in, without any role


def user(name: str, *roles: str, **fields: Any) -> User:
    person = User.objects.create_user(name, f"{name}@example.org", PASSWORD, **fields)
    person.groups.set(Group.objects.filter(name__in=roles))
    assert person.groups.count() == len(roles), f"unknown role among {roles}"
    return person


# In the order of the fields of Cast.
_ROLES = {
    "rita": "reviewer",
    "ruben": "reviewer",
    "mila": "ml engineer",
    "ada": "approver",
    "anton": "approver",
    "otto": "operator",
    "alma": "administrator",
    "stan": "",
}


def cast() -> Cast:
    """All of them in three statements: most tests begin here."""
    password = make_password(PASSWORD)
    people = User.objects.bulk_create(
        User(
            username=name,
            email=f"{name}@example.org",
            password=password,
            is_superuser=name == "alma",
        )
        for name in _ROLES
    )
    groups = {group.name: group for group in Group.objects.all()}
    User.groups.through.objects.bulk_create(
        User.groups.through(user=person, group=groups[_ROLES[person.username]])
        for person in people
        if _ROLES[person.username]
    )
    return Cast(*people)


def _words_of(number: int, count: int) -> str:
    """Words that no other document has: without them all documents of the tests would be near duplicates."""
    return " ".join(f"part{number}of{place}" for place in range(count))


def document(text: str = "", *, split: str = "train", **fields: Any) -> SourceDocument:
    number = next(_numbers)
    text = text or f"{ARTICLE} This is report number {number}. {_words_of(number, 70)}"
    values = {
        "title": f"Old pier to close, part {number}",
        "domain": "news",
        "reference": f"{REFERENCE}\n{_words_of(number, 24)}",
        "content_hash": hashlib.sha256(text.encode()).hexdigest(),
        "words": len(text.split()),
        "origin": "test",
    }
    return SourceDocument.objects.create(text=text, split=split, **{**values, **fields})


def lead_model() -> ModelVersion:
    return ModelVersion.objects.get(family="lead")


def release(model: ModelVersion | None = None, *, state: str = "draft", **fields: Any) -> Release:
    """In any state, whatever way leads there: the database lets it begin as a draft alone."""
    prompt_version = fields.pop("prompt_version", None) or PromptVersion.objects.filter(
        prompt__kind="prefix"
    ).get(number=1)
    values = {
        "decoding": {"max_words": 60},
        "digest": hashlib.sha256(f"release {next(_numbers)}".encode()).hexdigest(),
        "origin": "initial",
        "environment": Environment.objects.get(name="production"),
    }
    made = Release.objects.create(
        model_version=model or lead_model(), prompt_version=prompt_version, **{**values, **fields}
    )
    return made if state == Release.State.DRAFT else forced(made, state)


def forced(release: Release, state: str) -> Release:
    with without_guards(Release):
        Release.objects.filter(pk=release.pk).update(state=state)
    release.state = state
    return release


def approval(release: Release, by: User | None = None) -> Approval:
    """Of its evidence as it is, by somebody who may give it."""
    return Approval.objects.create(
        release=release, approver=by or user(f"approver {next(_numbers)}", "approver"), decision="approved",
        reason="Better.", evidence_digest=release.evidence_digest,
    )  # fmt: skip


def summary(of: SourceDocument | None = None, text: str = "", **fields: Any) -> Summary:
    of = of or document()
    text = text or "The old pier of Nordhaven will close for nine months. 410 piles are rotten."
    return Summary.objects.create(document=of, text=text, words=len(text.split()), **fields)


def queue(**fields: Any) -> ReviewQueue:
    slug = fields.pop("slug", "new-drafts")
    found = ReviewQueue.objects.get(slug=slug)
    for name, value in fields.items():
        setattr(found, name, value)
    found.save()
    return found


def queue_item(of: Summary | None = None, in_queue: ReviewQueue | None = None, **fields: Any) -> QueueItem:
    in_queue = in_queue or queue()
    item = QueueItem.objects.create(queue=in_queue, summary=of or summary(), **fields)
    fit_assignments(queue=in_queue, items=[item.pk])
    if "state" in fields:
        QueueItem.objects.filter(pk=item.pk).update(state=fields["state"])
    item.refresh_from_db()
    return item


def looked_at(batch: Imported) -> Imported:
    """Submitted, and looked at by its job in this process."""
    assert batch.job is not None
    carried_out(batch.job)
    batch.refresh_from_db()
    return batch


def carried_out(job: Job) -> Job:
    """The job done in this process, inside the test's transaction; the outcome is on the row."""
    from reviews import jobs as handlers

    claimed = jobs.claim(job.pk)
    assert claimed is not None, f"job {job.pk} is {job.state}, not queued"
    with pytest.MonkeyPatch.context() as patch:
        if connection.in_atomic_block:
            # A job that takes longer tells how far it is through a connection of its own, which does not see this row.
            patch.setattr(handlers, "TELL_SECONDS", 3600)
        jobs.run(claimed.pk, str(claimed.lease_token))
    claimed.refresh_from_db()
    return claimed


def put_live(release: Release) -> Release:
    """Live without comparison and approvals, for tests of what comes after: `go_live` and the database ask for both."""
    # With scipy: a quarter of the start of a test file that needs neither.
    from models_app.releases import deploying

    if release.state != Release.State.WARMING:
        forced(release, Release.State.WARMING)
    with without_guards(Release):
        deploying.put_live(release=release)
    return release
