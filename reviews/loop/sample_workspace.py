"""What a new installation is given: an administrator, and the sample workspace with one account for each role."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q
from django_q.models import Schedule

from models_app.evidence.envelope import fingerprint
from models_app.evidence.keys import public_key
from models_app.foundation import jobs
from models_app.foundation.jobs import JobContext
from models_app.foundation.settings_trail import record_settings
from models_app.gates import policies
from models_app.models import Job, ModelVersion, PromptVersion
from models_app.models.releases import PRODUCTION, Environment, live_releases
from models_app.people.accounts import ADMINISTRATOR, create_person
from models_app.releases.composing import compose_release
from models_app.releases.deploying import install_first_release
from models_app.training.registering import register_base
from reviews.filling.drafts import draft_summaries
from reviews.ingest.documents import DocumentRow, import_rows
from reviews.models import SourceDocument
from reviews.reports.progress import COUNTED_MINUTES

SAMPLE = Path(__file__).parent / "sample" / "articles.jsonl"
SAMPLE_ORIGIN = "Galley sample workspace"
SAMPLE_LICENCE = "CC0-1.0"
ACCOUNTS = {
    "reviewer": "reviewer",
    "reviewer2": "reviewer",
    "engineer": "ml engineer",
    "approver": "approver",
    "operator": "operator",
}
# Greedy: a summary within seconds on two cores. Four beams score higher and take four times as long (docs/reports).
STARTER_DECODING: dict[str, Any] = {"max_new_tokens": 96, "max_words": 60, "max_input_tokens": 600}


@dataclass(frozen=True)
class NewAccount:
    username: str
    password: str
    role: str


def set_up(env: Any, *, say: Callable[[str], None]) -> Iterator[NewAccount]:
    """What is missing of an installation, by its settings; yields each account the moment it is made."""
    schedule_regular_work()
    record_settings({**env.in_words(), "evidence_key": fingerprint(public_key())})
    administrator = create_administrator(username=env.admin_username, password=env.admin_password)
    if administrator is not None:
        shown = "(from GALLEY_ADMIN_PASSWORD)" if env.admin_password else administrator.password
        yield NewAccount(administrator.username, shown, administrator.role)
    if not env.sample:
        return
    yield from create_sample_accounts()
    fit_the_policy()
    if imported := load_sample():
        say(f"The sample workspace was loaded: {imported} articles.")
    if prepare_workspace_later() is not None:
        say("The starter model is being prepared; pages answer meanwhile.")


def create_administrator(*, username: str, password: str = "") -> NewAccount | None:
    """Make the administrator, unless there is one. The password is made up where none is given."""
    in_charge = Q(is_superuser=True) | Q(groups__name=ADMINISTRATOR)
    if User.objects.filter(in_charge).exists():
        return None
    chosen = password or secrets.token_urlsafe(12)
    create_person(name=username, roles=["administrator"], actor=None, password=chosen)
    return NewAccount(username, chosen, "administrator")


def create_sample_accounts() -> Iterator[NewAccount]:
    """One account for each role, so that one person can walk the loop as several. Existing names are left alone."""
    for username, role in ACCOUNTS.items():
        if User.objects.filter(username__iexact=username).exists():
            continue
        password = secrets.token_urlsafe(9)
        create_person(name=username, roles=[role], actor=None, password=password)
        yield NewAccount(username, password, role)


def fit_the_policy() -> None:
    """The sample workspace has one account that approves and a dozen test documents: what production asks for by
    default nothing there could meet. A policy that somebody has made is left alone."""
    environment = Environment.objects.get(name=PRODUCTION)
    held = policies.holding(environment)
    if held.number == 1:
        few = {"least_documents": 10}
        policies.change_policy(
            environment=environment, expected=1, actor=None,
            settings={
                "approvals": {"approvers": 1}, "primary": few, "guards": few,
                "safety": {**few, "numbers_percent": 90.0, "names_percent": 95.0}, "speed": {"times_slower": None},
            },
            reason="The sample workspace has one approver and a dozen test documents, on which little can be shown. "
            "Ask for two approvers and for more documents before real releases go live.",
        )  # fmt: skip


def load_sample() -> int:
    """Bring in the sample articles that are not there yet. Returns how many were new."""
    articles = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    rows = [
        DocumentRow(
            text=article["text"],
            title=article["title"],
            domain=article["domain"],
            reference=article["reference"],
            external_id=article["id"],
            group_key=article.get("group", ""),
        )
        for article in articles
    ]
    if SourceDocument.objects.filter(origin=SAMPLE_ORIGIN).count() >= len(rows):
        return 0
    return import_rows(rows=rows, origin=SAMPLE_ORIGIN, licence=SAMPLE_LICENCE, actor=None).imported


# By the name of the schedule: what the queue calls, and every how many minutes. All of it is short.
REGULAR_WORK = {
    "reap": ("models_app.foundation.jobs.reap", 1),
    "free lost assignments": ("reviews.desk.assigning.free_lost", 1),
    "forget expired sessions": ("models_app.people.sessions.forget_expired", 24 * 60),
    "forget old tries": ("models_app.foundation.tries.forget_old", 60),
    "forget old counts of requests": ("models_app.foundation.shared_cache.forget_expired", 60),
    "forget answers kept for their keys": ("models_app.api.kept_answers.forget_expired", 60),
    "deliver webhooks": ("models_app.webhooks.job.deliver_later", 1),
    "anchor the audit trail": ("models_app.webhooks.anchoring.anchor_later", 60),
    "count progress": ("reviews.reports.progress.count_ahead", COUNTED_MINUTES),
    "fill queues": ("reviews.filling.rule_runs.fill_later", 5),
    "sum up requests": ("models_app.monitoring.rollups.roll_up_new", 1),
    "settle judged releases": ("models_app.releases.judging.settle_ended", 1),
    "start approved releases": ("models_app.releases.deploying.start_approved", 1),
    "write model cards": ("models_app.evidence.storing.write_missing", 1),
    "expire releases": ("models_app.releases.expiring.expire_waiting", 10),
    "request retraining": ("reviews.improvement.requests.open_by_itself", 60),
    "compare documents": ("reviews.ingest.twins.start_comparing", 60),
    "remove expired exports": ("reviews.exports.requests.remove_expired", 60),
    "forget files left behind": ("reviews.jobs.forget_files_left_behind", 60),
    "forget old notifications": ("reviews.notifications.notices.forget_old", 24 * 60),
}


def schedule_regular_work() -> None:
    """Ask the queue to look for abandoned jobs, for assignments of people who left, for what rules want in queues, for
    what webhooks are to tell, for requests to be summed up, for figures that take long to count, for releases, files
    and notifications whose time is over, and for model cards that are not beside their weights yet."""
    for name, (function, minutes) in REGULAR_WORK.items():
        Schedule.objects.update_or_create(
            name=name,
            defaults={
                "func": function,
                "schedule_type": Schedule.MINUTES,
                "minutes": minutes,
                "cluster": "default",
            },
        )


def prepare_workspace_later() -> Job | None:
    """Let the queue register the starter, make it live and draft summaries, unless something is live already."""
    if live_releases().exists():
        return None
    return jobs.enqueue(
        kind="prepare_workspace", actor=None, unique_key="prepare_workspace", deadline_seconds=3600
    )


def prepare_workspace(context: JobContext) -> dict[str, Any]:
    """The job: begins again where it was cut off, since each step finds what is already there."""
    context.phase("registering the starter model")
    model = register_base(reference="starter", name="SmolLM2-135M-Instruct", actor=None)
    context.phase("making the first release live")
    release = install_first_release(release=_first_release(model))
    context.phase("drafting summaries")
    documents = list(
        SourceDocument.objects.filter(origin=SAMPLE_ORIGIN, summaries__isnull=True).order_by("pk")
    )
    drafted = draft_summaries(
        documents=documents, release=release, progress=context.step, should_stop=context.should_stop
    )
    return {"model_version": model.pk, "release": release.pk, "drafted": drafted}


def _first_release(model: ModelVersion) -> Any:
    prompt = PromptVersion.objects.filter(prompt__name="news summary").order_by("-number").first()
    if prompt is None:
        raise LookupError("the prompt 'news summary' that comes with Galley is missing")
    return compose_release(
        model_version=model,
        prompt_version=prompt,
        decoding=STARTER_DECODING,
        origin="initial",
        actor=None,
        note="The starter model as it comes.",
    )
