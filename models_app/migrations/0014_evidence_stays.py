import django.db.models.deletion
from django.db import migrations, models

from models_app.foundation import immutable
from models_app.foundation.immutable import changed

METRICS = """
CREATE OR REPLACE FUNCTION galley_refuse_metrics_of_the_past() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE state text;
BEGIN
  SELECT run.state INTO state FROM models_app_trainingrun run
   WHERE run.id = CASE WHEN TG_OP = 'DELETE' THEN OLD.run_id ELSE NEW.run_id END;
  IF TG_OP = 'DELETE' OR state = 'succeeded' OR (TG_OP = 'UPDATE' AND NEW.run_id <> OLD.run_id) THEN
    RAISE EXCEPTION 'the metrics of a training are kept: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER models_app_trainingmetric_kept BEFORE INSERT OR UPDATE OR DELETE ON models_app_trainingmetric
  FOR EACH ROW EXECUTE FUNCTION galley_refuse_metrics_of_the_past();
"""
NO_METRICS = """
DROP TRIGGER IF EXISTS models_app_trainingmetric_kept ON models_app_trainingmetric;
DROP FUNCTION IF EXISTS galley_refuse_metrics_of_the_past();
"""
# What a release was decided on and who decided says whether it may become approved; which way it came, whether it may
# become live. `releases/standing.py` asks more: who may still approve, and what the rows say.
STATES = """
CREATE OR REPLACE FUNCTION galley_refuse_release_moves() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE given integer;
BEGIN
  IF NEW.state = 'live' AND OLD.state NOT IN ('warming', 'superseded') THEN
    RAISE EXCEPTION 'a release that is % does not become live', OLD.state USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.state = 'approved' THEN
    SELECT count(DISTINCT approver_id) INTO given FROM models_app_approval
     WHERE release_id = NEW.id AND decision = 'approved' AND voided_at IS NULL
       AND evidence_digest = NEW.evidence_digest;
    IF OLD.state <> 'awaiting approval'
       OR given < (SELECT approvals_required FROM models_app_environment WHERE id = NEW.environment_id) THEN
      RAISE EXCEPTION 'a release that is % with % approvals does not become approved', OLD.state, given
        USING ERRCODE = 'restrict_violation';
    END IF;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER models_app_release_moves BEFORE UPDATE ON models_app_release
  FOR EACH ROW WHEN (NEW.state IS DISTINCT FROM OLD.state) EXECUTE FUNCTION galley_refuse_release_moves();
"""
NO_STATES = """
DROP TRIGGER IF EXISTS models_app_release_moves ON models_app_release;
DROP FUNCTION IF EXISTS galley_refuse_release_moves();
"""
TABLES = ["approval", "comparison", "comparisonresult", "datasetsnapshot", "deployment", "evaluationexample", "evaluationrun", "evaluationset", "examplescore", "modelversion", "promptversion", "release", "snapshotexample", "trainingmetric", "trainingrun"]  # fmt: skip
GUARDS = [
    *(immutable.refuse_truncate(f"models_app_{table}") for table in TABLES),
    *(
        immutable.refuse_row_changes(f"models_app_{table}")
        for table in ("examplescore", "comparison", "comparisonresult")
    ),
    *(
        immutable.refuse_delete(f"models_app_{table}")
        for table in ("deployment", "evaluationrun", "evaluationset", "modelversion", "release", "trainingrun")
    ),
    immutable.refuse_update_where(
        "models_app_deployment", "closes_once",
        "OLD.live_to IS NOT NULL OR NEW.live_to IS NULL OR "
        + changed("id", "environment_id", "release_id", "live_from", "started_by_id"),
    ),
    immutable.refuse_update_where(
        "models_app_approval", "voided_once",
        "OLD.voided_at IS NOT NULL OR NEW.voided_at IS NULL OR "
        + changed("id", "release_id", "approver_id", "decision", "reason", "evidence_digest", "at"),
    ),
    immutable.refuse_update_of("models_app_evaluationset", "digest", "rows", "selection", "created_by_id"),
    immutable.refuse_update_of("models_app_datasetsnapshot", "selection", "curators", "created_by_id"),
    immutable.refuse_update_of("models_app_evaluationrun", "release_id", "evaluation_set_id", "requested_by_id"),
    immutable.refuse_update_where(
        "models_app_evaluationrun", "succeeded_for_good",
        f"OLD.state = 'succeeded' AND ({changed('state', 'signature', 'means', 'finished_at')})",
    ),
    immutable.refuse_update_of(
        "models_app_trainingrun", "snapshot_id", "base", "base_model_id", "prompt_version_id", "recipe",
        "recipe_digest", "seed", "requested_by_id",
    ),
    immutable.refuse_update_where(
        "models_app_trainingrun", "succeeded_for_good", "OLD.state = 'succeeded' AND NEW.state <> 'succeeded'"
    ),
    immutable.refuse_update_of(
        "models_app_modelversion", "family", "engine", "precision", "manifest", "training_run_id", "created_by_id",
    ),
    immutable.refuse_update_of("models_app_release", "environment_id", "origin", "created_by_id", "created_at"),
    immutable.refuse_update_where(
        "models_app_release", "decided_on",
        "OLD.state NOT IN ('draft', 'awaiting approval') AND ("
        + changed("comparison_id", "evidence", "evidence_digest", "requested_by_id", "submitted_at") + ")",
    ),
    (METRICS, NO_METRICS),
    (STATES, NO_STATES),
]  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("models_app", "0012_texts_that_are_not_kept")]
    operations = [
        migrations.AddField("approval", "void_reason", models.TextField(blank=True, default=""), preserve_default=False),
        migrations.AlterField(
            "examplescore",
            "run",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="scores",
                to="models_app.evaluationrun",
            ),
        ),
        migrations.AlterField(
            "comparisonresult",
            "comparison",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="results", to="models_app.comparison"
            ),
        ),
        migrations.AlterField(
            "trainingmetric",
            "run",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="metrics",
                to="models_app.trainingrun",
            ),
        ),
        *[migrations.RunSQL(forward, backward) for forward, backward in GUARDS],
    ]
