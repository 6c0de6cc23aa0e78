from django.db import migrations

from models_app.foundation import immutable
from models_app.foundation.immutable import changed

# A row that takes another's number takes all that refers to it: scores, comparisons, hands. Who opened which account
# while the work went on is counted from the time it began.
KEPT = ("datasetsnapshot", "evaluationrun", "evaluationset", "modelversion", "release", "trainingrun")
ROUTES = """
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
"""
NO_ROUTES = """
DROP TRIGGER IF EXISTS models_app_route_to_live ON models_app_route;
DROP FUNCTION IF EXISTS galley_refuse_route();
"""
GUARDS = [
    *(
        immutable.refuse_update_where(f"models_app_{table}", "numbered_once", changed("id", "created_at"))
        for table in KEPT
    ),
    immutable.refuse_update_where("models_app_prompt", "kind_fixed", changed("id", "kind")),
    # what was live may be live again, by a rollback
    immutable.refuse_update_where(
        "models_app_release", "was_live", "NEW.state = 'superseded' AND OLD.state NOT IN ('live', 'superseded')"
    ),
    (ROUTES, NO_ROUTES),
]


class Migration(migrations.Migration):
    dependencies = [("models_app", "0022_references")]
    operations = [migrations.RunSQL(forward, backward) for forward, backward in GUARDS]
