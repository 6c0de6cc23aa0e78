"""What somebody with a database prompt tries against each line of *What the database itself guarantees*.

A line's attempts are statements that find rows to change; the database refuses each. Guards that the owner of the
tables switches off are another matter (see `test_evidence.py`): what was done meanwhile is found out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import connection
from django.utils import timezone

from models_app.foundation import jobs
from models_app.foundation.tokens import create_token
from models_app.gates import policies
from models_app.gates.clean_comparisons import clean_comparison
from models_app.gates.leakage_checks import check
from models_app.gates.public_sets import declare_training, load_fingerprints, occurrences
from models_app.models import (
    CaseResult,
    CaseRun,
    CaseVersion,
    FuseLift,
    GateResult,
    HumanVote,
    Incident,
    Release,
    Rollout,
    RolloutLook,
    SnapshotExample,
    TrainingMetric,
    TrainingRun,
    Waiver,
    WebhookAttempt,
    WebhookDelivery,
    WeightMatch,
    WeightTensor,
)
from models_app.releases.commenting import comment_on_release
from models_app.releases.emergency import review_incident
from models_app.releases.waiving import agree_to_waiver, ask_for_waiver
from models_app.webhooks.deliveries import send_test
from models_app.webhooks.endpoints import create_endpoint
from reviews.desk import claims
from reviews.desk.reviews import submit_review
from reviews.examples.decisions import approve_example
from reviews.improvement.requests import open_request, vote
from reviews.models import Adjudication, FeedbackExample, QueueItem, ReviewQueue
from reviews.quality.gold import mark_gold
from tests import make
from tests.cases import scene as case_scenes
from tests.database import without_guards
from tests.releases import scene as scenes
from tests.releases.scene import Scene
from tests.reviews.quality.test_gold import ANSWERS, KNOWN


def again(table: str, where: str = "true") -> str:
    """The same row once more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND column_name <> 'id' "
            "AND is_generated = 'NEVER'",
            [table],
        )
        columns = ", ".join(f'"{name}"' for (name,) in cursor.fetchall())
    return f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} WHERE {where} ORDER BY id LIMIT 1"


def changes(table: str, *columns: str, where: str = "true") -> list[str]:
    return [f'UPDATE {table} SET "{column}" = {_other(table, column)} WHERE {where}' for column in columns]


def _other(table: str, column: str) -> str:
    """A value of the column's type that is not there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT data_type FROM information_schema.columns WHERE table_name = %s AND column_name = %s",
            [table, column],
        )
        (kind,) = cursor.fetchone() or ("",)
    values = {
        "jsonb": "'[987654]'", "boolean": f'NOT "{column}"', "timestamp with time zone": "now() + interval '1 year'",
    }  # fmt: skip
    if kind in ("bigint", "integer", "smallint", "double precision"):
        return f'coalesce("{column}", 0) + 1'
    return values.get(kind, "'other'")


def kept(table: str) -> list[str]:
    """Neither changed nor deleted."""
    return [f"UPDATE {table} SET id = id + 1000000", f"DELETE FROM {table}"]


def documents(the: Scene) -> list[str]:
    make.document()
    return [
        *changes("reviews_sourcedocument", "text", "content_hash", "reference"),
        "UPDATE reviews_sourcedocument SET split = 'test'",
    ]


def append_only(the: Scene) -> list[str]:
    reviewed(the)
    tables = (
        "models_app_promptversion", "reviews_reviewrevision", "models_app_auditevent", "models_app_snapshotexample",
        "models_app_evaluationexample", "models_app_examplescore", "models_app_comparison",
        "models_app_comparisonresult", "models_app_releasecomment",
    )  # fmt: skip
    comment_on_release(release=the.candidate, text="Why so long?", actor=the.cast.operator)
    return [
        *(statement for table in tables for statement in kept(table)),
        *changes("models_app_examplescore", "output", "rouge2", "unsupported_names"),
        *changes("models_app_comparison", "verdict", "sentence", "digest", "requested_by_id"),
        *changes("models_app_comparisonresult", "after", "low", "verdict"),
        *changes("models_app_evaluationexample", "source", "reference"),
        *changes("models_app_snapshotexample", "document_hash", "target"),
        *changes("models_app_auditevent", "actor_name", "reason"),
    ]


def origins(the: Scene) -> list[str]:
    """What hands and lineage are read from."""
    the.approved_by(the.cast.approver)
    return [
        *changes("models_app_datasetsnapshot", "digest", "selection", "curators", "created_by_id"),
        *changes("models_app_evaluationset", "digest", "rows", "selection", "created_by_id", "words"),
        *changes("models_app_evaluationrun", "release_id", "evaluation_set_id", "requested_by_id"),
        *changes("models_app_trainingrun", "snapshot_id", "base", "recipe", "recipe_digest", "requested_by_id"),
        *changes(
            "models_app_modelversion", "digest", "artefact", "parent_id", "training_run_id", "created_by_id", "engine",
            where=f"id = {the.model.pk}",
        ),
        *changes("models_app_release", "digest", "decoding", "origin", "created_by_id", "created_at"),
        *(
            f"UPDATE models_app_{table} SET {change}"
            for table in (
                "datasetsnapshot", "evaluationrun", "evaluationset", "modelversion", "release", "trainingrun",
            )
            for change in ("id = id + 1000000", "created_at = now() + interval '1 day'")
        ),
        *changes("models_app_prompt", "kind", "id"),
        *(
            f"DELETE FROM models_app_{table}"
            for table in (
                "approval", "deployment", "evaluationrun", "evaluationset", "datasetsnapshot", "trainingrun",
                "release", "modelversion",
            )
        ),
    ]  # fmt: skip


def recognised(the: Scene) -> list[str]:
    WeightTensor.objects.create(version=the.model, position=0, size=4, digest="x", sketch=b"", telling=True)
    WeightMatch.objects.create(version=the.model, of=the.live.model_version, closeness=0.9)
    return [
        *kept("models_app_weighttensor"),
        *kept("models_app_weightmatch"),
        *changes("models_app_weighttensor", "digest", "version_id", "size"),
        *changes("models_app_weightmatch", "version_id", "of_id", "closeness"),
        "TRUNCATE models_app_weighttensor",
        "TRUNCATE models_app_weightmatch",
        f"UPDATE models_app_modelversion SET weights_digest = 'other' WHERE id = {the.model.pk}",
    ]


def learnt_and_held_out(the: Scene) -> list[str]:
    """A find, the comparison without it, a public set in which it occurs, and what the base learnt."""
    example = the.on.examples.first()
    assert example is not None
    SnapshotExample.objects.create(
        snapshot=the.snapshot, position=99, split="train", document_hash=example.document_hash, origin="feedback:1",
        source="x", target="y",
    )  # fmt: skip
    clean_comparison(comparison=the.comparison, check=check(release=the.candidate, evaluation_set=the.on))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write(json.dumps({"text": example.source}))
        file.flush()
        load_fingerprints(name="news test", file=Path(file.name), actor=None)
    occurrences(the.on)
    declare_training(model_version=the.live.model_version, name="news test", actor=None)
    tables = (
        "leakagecheck", "leakagefinding", "cleancomparison", "fingerprintset", "textfingerprint", "publicoccurrence",
        "declaredtraining",
    )  # fmt: skip
    return [
        *(statement for table in tables for statement in kept(f"models_app_{table}")),
        *changes("models_app_leakagecheck", "training_digest", "test_digest", "flagged"),
        *changes("models_app_leakagefinding", "share", "example_id", "row_id"),
        *changes("models_app_cleancomparison", "results", "n", "comparison_id"),
        *changes("models_app_textfingerprint", "shingles"),
        *changes("models_app_declaredtraining", "name", "model_version_id"),
    ]


def as_itself(the: Scene) -> list[str]:
    return [
        "INSERT INTO models_app_weightmatch (version_id, of_id, closeness, at) VALUES "
        f"({the.model.pk}, {the.model.pk}, 1, now())"
    ]


def finished(the: Scene) -> list[str]:
    run = the.model.training_run
    assert run is not None
    going = TrainingRun.objects.create(
        name="going", snapshot=run.snapshot, base="starter", prompt_version=run.prompt_version, recipe={},
        recipe_digest="x", state="running",
    )  # fmt: skip
    TrainingMetric.objects.create(run=going, step=1, loss=0.5)
    TrainingRun.objects.filter(pk=going.pk).update(state="succeeded")
    succeeded = "state = 'succeeded'"
    return [
        *changes("models_app_evaluationrun", "means", "signature", "finished_at", where=succeeded),
        f"UPDATE models_app_evaluationrun SET state = 'failed' WHERE {succeeded}",
        f"UPDATE models_app_trainingrun SET state = 'queued' WHERE {succeeded}",
        *changes("models_app_trainingmetric", "loss", "validation_loss"),
        "DELETE FROM models_app_trainingmetric",
        f"INSERT INTO models_app_trainingmetric (run_id, step, epoch, loss, at) VALUES ({going.pk}, 2, 1, 0.1, now())",
    ]


def once(the: Scene) -> list[str]:
    the.approved_by(the.cast.approver)
    scenes.made_live(make.release())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE models_app_approval SET voided_at = now(), void_reason = 'for this test'")
    return [
        *changes(
            "models_app_deployment", "live_from", "release_id", "started_by_id", where="live_to IS NULL"
        ),
        *changes("models_app_deployment", "live_to", "end_reason", where="live_to IS NOT NULL"),
        "UPDATE models_app_deployment SET live_to = NULL WHERE live_to IS NOT NULL",
        "UPDATE models_app_approval SET voided_at = NULL",
        *changes(
            "models_app_approval", "decision", "reason", "approver_id", "evidence_digest", "at", "void_reason"
        ),
    ]


EMPTIED = """
    approval auditevent cleancomparison comparison comparisonresult datasetsnapshot declaredtraining deployment
    evaluationexample evaluationrun evaluationset examplescore fingerprintset humanvote leakagecheck leakagefinding
    modelversion promptversion publicoccurrence release snapshotexample textfingerprint trainingmetric trainingrun
"""


def emptied(the: Scene) -> list[str]:
    return [f"TRUNCATE models_app_{table} CASCADE" for table in EMPTIED.split()]


def states(the: Scene) -> list[str]:
    the.approved_by(the.cast.approver)
    made = {
        state: make.release(state=state).pk
        for state in ("draft", "awaiting approval", "rejected", "rolled back")
    }
    decided = "state = 'warming'"
    return [
        *(f"UPDATE models_app_release SET state = 'live' WHERE id = {pk}" for pk in made.values()),
        *(f"UPDATE models_app_release SET state = 'approved' WHERE id = {pk}" for pk in made.values()),
        *(f"UPDATE models_app_release SET state = 'superseded' WHERE id = {pk}" for pk in made.values()),
        *(f"UPDATE models_app_release SET state = 'warming' WHERE id = {pk}" for pk in made.values()),
        again("models_app_release", "state = 'rejected'"),
        *(f"UPDATE models_app_route SET release_id = {pk}" for pk in (*made.values(), the.candidate.pk)),
        *changes(
            "models_app_release",
            "comparison_id",
            "evidence",
            "evidence_digest",
            "requested_by_id",
            where=decided,
        ),
    ]


def no_approvals(the: Scene) -> list[str]:
    return ["UPDATE models_app_environment SET approvals_required = 0"]


def judged(the: Scene) -> list[str]:
    run = scenes.judged(the.candidate, the.comparison)
    ended = f"WHERE id = {run.pk}"
    columns = "run_id, position, gate, name, verdict, words, need, method, unit, evidence"
    return [
        *kept("models_app_gatepolicy"),
        *changes("models_app_gatepolicy", "settings", "number", "made_by_id", "reason", "digest"),
        *kept("models_app_gateresult"),
        *changes("models_app_gateresult", "verdict", "estimate", "words", "threshold", "n"),
        *changes(
            "models_app_gaterun",
            "verdict",
            "digest",
            "policy_id",
            "comparison_id",
            "release_id",
            "policy_digest",
        ),
        f"UPDATE models_app_gaterun SET state = 'running', verdict = '', digest = '' {ended}",
        f"DELETE FROM models_app_gaterun {ended}",
        f"INSERT INTO models_app_gateresult ({columns}) VALUES ({run.pk}, 99, 'x', '', 'pass', 'x', 'x', 'x', '', '')",
        *(f"TRUNCATE models_app_{table} CASCADE" for table in ("gatepolicy", "gateresult", "gaterun")),
    ]


def _waiver(the: Scene) -> Waiver:
    scenes.small_policy(guards={"least_documents": 1000})
    row = scenes.judged(the.candidate, the.comparison).results.filter(verdict="inconclusive")[0]
    return ask_for_waiver(
        release=the.candidate, gate=row.gate, name=row.name, reason="Few documents.", days=7,
        actor=the.cast.ml_engineer,
    )  # fmt: skip


def waived(the: Scene) -> list[str]:
    agree_to_waiver(waiver=_waiver(the), reason="They are.", password=make.PASSWORD, actor=the.cast.approver)
    return [
        f"DELETE FROM models_app_waiver WHERE release_id = {the.candidate.pk}",
        "TRUNCATE models_app_waiver",
        *changes(
            "models_app_waiver", "reason", "expires_at", "result_digest", "asked_by_id", "agreed_at", "agreed_reason",
            "gate", "release_id",
        ),
        "UPDATE models_app_waiver SET ended_at = now(), agreed_by_id = NULL, agreed_at = NULL, agreed_reason = ''",
    ]  # fmt: skip


def _asked_by_another(the: Scene) -> Waiver:
    """Than composed the release."""
    waiver = _waiver(the)
    with without_guards(Waiver):
        Waiver.objects.filter(pk=waiver.pk).update(asked_by=the.cast.operator)
    return waiver


def waived_alone(the: Scene) -> list[str]:
    waiver = _asked_by_another(the)
    agreed = "agreed_at = now(), agreed_reason = 'Fine.'"
    return [
        f"UPDATE models_app_waiver SET agreed_by_id = asked_by_id, {agreed} WHERE id = {waiver.pk}",
        f"UPDATE models_app_waiver SET {agreed} WHERE id = {waiver.pk}",
        again("models_app_waiver"),
    ]


def waived_without_cause(the: Scene) -> list[str]:
    """Of gates that nobody waives, of what passes, of another release's run, born agreed to, or to begin later."""
    waiver = _waiver(the)
    with without_guards(Waiver):
        Waiver.objects.filter(pk=waiver.pk).delete()
    run, another = waiver.result.run, the.live.pk
    passes = run.results.filter(verdict="pass", gate="primary")[0]
    never = run.results.filter(gate="integrity")[0]

    def asked(**values: Any) -> str:
        columns = {
            "release_id": the.candidate.pk, "gate": "guards", "name": waiver.name, "result_id": waiver.result_id,
            "result_digest": waiver.result_digest, "reason": "So.", "asked_by_id": the.cast.ml_engineer.pk,
            "asked_at": "now()", "expires_at": "now() + interval '7 days'", "agreed_reason": "", "end_reason": "",
            **values,
        }  # fmt: skip
        said = [
            str(value) if isinstance(value, int) or value.startswith("now()") else f"'{value}'"
            for value in columns.values()
        ]
        return f"INSERT INTO models_app_waiver ({', '.join(columns)}) VALUES ({', '.join(said)})"

    agreed = {"agreed_by_id": the.cast.approver.pk, "agreed_at": "now()", "agreed_reason": "Fine."}
    return [
        asked(release_id=another),
        asked(name="rougeL"),
        asked(gate="primary"),
        asked(gate="integrity", name=never.name, result_id=never.pk),
        asked(gate="primary", name=passes.name, result_id=passes.pk),
        asked(**agreed),
        asked(
            asked_at="now() + interval '9 years'", expires_at="now() + interval '10 years' - interval '1 day'"
        ),
        asked(ended_by_id=the.cast.approver.pk, ended_at="now()", end_reason="Over."),
    ]


def waived_for_ever(the: Scene) -> list[str]:
    """Of gates that nobody waives, without an end, or with one that nobody lives to see. The result is there."""
    waiver = _waiver(the)
    with without_guards(Waiver):
        Waiver.objects.filter(pk=waiver.pk).delete()
    statements: list[str] = []
    for gate in ("integrity", "leakage", "personal_data", "safety"):
        with without_guards(GateResult):
            found = GateResult.objects.create(
                run=waiver.result.run, position=900 + len(statements), gate=gate, name="found", verdict="inconclusive",
                words="Found.", need="none", method="x",
            )  # fmt: skip
        statements.append(_waiver_of(the, found, "now() + interval '7 days'"))
    return [
        *statements,
        *(
            _waiver_of(the, waiver.result, ends)
            for ends in (
                "NULL",
                "'infinity'",
                "now() + interval '366 days'",
                "now()",
                "now() - interval '1 day'",
            )
        ),
    ]


def _waiver_of(the: Scene, found: GateResult, ends: str) -> str:
    return (
        "INSERT INTO models_app_waiver (release_id, gate, name, result_id, result_digest, reason, asked_by_id, "
        f"asked_at, expires_at, agreed_reason, end_reason) VALUES ({the.candidate.pk}, '{found.gate}', "
        f"'{found.name}', {found.pk}, 'x', 'So.', {the.cast.ml_engineer.pk}, now(), {ends}, '', '')"
    )


def waived_by_who_requested_it(the: Scene) -> list[str]:
    waiver, person = _asked_by_another(the), the.cast.ml_engineer.pk
    return [
        f"UPDATE models_app_waiver SET agreed_by_id = {person}, agreed_at = now(), agreed_reason = 'Mine.' "
        f"WHERE id = {waiver.pk}"
    ]


def too_late(the: Scene) -> list[str]:
    make.approval(the.candidate)
    with without_guards(Release):
        Release.objects.filter(pk=the.candidate.pk).update(decide_by=the.candidate.created_at)
    return [f"UPDATE models_app_release SET state = 'approved' WHERE id = {the.candidate.pk}"]


def other_approvals(the: Scene) -> list[str]:
    return ["UPDATE models_app_environment SET approvals_required = 7"]


def waiting_evidence(the: Scene) -> list[str]:
    return changes(
        "models_app_release", "comparison_id", "evidence", "evidence_digest", "requested_by_id", "submitted_at",
        "requester_reason", where=f"id = {the.candidate.pk}",
    )  # fmt: skip


def no_gates(the: Scene) -> list[str]:
    """The policy is another one than that which judged it."""
    make.approval(the.candidate)
    scenes.small_policy(guards={"least_documents": 11})
    evaluating, warming = make.release(), make.release()
    for release, state in ((evaluating, "evaluating"), (warming, "warming")):
        make.forced(release, state)
        make.approval(release)
    away = f"UPDATE models_app_release SET state = 'superseded' WHERE id = {the.live.pk}"
    return [
        f"UPDATE models_app_release SET state = 'approved' WHERE id = {the.candidate.pk}",
        f"UPDATE models_app_release SET state = 'awaiting approval' WHERE id = {evaluating.pk}",
        f"{away}; UPDATE models_app_release SET state = 'live' WHERE id = {warming.pk}",
    ]


def in_a_freeze(the: Scene) -> list[str]:
    window = {"from": "2000-01-01T00:00+00:00", "to": "2199-01-01T00:00+00:00", "reason": "For ever."}
    scenes.small_policy(approvals={"approvers": 1, "freezes": [window]})
    the.submitted(release=Release.objects.get(pk=the.candidate.pk))
    the.approved_by(the.cast.approver)
    away = f"UPDATE models_app_release SET state = 'superseded' WHERE id = {the.live.pk}"
    to = "UPDATE models_app_release SET state = '{}' WHERE id = {}"
    return [f"{away}; {to.format('warming', the.candidate.pk)}; {to.format('live', the.candidate.pk)}"]


def own_work(the: Scene) -> list[str]:
    columns = "release_id, approver_id, decision, reason, evidence_digest, at, void_reason"
    return [
        f"INSERT INTO models_app_approval ({columns}) VALUES ({the.candidate.pk}, {the.cast.ml_engineer.pk}, "
        f"'{decision}', 'x', 'x', now(), '')"
        for decision in ("approved", "rejected", "changes")
    ]


def a_rollout(the: Scene, **fields: Any) -> Rollout:
    environment = the.live.environment
    policy = policies.holding(environment)
    return Rollout.objects.create(
        environment=environment, release=the.candidate, beside=the.live, policy=policy, **fields
    )


def shares(the: Scene) -> list[str]:
    ended = a_rollout(the, ended_at=timezone.now(), outcome=Rollout.Outcome.STOPPED, reason="Errors.")
    RolloutLook.objects.create(
        rollout=ended, measure="errors", number=1, canary_requests=20, canary_events=9, live_requests=900,
        live_events=3, concurrent_requests=180, concurrent_events=1, boundary=4, p=0.0, spent=0.0, concurrent_p=0.0,
    )  # fmt: skip
    FuseLift.objects.create(
        environment=the.live.environment, lifted_by=the.cast.approver, reason="It was the network."
    )
    return [
        f"UPDATE models_app_route SET canary_id = {the.candidate.pk}, canary_weight = 10",
        *kept("models_app_rollout"),
        *changes(
            "models_app_rollout",
            "release_id",
            "beside_id",
            "policy_id",
            "began_at",
            "step",
            "outcome",
            "reason",
        ),
        "UPDATE models_app_rollout SET ended_at = NULL, outcome = ''",
        *kept("models_app_rolloutlook"),
        *changes("models_app_rolloutlook", "canary_events", "live_events", "boundary", "p"),
        *kept("models_app_fuselift"),
        *changes("models_app_fuselift", "at", "reason", "lifted_by_id"),
        "TRUNCATE models_app_rollout, models_app_rolloutlook",
        "TRUNCATE models_app_fuselift",
    ]


def two_rollouts(the: Scene) -> list[str]:
    a_rollout(the)
    return [again("models_app_rollout")]


def an_incident(the: Scene) -> Incident:
    return Incident.objects.create(
        release=the.candidate, opened_by=the.cast.approver, reason="It leaks.", evidence_digest="x"
    )


def reviewed_incidents(the: Scene) -> list[str]:
    review_incident(
        incident=an_incident(the), actor=the.cast.another_approver, words="Right.", password=make.PASSWORD
    )
    return [
        *kept("models_app_incident"),
        *changes(
            "models_app_incident", "release_id", "opened_by_id", "opened_at", "reason", "evidence_digest"
        ),
        *changes("models_app_incident", "skipped", "reviewed_by_id", "reviewed_at", "review"),
        "TRUNCATE models_app_incident",
    ]


def reviews_of_nobody(the: Scene) -> list[str]:
    an_incident(the)
    said = "UPDATE models_app_incident SET reviewed_at = now(), reviewed_by_id"
    return [
        f"{said} = {the.cast.another_approver.pk}",
        f"{said} = {the.cast.approver.pk}, review = 'Right.'",
        again("models_app_incident"),
        "INSERT INTO models_app_incident (release_id, opened_by_id, opened_at, reason, evidence_digest, skipped, "
        f"review) VALUES ({the.candidate.pk}, {the.cast.approver.pk}, now(), '', 'y', '[]', '')",
    ]


def second_emergencies(the: Scene) -> list[str]:
    an_incident(the)
    second = make.release(the.model)
    return [
        "INSERT INTO models_app_incident (release_id, opened_by_id, opened_at, reason, evidence_digest, skipped, "
        f"review) VALUES ({second.pk}, {the.cast.another_approver.pk}, now(), 'It leaks.', 'y', '[]', '')"
    ]


def no_test_rows(the: Scene) -> list[str]:
    return [
        "INSERT INTO models_app_snapshotexample (snapshot_id, position, split, document_hash, origin, domain, title, "
        f"source, target, rejected) VALUES ({the.snapshot.pk}, 77, 'test', 'x', 'x', '', '', 'a', 'b', '')"
    ]


def reviewed(the: Scene) -> QueueItem:
    """An item that Rita reviewed, and Ruben may."""
    queue = make.queue(reviews_per_item=2, overlap_percent=100)
    item = make.queue_item(make.summary(make.document(split="train")), queue, wanted_reviews=2)
    lease = claims.claim_next(queue=ReviewQueue.objects.get(pk=item.queue_id), reviewer=the.cast.reviewer)
    assert lease is not None
    submit_review(item=item, answers=ANSWERS, reviewer=the.cast.reviewer)
    return item


def assignments(the: Scene) -> list[str]:
    item = reviewed(the)
    approve_example(example=FeedbackExample.objects.get(kind="demonstration"), actor=the.cast.ml_engineer)
    return [
        f"UPDATE reviews_assignment SET reviewer_id = {the.cast.reviewer.pk}, state = 'done' WHERE item_id = {item.pk} "
        "AND state = 'free'",
        again("reviews_assignment", f"item_id = {item.pk}"),
        again("reviews_review"),
        again("reviews_feedbackexample", "state = 'approved'"),
    ]


def twice(the: Scene) -> list[str]:
    run = the.model.training_run
    assert run is not None
    TrainingRun.objects.create(
        name="going", snapshot=run.snapshot, base="starter", prompt_version=run.prompt_version, recipe={},
        recipe_digest="x", state="running",
    )  # fmt: skip
    jobs.enqueue(kind="compare", actor=None, unique_key="compare:1", deliver=False)
    make.release(state="draft")
    scenes.made_live(make.release())
    return [
        again("models_app_trainingrun", "state = 'running'"),
        again("models_app_job", "state = 'queued'"),
        f"UPDATE models_app_release SET state = 'live' WHERE id = {the.live.pk}",
        again("models_app_release", "state = 'draft'"),
    ]


def names(the: Scene) -> list[str]:
    columns = "password, is_superuser, first_name, last_name, email, is_staff, is_active, date_joined"
    return [
        "UPDATE auth_user SET username = 'RITA' WHERE username = 'ruben'",
        f"INSERT INTO auth_user (username, {columns}) SELECT upper(username), {columns} FROM auth_user LIMIT 1",
    ]


def answers(the: Scene) -> list[str]:
    item = reviewed(the)
    mark_gold(summary=make.summary(), rubric=item.queue.rubric, known=KNOWN, actor=the.cast.ml_engineer)
    Adjudication.objects.create(
        item=item,
        adjudicator=the.cast.ml_engineer,
        stars=2,
        verdict="poor",
        rubric=item.queue.rubric,
        edited_text="x",
    )
    return [again("reviews_adjudication"), again("reviews_goldanswer")]


def votes(the: Scene) -> list[str]:
    HumanVote.objects.create(
        candidate=the.candidate, baseline=the.live, document_hash="x", origin="x", preferred="identical"
    )
    return [
        *kept("models_app_humanvote"),
        *changes("models_app_humanvote", "preferred", "judge_id", "document_hash"),
    ]


def false_votes(the: Scene) -> list[str]:
    votes(the)
    columns = "candidate_id, baseline_id, document_hash, origin, preferred, at"
    return [
        again("models_app_humanvote"),
        f"INSERT INTO models_app_humanvote ({columns}) SELECT candidate_id, baseline_id, 'y', 'x', 'candidate', now() "
        "FROM models_app_humanvote",
    ]


def cases(the: Scene) -> list[str]:
    case_scenes.case_set("Acceptance", case_scenes.draft())
    case = CaseVersion.objects.get()
    run = CaseRun.objects.create(release=the.candidate, set_version=case.set_version, signature="x")
    CaseResult.objects.create(run=run, case=case, output="x", verdict="fail", findings=[])
    CaseRun.objects.update(finished_at=timezone.now(), digest="x")
    tables = ("casesetversion", "caseversion", "caseresult", "caserun", "caseset")
    return [
        *(statement for table in tables for statement in kept(f"models_app_{table}")),
        *(f"TRUNCATE models_app_{table} CASCADE" for table in tables),
        *changes("models_app_caseversion", "article", "assertions", "must_pass", "retired"),
        *changes("models_app_casesetversion", "digest", "cases", "reason", "made_by_id"),
        *changes("models_app_caseresult", "output", "changed", "verdict", "findings"),
        *changes("models_app_caserun", "digest", "release_id", "signature", "finished_at"),
        *changes("models_app_caseset", "name", "created_by_id"),
        again("models_app_caseresult"),
    ]


def tokens(the: Scene) -> list[str]:
    create_token(
        user=the.cast.ml_engineer, name="x", scopes=["releases:read"], days=9, actor=the.cast.ml_engineer
    )
    return [
        *changes("models_app_apitoken", "user_id", "created_by_id", "scopes", "digest"),
        "UPDATE models_app_apitoken SET expiry = expiry + interval '1 day'",
    ]


def intervals(the: Scene) -> list[str]:
    return [again("models_app_deployment")]


def doors(the: Scene) -> list[str]:
    columns = "at, actor_name, action, subject, from_state, to_state, reason, data, previous_hash, hash"
    values = "now(), 'x', 'x', 'x', '', '', '', '{}', 'x', 'x'"
    return [
        f"INSERT INTO models_app_auditevent ({columns}, door, door_which) VALUES ({values}, {door}, {which})"
        for door, which in (("NULL", "''"), ("'elsewhere'", "''"), ("''", "''"), ("'page'", "NULL"))
    ]


def chain(the: Scene) -> list[str]:
    """What would break it is refused; where the trigger was off, the chain says so (test_evidence.py)."""
    return [*kept("models_app_auditevent"), *changes("models_app_auditevent", "hash", "previous_hash")]


def told(the: Scene) -> list[str]:
    endpoint, _ = create_endpoint(
        name="CI", url="https://hooks.example.org/", events=["release.approved"], actor=the.cast.operator
    )
    waiting = send_test(endpoint=endpoint, actor=the.cast.operator)
    ended = send_test(endpoint=endpoint, actor=the.cast.operator)
    WebhookDelivery.objects.filter(pk=ended.pk).update(state="delivered", ended_at=ended.made_at)
    WebhookAttempt.objects.create(delivery=waiting, number=1, at=waiting.made_at, milliseconds=3, words="x")
    tables = [f"models_app_webhook{name}" for name in ("endpoint", "delivery", "attempt")]
    return [
        *(f"DELETE FROM {table}" for table in tables),
        *(f"TRUNCATE {table} CASCADE" for table in tables),
        *(f"UPDATE {table} SET id = id + 1000000" for table in tables),
        *changes("models_app_webhookendpoint", "made_by_id", "made_at"),
        *changes("models_app_webhookdelivery", "body", "event", "endpoint_id", "asked_by_id", "made_at"),
        *changes("models_app_webhookattempt", "status", "words", "answer", "at", "number"),
        *changes("models_app_webhookdelivery", "state", "due_at", "attempts", where=f"id = {ended.pk}"),
    ]


def asked_for(the: Scene) -> list[str]:
    request = open_request(kind="retraining", reason="Numbers are wrong.", actor=the.cast.reviewer)
    vote(request=request, text="Yes.", actor=the.cast.another_reviewer)
    table, votes = "reviews_improvementrequest", "reviews_improvementvote"
    return [
        *kept(table),
        *changes(table, "reason", "evidence", "kind", "opened_by_id"),
        *kept(votes),
        *changes(votes, "text", "person_id"),
        f"TRUNCATE {votes}",
    ]


def voted_twice(the: Scene) -> list[str]:
    asked_for(the)
    return [again("reviews_improvementvote")]


TRIGGER, CONSTRAINT = ("23001",), ("23502", "23503", "23505", "23514", "23P01")
# By the line of the table: what is tried, and which refusals are meant.
ATTEMPTS: Mapping[str, Sequence[tuple[Callable[[Scene], list[str]], tuple[str, ...]]]] = {
    "a document's split, text and reference never change": [(documents, TRIGGER)],
    "prompt versions, snapshot rows, test documents, scores, comparisons with their results, submitted revisions, "
    "comments on releases and audit events are append-only": [(append_only, TRIGGER)],
    "snapshots, test sets, evaluations, trainings, model versions and releases keep their number, what they are made "
    "of, when and by whom, a prompt its kind; none of them is deleted": [(origins, TRIGGER)],
    "what weights are recognised by, and as what, is append-only; a version gets its fingerprint once, and is not "
    "recognised as itself": [
        (recognised, TRIGGER),
        (as_itself, CONSTRAINT),
    ],
    "a succeeded evaluation keeps its figures, a succeeded training its metrics": [(finished, TRIGGER)],
    "the interval of a deployment is closed once, an approval voided once; nothing else of them changes": [
        (once, TRIGGER)
    ],
    "none of these tables is emptied": [(emptied, TRIGGER)],
    "a release begins as a draft and makes the moves of its table alone; it becomes approved, warms up and goes live "
    "only with enough approvals of its evidence (one, where an incident is open or reviewed for it), as the first of "
    "its environment, or by a rollback to what was live; none is approved after its time; an environment asks for one "
    "approval at least, and for as many as its policy says; requests are routed to what is live; what it waits for "
    "approval on, and was decided on, does not change": [
        (states, TRIGGER),
        (too_late, TRIGGER),
        (other_approvals, TRIGGER),
        (no_approvals, (*TRIGGER, *CONSTRAINT)),
        (waiting_evidence, TRIGGER),
    ],
    "a release waits for approval, is approved and goes live only where every result of its newest gate "
    "run, on its comparison and by the policy that holds, passes or has a waiver in force, of the same finding and "
    "allowed by that policy; none goes live in a freeze window of the policy but in an emergency": [
        (no_gates, TRIGGER),
        (in_a_freeze, TRIGGER),
    ],
    "requests go to a canary only while it rolls out in its environment; rollouts keep what they are of, end once, and "
    "stay; looks and lifts of the fuse are append-only; one rollout at a time an environment": [
        (shares, TRIGGER),
        (two_rollouts, CONSTRAINT),
    ],
    "nobody decides on a release that they composed or requested": [(own_work, TRIGGER)],
    "an incident says why, and is reviewed once, with words, by another person than who opened it; nothing else of it "
    "changes; until then no other release of the environment gets one, unless the first ended without having been "
    "live": [(reviewed_incidents, TRIGGER), (reviews_of_nobody, CONSTRAINT), (second_emergencies, TRIGGER)],
    "versions of a policy are append-only; a gate run gets results while it goes on, ends with the verdict that they "
    "give, and keeps both": [(judged, TRIGGER)],
    "a waiver is of what gates found of its own release, never of integrity, leakage, personal data or safety, of what "
    "passes or of an error; it is asked for first and lasts a year at most": [
        (waived_without_cause, TRIGGER),
        (waived_for_ever, CONSTRAINT),
    ],
    "a waiver is agreed to by another person than asked for it, is about one result for a time, and ends once": [
        (waived, TRIGGER),
        (waived_alone, CONSTRAINT),
        (waived_by_who_requested_it, TRIGGER),
    ],
    "what training data and test documents have in common, comparisons without these documents, known public sets and "
    "what a base model is declared to have learnt are append-only": [(learnt_and_held_out, TRIGGER)],
    "no test document in a snapshot": [(no_test_rows, CONSTRAINT)],
    "one assignment, one reviewer; one review a person and item; one approved demonstration a document": [
        (assignments, CONSTRAINT)
    ],
    "pressing *train* twice is one run; one active job a key; one live release an environment; one release of the "
    "same content on its way": [(twice, CONSTRAINT)],
    "one account a name, in upper or lower case": [(names, CONSTRAINT)],
    "an item gets one final answer; a summary has one gold answer": [(answers, CONSTRAINT)],
    "what people said of two releases is append-only; a vote is somebody's, and a tie of nobody's stands once a "
    "document": [(votes, TRIGGER), (false_votes, CONSTRAINT)],
    "cases, the versions of their sets and what releases made of them are append-only; a set keeps its name; a run of "
    "cases is finished once, and no result comes to it afterwards": [(cases, TRIGGER)],
    "what webhooks were told is kept, and every attempt append-only; a delivery ends once; no webhook is deleted": [
        (told, TRIGGER)
    ],
    "a request for retraining or a prompt keeps what spoke for it and is kept; votes for it are append-only, one a "
    "person": [(asked_for, TRIGGER), (voted_twice, CONSTRAINT)],
    "two releases were never live at the same time": [(intervals, CONSTRAINT)],
    "a token acts in the name of the person who made it, and never gets more scopes, a longer time or another person": [
        (tokens, TRIGGER)
    ],
    "every event says by which door it came: page, token, command, job, Galley itself, or a program on the server": [
        (doors, CONSTRAINT)
    ],
    "the audit trail is whole": [(chain, TRIGGER)],
}
