"""What the database itself refuses to everybody: docs/architecture.md lists it, tests/doors tries each line."""

from django.db import migrations

from models_app.foundation import immutable
from models_app.foundation.immutable import changed

# Written once: no row of these changes or goes.
APPEND_ONLY = [
    "auditevent",
    "comparison",
    "comparisonresult",
    "evaluationexample",
    "examplescore",
    "humanvote",
    "promptversion",
    "snapshotexample",
    "weightmatch",
    "weighttensor",
]
# Their rows go on, but never go.
KEPT = [
    "approval",
    "datasetsnapshot",
    "deployment",
    "evaluationrun",
    "evaluationset",
    "modelversion",
    "release",
    "trainingrun",
]
# A row that takes another's number takes all that refers to it: scores, comparisons, hands. Who opened which account
# while the work went on is counted from the time it began.
NUMBERED_ONCE = [table for table in KEPT if table not in ("approval", "deployment")]
# What stays as it was written, table by table.
FIXED = {
    "apitoken": ["digest", "user_id", "created_by_id", "service_account_id", "scopes"],
    "approval": ["release_id", "approver_id", "decision", "evidence_digest"],
    "datasetsnapshot": [
        "digest", "train_rows", "validation_rows", "selection", "curators", "created_by_id",
    ],
    "evaluationrun": ["release_id", "evaluation_set_id", "requested_by_id"],
    "evaluationset": ["digest", "rows", "selection", "created_by_id", "most_references"],
    "modelversion": [
        "digest", "artefact", "parent_id", "family", "engine", "precision", "manifest", "training_run_id",
        "created_by_id",
    ],
    "release": [
        "model_version_id", "prompt_version_id", "decoding", "digest", "environment_id", "origin",
        "created_by_id", "created_at",
    ],
    "serviceaccount": ["owner_id"],
    "trainingrun": [
        "snapshot_id", "base", "base_model_id", "prompt_version_id", "recipe", "recipe_digest", "seed",
        "requested_by_id",
    ],
}  # fmt: skip
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
    (
        "release", "decided_on",
        "OLD.state NOT IN ('draft', 'awaiting approval') AND ("
        + changed("comparison_id", "evidence", "evidence_digest", "requested_by_id", "submitted_at") + ")",
    ),
    # what was live may be live again, by a rollback
    ("release", "was_live", "NEW.state = 'superseded' AND OLD.state NOT IN ('live', 'superseded')"),
    ("modelversion", "fingerprinted_once", f"OLD.weights_digest <> '' AND ({changed('weights_digest')})"),
    ("prompt", "kind_fixed", changed("id", "kind")),
    # a token that is revoked stays so, and none lasts longer than it was made for
    (
        "apitoken", "never_longer",
        "(OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at) "
        "OR (OLD.expiry IS NOT NULL AND (NEW.expiry IS NULL OR NEW.expiry > OLD.expiry))",
    ),
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
# Each move that models_app.models.Release declares, and no other; and a release begins as a draft. Who put one live by
# two statements, of which each was in order, had no approval.
MOVES = (
    """
    CREATE FUNCTION galley_refuse_release_moves() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      given integer;
      needed integer;
      first_of_all boolean;
    BEGIN
      IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'draft' THEN
          RAISE EXCEPTION 'a release begins as a draft, not as %', NEW.state USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END IF;
      IF (OLD.state, NEW.state) NOT IN (
        ('draft', 'awaiting approval'), ('draft', 'withdrawn'), ('draft', 'warming'),
        ('awaiting approval', 'approved'), ('awaiting approval', 'rejected'), ('awaiting approval', 'withdrawn'),
        ('approved', 'warming'), ('approved', 'withdrawn'),
        ('warming', 'live'), ('warming', 'failed'), ('warming', 'rolled back'), ('warming', 'awaiting approval'),
        ('live', 'superseded'), ('live', 'rolled back'),
        ('superseded', 'live'), ('superseded', 'rolled back')
      ) THEN
        RAISE EXCEPTION 'a release that is % does not become %', OLD.state, NEW.state USING ERRCODE = 'restrict_violation';
      END IF;
      IF OLD.state = 'superseded' AND NEW.state = 'live' THEN
        IF NOT EXISTS (SELECT FROM models_app_deployment WHERE release_id = NEW.id) THEN
          RAISE EXCEPTION 'a release that was never live is not gone back to' USING ERRCODE = 'restrict_violation';
        END IF;
      ELSIF NEW.state IN ('approved', 'warming', 'live') THEN
        SELECT count(DISTINCT approver_id) INTO given FROM models_app_approval
         WHERE release_id = NEW.id AND decision = 'approved' AND voided_at IS NULL
           AND evidence_digest = NEW.evidence_digest;
        SELECT approvals_required INTO needed FROM models_app_environment WHERE id = NEW.environment_id;
        -- what Galley installs by itself where nothing has been live: there is nothing to compare it with
        first_of_all := NEW.origin = 'initial' AND NEW.submitted_at IS NULL AND NEW.state <> 'approved'
          AND NOT EXISTS (SELECT FROM models_app_deployment WHERE environment_id = NEW.environment_id);
        IF NOT first_of_all AND (OLD.state = 'draft' OR given < needed) THEN
          RAISE EXCEPTION 'a release that is % with % approvals does not become %', OLD.state, given, NEW.state
            USING ERRCODE = 'restrict_violation';
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
    MOVES,
    ROUTES,
    OWNER,
    ONE_SIGNATURE,
    ONE_ACCOUNT_A_NAME,
]


class Migration(migrations.Migration):
    dependencies = [
        ("models_app", "0001_tables"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [migrations.RunSQL(forward, backward) for forward, backward in GUARDS]
