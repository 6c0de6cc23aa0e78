"""The table that several web processes share as their cache (settings.CACHES). Nothing made it before."""

from django.apps.registry import Apps
from django.core.management import call_command
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def create(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    call_command("createcachetable", "galley_cache", database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):
    dependencies = [("models_app", "0011_doors_of_events")]
    operations = [
        migrations.RunPython(create, migrations.RunPython.noop),
    ]
