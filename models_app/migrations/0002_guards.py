"""What the database itself refuses to everybody: docs/architecture.md lists it, tests/doors tries each line."""

from django.db import migrations

from models_app.foundation import immutable
from models_app.foundation.immutable import changed

# Written once: no row of these changes or goes.
APPEND_ONLY = [
    "auditevent",
    "caseresult",
    "casesetversion",
    "caseversion",
    "cleancomparison",
    "comparison",
    "comparisonresult",
    "declaredtraining",
    "evaluationexample",
    "examplescore",
    "fingerprintset",
    "fuselift",
    "gatepolicy",
    "gateresult",
    "humanvote",
    "leakagecheck",
    "leakagefinding",
    "promptversion",
    "publicoccurrence",
    "releasecomment",
    "rolloutlook",
    "snapshotexample",
    "textfingerprint",
    "webhookattempt",
    "weightmatch",
    "weighttensor",
]
# Their rows go on, but never go.
KEPT = [
    "approval",
    "caserun",
    "caseset",
    "datasetsnapshot",
    "deployment",
    "evaluationrun",
    "evaluationset",
    "gaterun",
    "incident",
    "modelversion",
    "release",
    "rollout",
    "trainingrun",
    "waiver",
    "webhookdelivery",
    "webhookendpoint",
]
# A row that takes another's number takes all that refers to it: scores, comparisons, hands. Who opened which account
# while the work went on is counted from the time it began.
NUMBERED_ONCE = ["datasetsnapshot", "evaluationrun", "evaluationset", "modelversion", "release", "trainingrun"]
# What stays as it was written, table by table.
FIXED = {
    "apitoken": ["digest", "user_id", "created_by_id", "service_account_id", "scopes"],
    "approval": ["release_id", "approver_id", "decision", "evidence_digest"],
    "datasetsnapshot": [
        "digest", "train_rows", "validation_rows", "selection", "curators", "created_by_id",
    ],
    "evaluationrun": ["release_id", "evaluation_set_id", "requested_by_id"],
    "evaluationset": ["digest", "rows", "selection", "created_by_id", "most_references", "words"],
    "modelversion": [
        "digest", "artefact", "parent_id", "family", "engine", "precision", "manifest", "training_run_id",
        "created_by_id",
    ],
    "release": [
        "model_version_id", "prompt_version_id", "decoding", "digest", "environment_id", "origin",
        "created_by_id", "created_at",
    ],
    "rollout": ["id", "environment_id", "release_id", "beside_id", "policy_id", "began_at"],
    "serviceaccount": ["owner_id"],
    "trainingrun": [
        "snapshot_id", "base", "base_model_id", "prompt_version_id", "recipe", "recipe_digest", "seed",
        "requested_by_id",
    ],
}  # fmt: skip
ON_ITS_WAY = "'draft', 'evaluating', 'blocked', 'needs evidence', 'awaiting approval', 'changes requested'"
# (table, name, condition): what an UPDATE may not do.
NEVER = [
    (
        "deployment", "closes_once",
        "OLD.live_to IS NOT NULL OR NEW.live_to IS NULL OR "
        + changed("id", "environment_id", "release_id", "live_from", "started_by_id"),
    ),
    (
        "approval", "voided_once",
        "OLD.voided_at IS NOT NULL OR NEW.voided_at IS NULL OR "
        + changed("id", "release_id", "approver_id", "decision", "reason", "evidence_digest", "at"),
    ),
    (
        "evaluationrun", "succeeded_for_good",
        f"OLD.state = 'succeeded' AND ({changed('state', 'signature', 'means', 'finished_at')})",
    ),
    ("trainingrun", "succeeded_for_good", "OLD.state = 'succeeded' AND NEW.state <> 'succeeded'"),
    # while it waits for a decision it is submitted once more or stays as it was
    (
        "release", "decided_on",
        f"(OLD.state NOT IN ({ON_ITS_WAY}) OR OLD.state = 'awaiting approval' AND NEW.state <> 'evaluating') AND ("
        + changed(
            "comparison_id", "evidence", "evidence_digest", "requested_by_id", "submitted_at", "requester_reason"
        )
        + ")",
    ),
    # what was live may be live again, by a rollback
    ("release", "was_live", "NEW.state = 'superseded' AND OLD.state NOT IN ('live', 'superseded')"),
    ("rollout", "ended_for_good", "OLD.ended_at IS NOT NULL"),
    ("modelversion", "fingerprinted_once", f"OLD.weights_digest <> '' AND ({changed('weights_digest')})"),
    ("prompt", "kind_fixed", changed("id", "kind")),
    # a token that is revoked stays so, and none lasts longer than it was made for
    (
        "apitoken", "never_longer",
        "(OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at) "
        "OR (OLD.expiry IS NOT NULL AND (NEW.expiry IS NULL OR NEW.expiry > OLD.expiry))",
    ),
    (
        "gaterun", "fixed",
        changed("id", "release_id", "comparison_id", "policy_id", "policy_digest", "requested_by_id", "created_at"),
    ),
    (
        "gaterun", "ended_for_good",
        "OLD.state IN ('finished', 'failed') AND ("
        + changed("state", "verdict", "digest", "reason", "finished_at") + ")",
    ),
    (
        "waiver", "fixed",
        changed("id", "release_id", "gate", "name", "result_id", "result_digest", "reason", "asked_by_id", "asked_at",
                "expires_at"),
    ),
    (
        "waiver", "agreed_once",
        "(OLD.agreed_at IS NOT NULL OR OLD.ended_at IS NOT NULL) AND ("
        + changed("agreed_by_id", "agreed_at", "agreed_reason") + ")",
    ),
    (
        "waiver", "ended_once",
        "OLD.ended_at IS NOT NULL AND (" + changed("ended_by_id", "ended_at", "end_reason") + ")",
    ),
    (
        "incident", "reviewed_once",
        "OLD.reviewed_by_id IS NOT NULL OR NEW.reviewed_by_id IS NULL OR "
        + changed("id", "release_id", "opened_by_id", "opened_at", "reason", "evidence_digest", "skipped"),
    ),
    ("caseset", "named_once", changed("id", "name", "created_by_id", "created_at")),
    (
        "caserun", "finishes_once",
        "OLD.finished_at IS NOT NULL OR NEW.finished_at IS NULL OR "
        + changed("id", "release_id", "set_version_id", "signature", "started_at"),
    ),
    (
        "webhookdelivery", "as_it_was_made",
        changed("id", "endpoint_id", "key", "event", "audit_event_id", "replay_of_id", "asked_by_id", "body", "made_at"),
    ),
    ("webhookdelivery", "ends_once", "OLD.state <> 'waiting'"),
    ("webhookendpoint", "made_once", changed("id", "made_by_id", "made_at")),
]  # fmt: skip
METRICS = (
    """
    CREATE FUNCTION galley_refuse_metrics_of_the_past() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE state text;
    BEGIN
      SELECT run.state INTO state FROM models_app_trainingrun run
       WHERE run.id = CASE WHEN TG_OP = 'DELETE' THEN OLD.run_id ELSE NEW.run_id END;
      IF TG_OP = 'DELETE' OR state = 'succeeded' OR (TG_OP = 'UPDATE' AND NEW.run_id <> OLD.run_id) THEN
        RAISE EXCEPTION 'the metrics of a training are kept: % is refused', TG_OP
          USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_trainingmetric_kept BEFORE INSERT OR UPDATE OR DELETE ON models_app_trainingmetric
      FOR EACH ROW EXECUTE FUNCTION galley_refuse_metrics_of_the_past();
    """,
    "DROP FUNCTION galley_refuse_metrics_of_the_past() CASCADE;",
)
# Rows are added while their run goes on, and a run ends with the verdict that its rows give.
GATE_RESULTS = (
    """
    CREATE FUNCTION galley_refuse_gate_results() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM 1 FROM models_app_gaterun WHERE id = NEW.run_id AND state = 'running';
      IF NOT FOUND THEN
        RAISE EXCEPTION 'a gate run that does not go on gets no result' USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_gateresult_of_running BEFORE INSERT ON models_app_gateresult
      FOR EACH ROW EXECUTE FUNCTION galley_refuse_gate_results();
    """,
    "DROP FUNCTION galley_refuse_gate_results() CASCADE;",
)
GATE_VERDICTS = (
    """
    CREATE FUNCTION galley_refuse_gate_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      rows integer;
      passed integer;
    BEGIN
      IF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION 'a gate run begins as queued, not as %', NEW.state USING ERRCODE = 'restrict_violation';
      END IF;
      SELECT count(*), count(*) FILTER (WHERE verdict = 'pass') INTO rows, passed
        FROM models_app_gateresult WHERE run_id = NEW.id;
      IF OLD.state <> 'running' OR (NEW.verdict = 'pass') <> (rows > 0 AND rows = passed) THEN
        RAISE EXCEPTION 'a gate run that is % with % of % results passed does not become % with verdict %',
          OLD.state, passed, rows, NEW.state, NEW.verdict USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_gaterun_begins BEFORE INSERT ON models_app_gaterun
      FOR EACH ROW WHEN (NEW.state <> 'queued') EXECUTE FUNCTION galley_refuse_gate_verdict();
    CREATE TRIGGER models_app_gaterun_verdict BEFORE UPDATE ON models_app_gaterun
      FOR EACH ROW WHEN (NEW.state = 'finished' AND OLD.state <> 'finished')
      EXECUTE FUNCTION galley_refuse_gate_verdict();
    """,
    "DROP FUNCTION galley_refuse_gate_verdict() CASCADE;",
)
# Gates let a release pass where of its newest run, on the comparison that it was submitted with and by the policy that
# holds, every result passes or a waiver in force, of the same finding and allowed by that policy, covers it. That nothing
# was rewritten Galley itself looks at.
GATES = (
    """
    CREATE FUNCTION galley_holding_policy(of_environment bigint) RETURNS models_app_gatepolicy LANGUAGE sql STABLE AS $$
      SELECT * FROM models_app_gatepolicy WHERE environment_id = of_environment ORDER BY number DESC LIMIT 1;
    $$;
    CREATE FUNCTION galley_same_finding(one models_app_gateresult, other models_app_gateresult)
    RETURNS boolean LANGUAGE sql STABLE AS $$
      -- as `gates.waivers.digest_of_result` has it
      SELECT (one.gate, one.name, one.verdict, one.need) = (other.gate, other.name, other.verdict, other.need)
         AND one.n IS NOT DISTINCT FROM other.n
         AND to_char(one.estimate, '9.99999999EEEE') IS NOT DISTINCT FROM to_char(other.estimate, '9.99999999EEEE')
         AND to_char(one.low, '9.99999999EEEE') IS NOT DISTINCT FROM to_char(other.low, '9.99999999EEEE')
         AND to_char(one.high, '9.99999999EEEE') IS NOT DISTINCT FROM to_char(other.high, '9.99999999EEEE')
         AND to_char(one.threshold, '9.99999999EEEE') IS NOT DISTINCT FROM to_char(other.threshold, '9.99999999EEEE');
    $$;
    CREATE FUNCTION galley_may_be_waived(result models_app_gateresult, policy jsonb)
    RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
      -- what the policy does not say is as the code has it: every gate that may be waived at all, no failures
      SELECT (result.verdict = 'inconclusive'
              OR result.verdict = 'fail' AND coalesce((policy #>> '{waivers,failures}')::boolean, false))
         AND coalesce(policy #> '{waivers,allowed}' ? result.gate, true);
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
                    NOT galley_may_be_waived(result, policy.settings) OR NOT EXISTS (
                      SELECT FROM models_app_waiver waiver
                        JOIN models_app_gateresult found ON found.id = waiver.result_id
                        JOIN models_app_gaterun found_by ON found_by.id = found.run_id
                        JOIN models_app_gatepolicy asked ON asked.id = found_by.policy_id
                       WHERE waiver.release_id = of_release AND galley_same_finding(found, result)
                         AND coalesce(asked.settings -> result.gate, policy.settings -> result.gate)
                             IS NOT DISTINCT FROM coalesce(policy.settings -> result.gate, asked.settings -> result.gate)
                         AND waiver.agreed_at IS NOT NULL AND waiver.ended_at IS NULL
                         AND waiver.expires_at > statement_timestamp())))
          FROM models_app_gaterun run JOIN models_app_gatepolicy policy ON policy.id = run.policy_id
         WHERE run.release_id = of_release ORDER BY run.id DESC LIMIT 1
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
    DROP FUNCTION galley_may_be_waived(models_app_gateresult, jsonb);
    DROP FUNCTION galley_same_finding(models_app_gateresult, models_app_gateresult);
    DROP FUNCTION galley_holding_policy(bigint);
    """,
)
# A waiver is asked for before anybody agrees to it, of what gates found of its own release.
WAIVERS = (
    """
    CREATE FUNCTION galley_refuse_waiver() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        IF EXISTS (SELECT FROM models_app_release
                    WHERE id = NEW.release_id AND NEW.agreed_by_id IN (created_by_id, requested_by_id)) THEN
          RAISE EXCEPTION 'nobody agrees to a waiver for release %, which is their own', NEW.release_id
            USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END IF;
      IF NEW.agreed_at IS NOT NULL OR NEW.ended_at IS NOT NULL
         OR NEW.asked_at > statement_timestamp() + interval '1 hour' THEN
        RAISE EXCEPTION 'a waiver begins now, and nobody has agreed to it' USING ERRCODE = 'restrict_violation';
      END IF;
      PERFORM 1 FROM models_app_gateresult result JOIN models_app_gaterun run ON run.id = result.run_id
        WHERE result.id = NEW.result_id AND (result.gate, result.name) = (NEW.gate, NEW.name)
          AND result.verdict IN ('inconclusive', 'fail') AND run.release_id = NEW.release_id AND run.state = 'finished';
      IF NOT FOUND THEN
        RAISE EXCEPTION 'gates have not found of release % what the waiver is for', NEW.release_id
          USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_waiver_asked_for BEFORE INSERT ON models_app_waiver
      FOR EACH ROW EXECUTE FUNCTION galley_refuse_waiver();
    CREATE TRIGGER models_app_waiver_agreed_by_another BEFORE UPDATE ON models_app_waiver
      FOR EACH ROW WHEN (NEW.agreed_by_id IS DISTINCT FROM OLD.agreed_by_id) EXECUTE FUNCTION galley_refuse_waiver();
    """,
    "DROP FUNCTION galley_refuse_waiver() CASCADE;",
)
# Each move that models_app.models.Release declares, and no other; and a release begins as a draft. Who put one live by
# two statements, of which each was in order, had no approval.
MOVES = (
    """
    CREATE FUNCTION galley_refuse_release_moves() RETURNS trigger LANGUAGE plpgsql AS $$
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
        ('warming', 'approved'), ('warming', 'canary'),
        ('canary', 'held'), ('canary', 'baking'), ('canary', 'rolled back'), ('canary', 'awaiting approval'),
        ('held', 'canary'), ('held', 'baking'), ('held', 'rolled back'), ('held', 'awaiting approval'),
        ('baking', 'live'), ('baking', 'held'), ('baking', 'rolled back'), ('baking', 'awaiting approval'),
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
      IF (NEW.state IN ('canary', 'baking', 'live') OR (OLD.state, NEW.state) IN
           (('evaluating', 'awaiting approval'), ('awaiting approval', 'approved')))
         AND NOT galley_gates_pass(NEW.id, NEW.comparison_id, NEW.environment_id) THEN
        RAISE EXCEPTION 'a release that no gates let pass does not become %', NEW.state
          USING ERRCODE = 'restrict_violation';
      END IF;
      IF OLD.state = 'awaiting approval' AND NEW.state = 'approved' AND OLD.decide_by < statement_timestamp() THEN
        RAISE EXCEPTION 'a release that was to be decided by % is not approved', OLD.decide_by
          USING ERRCODE = 'restrict_violation';
      END IF;
      IF NEW.state IN ('approved', 'warming', 'canary', 'baking', 'live') THEN
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
        IF (NEW.state = 'live' OR OLD.state = 'warming' AND NEW.state = 'canary') AND NOT emergency AND galley_frozen(NEW.environment_id) THEN
          RAISE EXCEPTION 'nothing goes live in a freeze window' USING ERRCODE = 'restrict_violation';
        END IF;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_release_begins BEFORE INSERT ON models_app_release
      FOR EACH ROW EXECUTE FUNCTION galley_refuse_release_moves();
    CREATE TRIGGER models_app_release_moves BEFORE UPDATE ON models_app_release
      FOR EACH ROW WHEN (NEW.state IS DISTINCT FROM OLD.state) EXECUTE FUNCTION galley_refuse_release_moves();
    """,
    "DROP FUNCTION galley_refuse_release_moves() CASCADE;",
)
# Nobody decides on what they composed or asked for.
OWN_WORK = (
    """
    CREATE FUNCTION galley_refuse_own_approval() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF EXISTS (SELECT FROM models_app_release
                  WHERE id = NEW.release_id AND NEW.approver_id IN (created_by_id, requested_by_id)) THEN
        RAISE EXCEPTION 'nobody decides on release %, which is their own', NEW.release_id
          USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_approval_of_others BEFORE INSERT ON models_app_approval
      FOR EACH ROW EXECUTE FUNCTION galley_refuse_own_approval();
    """,
    "DROP FUNCTION galley_refuse_own_approval() CASCADE;",
)
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
ROUTES = (
    """
    CREATE FUNCTION galley_refuse_route() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM 1 FROM models_app_release
        WHERE id = NEW.release_id AND state = 'live' AND environment_id = NEW.environment_id;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'a route leads to the live release of its environment, not to release %', NEW.release_id
          USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_route_to_live BEFORE INSERT OR UPDATE OF release_id, environment_id ON models_app_route
      FOR EACH ROW WHEN (NEW.release_id IS NOT NULL) EXECUTE FUNCTION galley_refuse_route();
    """,
    "DROP FUNCTION galley_refuse_route() CASCADE;",
)
# A finished run of cases has its results: none comes to it later.
CASE_RESULTS = (
    """
    CREATE FUNCTION galley_refuse_results_of_the_past() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM 1 FROM models_app_caserun WHERE id = NEW.run_id AND finished_at IS NOT NULL;
      IF FOUND THEN
        RAISE EXCEPTION 'the results of a finished run are all there: % is refused', TG_OP
          USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_caseresult_of_open_run BEFORE INSERT ON models_app_caseresult
      FOR EACH ROW EXECUTE FUNCTION galley_refuse_results_of_the_past();
    """,
    "DROP FUNCTION galley_refuse_results_of_the_past() CASCADE;",
)
# A share of the requests goes to what was approved and is rolling out, to nothing else.
CANARIES = (
    """
    CREATE FUNCTION galley_refuse_canary() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM 1 FROM models_app_release
        WHERE id = NEW.canary_id AND state IN ('canary', 'held', 'baking') AND environment_id = NEW.environment_id;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'a canary is a release that is rolling out in its environment, not release %', NEW.canary_id
          USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_route_to_canary BEFORE INSERT OR UPDATE OF canary_id, canary_weight, environment_id
      ON models_app_route
      FOR EACH ROW WHEN (NEW.canary_id IS NOT NULL) EXECUTE FUNCTION galley_refuse_canary();
    """,
    "DROP FUNCTION galley_refuse_canary() CASCADE;",
)
# A token of a service account acts in its owner's name, in no other's.
OWNER = (
    """
    ALTER TABLE models_app_serviceaccount ADD CONSTRAINT service_account_owner UNIQUE (id, owner_id);
    ALTER TABLE models_app_apitoken ADD CONSTRAINT token_of_the_owners_account
      FOREIGN KEY (service_account_id, user_id) REFERENCES models_app_serviceaccount (id, owner_id);
    """,
    """
    ALTER TABLE models_app_apitoken DROP CONSTRAINT token_of_the_owners_account;
    ALTER TABLE models_app_serviceaccount DROP CONSTRAINT service_account_owner;
    """,
)
# No run has scores of two signatures, and a run that has scores keeps its signature.
ONE_SIGNATURE = (
    """
    ALTER TABLE models_app_examplescore ADD CONSTRAINT score_has_signature_of_run
      FOREIGN KEY (run_id, signature) REFERENCES models_app_evaluationrun (id, signature) DEFERRABLE;
    """,
    "ALTER TABLE models_app_examplescore DROP CONSTRAINT score_has_signature_of_run;",
)
# The table is Django's own, so that no model of ours can say this.
ONE_ACCOUNT_A_NAME = (
    "CREATE UNIQUE INDEX one_account_a_name ON auth_user (lower(username));",
    "DROP INDEX one_account_a_name;",
)


def table(name: str) -> str:
    return f"models_app_{name}"


GUARDS = [
    (immutable.FUNCTION, immutable.DROP_FUNCTION),
    *(immutable.refuse_row_changes(table(name)) for name in APPEND_ONLY),
    *(immutable.refuse_delete(table(name)) for name in KEPT),
    *(immutable.refuse_truncate(table(name)) for name in [*APPEND_ONLY, *KEPT, "trainingmetric"]),
    *(immutable.refuse_update_where(table(name), "numbered_once", changed("id", "created_at")) for name in NUMBERED_ONCE),
    *(immutable.refuse_update_of(table(name), *columns) for name, columns in FIXED.items()),
    *(immutable.refuse_update_where(table(name), what, condition) for name, what, condition in NEVER),
    METRICS,
    GATE_RESULTS,
    GATE_VERDICTS,
    GATES,
    WAIVERS,
    MOVES,
    OWN_WORK,
    AS_THE_POLICY_SAYS,
    ROUTES,
    CANARIES,
    CASE_RESULTS,
    OWNER,
    ONE_SIGNATURE,
    ONE_ACCOUNT_A_NAME,
]


class Migration(migrations.Migration):
    dependencies = [("models_app", "0001_tables")]
    operations = [
        migrations.RunSQL([forward for forward, _ in GUARDS], [backward for _, backward in reversed(GUARDS)])
    ]
