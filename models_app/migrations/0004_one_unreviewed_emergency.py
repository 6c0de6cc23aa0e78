"""No second release of an environment is put live in an emergency while nobody has reviewed the first."""

from django.db import migrations

# The route is locked as the application does: two incidents at once see each other.
FORWARD = """
    CREATE FUNCTION galley_refuse_second_emergency() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      place bigint := (SELECT environment_id FROM models_app_release WHERE id = NEW.release_id);
    BEGIN
      PERFORM 1 FROM models_app_route WHERE environment_id = place FOR UPDATE;
      IF EXISTS (
        SELECT FROM models_app_incident incident JOIN models_app_release release ON release.id = incident.release_id
         WHERE incident.reviewed_by_id IS NULL AND release.environment_id = place AND release.id <> NEW.release_id
           AND (release.state NOT IN ('rejected', 'expired', 'withdrawn', 'failed', 'rolled back')
                OR EXISTS (SELECT FROM models_app_deployment WHERE release_id = release.id))
      ) THEN
        RAISE EXCEPTION 'no second emergency before the first is reviewed' USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_incident_one_at_a_time BEFORE INSERT ON models_app_incident
      FOR EACH ROW EXECUTE FUNCTION galley_refuse_second_emergency();
"""
BACKWARD = "DROP FUNCTION galley_refuse_second_emergency() CASCADE;"


class Migration(migrations.Migration):
    dependencies = [("models_app", "0003_first_rows")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
