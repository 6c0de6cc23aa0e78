"""Releases are evaluated by gates before anybody decides, and wait out freeze windows."""

from django.db import migrations, models
from django.db.models import Q

from models_app.foundation import immutable
from models_app.foundation.immutable import changed

# Of its newest run, on the comparison that it was submitted with and by the policy that holds: every result passes, or
# a waiver in force covers it. Which finding a waiver is for, and that nothing was rewritten, Galley itself looks at.
GATES = (
    """
    CREATE FUNCTION galley_holding_policy(of_environment bigint) RETURNS models_app_gatepolicy LANGUAGE sql STABLE AS $$
      SELECT * FROM models_app_gatepolicy WHERE environment_id = of_environment ORDER BY number DESC LIMIT 1;
    $$;
    CREATE FUNCTION galley_gates_pass(of_release bigint, on_comparison bigint, of_environment bigint)
    RETURNS boolean LANGUAGE sql STABLE AS $$
      SELECT coalesce((
        SELECT run.state = 'finished' AND run.comparison_id = on_comparison
               AND run.policy_id = (galley_holding_policy(of_environment)).id
               AND EXISTS (SELECT FROM models_app_gateresult WHERE run_id = run.id)
               AND NOT EXISTS (
                 SELECT FROM models_app_gateresult result
                  WHERE result.run_id = run.id AND result.verdict <> 'pass' AND (
                    result.verdict = 'error' OR NOT EXISTS (
                      SELECT FROM models_app_waiver waiver
                       WHERE waiver.release_id = of_release AND waiver.gate = result.gate AND waiver.name = result.name
                         AND waiver.agreed_at IS NOT NULL AND waiver.ended_at IS NULL
                         AND waiver.expires_at > statement_timestamp())))
          FROM models_app_gaterun run WHERE run.release_id = of_release ORDER BY run.id DESC LIMIT 1
      ), false);
    $$;
    CREATE FUNCTION galley_frozen(of_environment bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
      SELECT EXISTS (
        SELECT FROM jsonb_array_elements(
                 coalesce((galley_holding_policy(of_environment)).settings #> '{approvals,freezes}', '[]')) "window"
         WHERE statement_timestamp() >= ("window" ->> 'from')::timestamptz
           AND statement_timestamp() < ("window" ->> 'to')::timestamptz);
    $$;
    """,
    """
    DROP FUNCTION galley_frozen(bigint);
    DROP FUNCTION galley_gates_pass(bigint, bigint, bigint);
    DROP FUNCTION galley_holding_policy(bigint);
    """,
)
# Each move that models_app.models.Release declares, and no other; and a release begins as a draft.
MOVES = """
    CREATE OR REPLACE FUNCTION galley_refuse_release_moves() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      given integer;
      needed integer;
      emergency boolean;
      first_of_all boolean;
    BEGIN
      IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'draft' THEN
          RAISE EXCEPTION 'a release begins as a draft, not as %', NEW.state USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END IF;
      IF (OLD.state, NEW.state) NOT IN (
        ('draft', 'evaluating'), ('draft', 'withdrawn'), ('draft', 'warming'),
        ('evaluating', 'blocked'), ('evaluating', 'needs evidence'), ('evaluating', 'awaiting approval'),
        ('evaluating', 'withdrawn'),
        ('blocked', 'evaluating'), ('blocked', 'withdrawn'),
        ('needs evidence', 'evaluating'), ('needs evidence', 'withdrawn'),
        ('awaiting approval', 'evaluating'), ('awaiting approval', 'changes requested'),
        ('awaiting approval', 'approved'), ('awaiting approval', 'rejected'), ('awaiting approval', 'expired'),
        ('awaiting approval', 'withdrawn'),
        ('changes requested', 'evaluating'), ('changes requested', 'expired'), ('changes requested', 'withdrawn'),
        ('approved', 'warming'), ('approved', 'awaiting approval'), ('approved', 'withdrawn'),
        ('warming', 'live'), ('warming', 'failed'), ('warming', 'rolled back'), ('warming', 'awaiting approval'),
        ('warming', 'approved'),
        ('live', 'superseded'), ('live', 'rolled back'),
        ('superseded', 'live'), ('superseded', 'rolled back')
      ) THEN
        RAISE EXCEPTION 'a release that is % does not become %', OLD.state, NEW.state USING ERRCODE = 'restrict_violation';
      END IF;
      IF OLD.state = 'superseded' AND NEW.state = 'live' THEN
        IF NOT EXISTS (SELECT FROM models_app_deployment WHERE release_id = NEW.id) THEN
          RAISE EXCEPTION 'a release that was never live is not gone back to' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END IF;
      -- what Galley installs by itself where nothing has been live: there is nothing to compare it with
      first_of_all := NEW.origin = 'initial' AND NEW.submitted_at IS NULL AND NEW.state <> 'approved'
        AND NOT EXISTS (SELECT FROM models_app_deployment WHERE environment_id = NEW.environment_id);
      IF first_of_all THEN
        RETURN NEW;
      END IF;
      IF (NEW.state = 'live' OR (OLD.state, NEW.state) IN
           (('evaluating', 'awaiting approval'), ('awaiting approval', 'approved')))
         AND NOT galley_gates_pass(NEW.id, NEW.comparison_id, NEW.environment_id) THEN
        RAISE EXCEPTION 'a release that no gates let pass does not become %', NEW.state
          USING ERRCODE = 'restrict_violation';
      END IF;
      IF OLD.state = 'awaiting approval' AND NEW.state = 'approved' AND OLD.decide_by < statement_timestamp() THEN
        RAISE EXCEPTION 'a release that was to be decided by % is not approved', OLD.decide_by
          USING ERRCODE = 'restrict_violation';
      END IF;
      IF NEW.state IN ('approved', 'warming', 'live') THEN
        SELECT count(DISTINCT approver_id) INTO given FROM models_app_approval
         WHERE release_id = NEW.id AND decision = 'approved' AND voided_at IS NULL
           AND evidence_digest = NEW.evidence_digest;
        emergency := EXISTS (
          SELECT FROM models_app_incident WHERE release_id = NEW.id AND evidence_digest = NEW.evidence_digest);
        SELECT CASE WHEN emergency THEN 1 ELSE approvals_required END INTO needed
          FROM models_app_environment WHERE id = NEW.environment_id;
        IF OLD.state = 'draft' OR given < needed THEN
          RAISE EXCEPTION 'a release that is % with % approvals does not become %', OLD.state, given, NEW.state
            USING ERRCODE = 'restrict_violation';
        END IF;
        IF NEW.state = 'live' AND NOT emergency AND galley_frozen(NEW.environment_id) THEN
          RAISE EXCEPTION 'nothing goes live in a freeze window' USING ERRCODE = 'restrict_violation';
        END IF;
      END IF;
      RETURN NEW;
    END $$;
"""
# What an environment asks for is what its policy says, which is a new version where it is changed.
AS_THE_POLICY_SAYS = (
    """
    CREATE FUNCTION galley_refuse_other_approvals() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      said integer;
    BEGIN
      said := coalesce(((galley_holding_policy(NEW.id)).settings #>> '{approvals,approvers}')::integer, 2);
      IF NEW.approvals_required <> said THEN
        RAISE EXCEPTION 'environment % asks for % approvals, as its policy says', NEW.name, said
          USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_environment_as_its_policy BEFORE UPDATE ON models_app_environment
      FOR EACH ROW WHEN (NEW.approvals_required IS DISTINCT FROM OLD.approvals_required)
      EXECUTE FUNCTION galley_refuse_other_approvals();
    """,
    "DROP FUNCTION galley_refuse_other_approvals() CASCADE;",
)
STATES = [
    ("draft", "Draft"), ("evaluating", "Evaluating"), ("blocked", "Blocked"), ("needs evidence", "Needs Evidence"),
    ("awaiting approval", "Awaiting"), ("changes requested", "Changes"), ("rejected", "Rejected"),
    ("expired", "Expired"), ("withdrawn", "Withdrawn"), ("approved", "Approved"), ("warming", "Warming"),
    ("live", "Live"), ("failed", "Failed"), ("superseded", "Superseded"), ("rolled back", "Rolled Back"),
]  # fmt: skip
FACTS = changed(
    "comparison_id", "evidence", "evidence_digest", "requested_by_id", "submitted_at", "requester_reason"
)
ON_ITS_WAY = "'draft', 'evaluating', 'blocked', 'needs evidence', 'awaiting approval', 'changes requested'"
# While it waits for a decision it is submitted anew or stays as it was.
DECIDED_ON = (
    f"(OLD.state NOT IN ({ON_ITS_WAY}) OR OLD.state = 'awaiting approval' AND NEW.state <> 'evaluating') AND ({FACTS})"
)
DECIDED_ON_BEFORE = f"OLD.state NOT IN ('draft', 'awaiting approval', 'changes requested') AND ({FACTS})"


def guarded_anew(forward: tuple[str, str], before: tuple[str, str]) -> migrations.RunSQL:
    return migrations.RunSQL(before[1] + forward[0], forward[1] + before[0])


class Migration(migrations.Migration):
    dependencies = [("models_app", "0010_release_states")]
    operations = [
        migrations.AlterField(
            model_name="release",
            name="state",
            field=models.CharField(choices=STATES, default="draft", max_length=20),
        ),
        migrations.RemoveConstraint(model_name="release", name="release_one_open_per_content"),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.UniqueConstraint(
                fields=["digest", "environment"],
                condition=Q(
                    state__in=[
                        "draft", "evaluating", "blocked", "needs evidence", "awaiting approval", "changes requested",
                        "approved", "warming",
                    ]
                ),
                name="release_one_open_per_content",
            ),
        ),
        migrations.AlterField(
            model_name="environment",
            name="approvals_required",
            field=models.PositiveSmallIntegerField(default=2),
        ),
        migrations.RunSQL("UPDATE models_app_environment SET approvals_required = 2", migrations.RunSQL.noop),
        migrations.RunSQL(*GATES),
        migrations.RunSQL(MOVES, migrations.RunSQL.noop),
        guarded_anew(
            immutable.refuse_update_where("models_app_release", "decided_on", DECIDED_ON),
            immutable.refuse_update_where("models_app_release", "decided_on", DECIDED_ON_BEFORE),
        ),
        migrations.RunSQL(*AS_THE_POLICY_SAYS),
    ]  # fmt: skip
