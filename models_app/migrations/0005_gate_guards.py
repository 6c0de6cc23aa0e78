"""What the database itself refuses of policies, gate runs, their results and waivers; the first policy."""

import hashlib

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from models_app.foundation import immutable
from models_app.foundation.immutable import changed
from models_app.foundation.roles import create_roles

POLICY, RUN, RESULT, WAIVER = (f"models_app_{name}" for name in ("gatepolicy", "gaterun", "gateresult", "waiver"))
# Rows are added while their run goes on, and a run ends with the verdict that its rows give.
RESULTS_OF_RUNS = (
    f"""
    CREATE FUNCTION galley_refuse_gate_results() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM 1 FROM {RUN} WHERE id = NEW.run_id AND state = 'running';
      IF NOT FOUND THEN
        RAISE EXCEPTION 'a gate run that does not go on gets no result' USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER {RESULT}_of_running BEFORE INSERT ON {RESULT}
      FOR EACH ROW EXECUTE FUNCTION galley_refuse_gate_results();
    """,
    "DROP FUNCTION galley_refuse_gate_results() CASCADE;",
)
VERDICTS = (
    f"""
    CREATE FUNCTION galley_refuse_gate_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      rows integer;
      passed integer;
    BEGIN
      IF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION 'a gate run begins as queued, not as %', NEW.state USING ERRCODE = 'restrict_violation';
      END IF;
      SELECT count(*), count(*) FILTER (WHERE verdict = 'pass') INTO rows, passed FROM {RESULT} WHERE run_id = NEW.id;
      IF OLD.state <> 'running' OR (NEW.verdict = 'pass') <> (rows > 0 AND rows = passed) THEN
        RAISE EXCEPTION 'a gate run that is % with % of % results passed does not become % with verdict %',
          OLD.state, passed, rows, NEW.state, NEW.verdict USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER {RUN}_begins BEFORE INSERT ON {RUN} FOR EACH ROW WHEN (NEW.state <> 'queued')
      EXECUTE FUNCTION galley_refuse_gate_verdict();
    CREATE TRIGGER {RUN}_verdict BEFORE UPDATE ON {RUN}
      FOR EACH ROW WHEN (NEW.state = 'finished' AND OLD.state <> 'finished')
      EXECUTE FUNCTION galley_refuse_gate_verdict();
    """,
    "DROP FUNCTION galley_refuse_gate_verdict() CASCADE;",
)
GUARDS = [
    *(immutable.refuse_row_changes(table) for table in (POLICY, RESULT)),
    *(immutable.refuse_delete(table) for table in (RUN, WAIVER)),
    *(immutable.refuse_truncate(table) for table in (POLICY, RESULT, RUN, WAIVER)),
    immutable.refuse_update_where(
        RUN, "fixed",
        changed("id", "release_id", "comparison_id", "policy_id", "policy_digest", "requested_by_id", "created_at"),
    ),
    immutable.refuse_update_where(
        RUN, "ended_for_good",
        "OLD.state IN ('finished', 'failed') AND ("
        + changed("state", "verdict", "digest", "reason", "finished_at") + ")",
    ),
    immutable.refuse_update_where(
        WAIVER, "fixed",
        changed("id", "release_id", "gate", "name", "result_id", "result_digest", "reason", "asked_by_id", "asked_at",
                "expires_at"),
    ),
    immutable.refuse_update_where(
        WAIVER, "agreed_once",
        "(OLD.agreed_at IS NOT NULL OR OLD.ended_at IS NOT NULL) AND ("
        + changed("agreed_by_id", "agreed_at", "agreed_reason") + ")",
    ),
    immutable.refuse_update_where(
        WAIVER, "ended_once", "OLD.ended_at IS NOT NULL AND (" + changed("ended_by_id", "ended_at", "end_reason") + ")"
    ),
    RESULTS_OF_RUNS,
    VERDICTS,
]  # fmt: skip


def first_policies(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """As the code has it: a version without settings of its own."""
    policies = apps.get_model("models_app", "GatePolicy").objects
    for environment in apps.get_model("models_app", "Environment").objects.all():
        policies.create(
            environment=environment, number=1, settings={}, digest=hashlib.sha256(b"{}").hexdigest(),
            reason="It comes with Galley.",
        )  # fmt: skip


def roles(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    create_roles(apps)


class Migration(migrations.Migration):
    dependencies = [("models_app", "0004_gates")]
    operations = [
        *(migrations.RunSQL(forward, backward) for forward, backward in GUARDS),
        migrations.RunPython(first_policies, migrations.RunPython.noop),
        migrations.RunPython(roles, migrations.RunPython.noop),
    ]
