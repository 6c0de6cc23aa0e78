from django.db import migrations, models

# Each move that models_app.models.Release declares, and no other; and a release begins as a draft. Who put one live by
# two statements, of which each was in order, had no approval.
MOVES = """
CREATE OR REPLACE FUNCTION galley_refuse_release_moves() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""
# The function stays: what it said before let both statements through.
NO_BEGINNING = """
DROP TRIGGER IF EXISTS models_app_release_begins ON models_app_release;
"""


class Migration(migrations.Migration):
    dependencies = [("models_app", "0026_one_account_a_name")]
    operations = [
        migrations.AddConstraint(
            "environment",
            models.CheckConstraint(
                condition=models.Q(approvals_required__gte=1), name="environment_asks_for_an_approval"
            ),
        ),
        migrations.RunSQL(MOVES, NO_BEGINNING),
    ]
