"""Web processes keep what they know of routes, slots and tokens (`serving/keeping.py`); the database tells them when it
is another, by whatever way it was changed."""

from django.conf import settings
from django.db import migrations

CHANNEL = "galley_known"
FUNCTION = f"""
CREATE FUNCTION galley_known_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('{CHANNEL}', '');
  RETURN NULL;
END $$;
"""
DROP_FUNCTION = "DROP FUNCTION galley_known_changed();"
# Columns whose values are known; when a token was used last, or a slot was heard of, changes all the time.
WATCHED = {
    "models_app_route": "",
    "models_app_slot": "state, address",
    "models_app_apitoken": "revoked_at, expiry, scopes, user_id",
    "auth_user": "is_active, is_superuser",
    "auth_user_groups": "",
    "auth_user_user_permissions": "",
    "auth_group_permissions": "",
}


def notify(table: str, columns: str) -> migrations.RunSQL:
    update = f"UPDATE OF {columns}" if columns else "UPDATE"
    return migrations.RunSQL(
        f"CREATE TRIGGER {table}_known AFTER INSERT OR {update} OR DELETE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION galley_known_changed();",
        f"DROP TRIGGER {table}_known ON {table};",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("models_app", "0005_request_rollups"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(FUNCTION, DROP_FUNCTION),
        *[notify(table, columns) for table, columns in WATCHED.items()],
    ]
