from django.apps.registry import Apps
from django.core.management import call_command
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from models_app.foundation.roles import create_roles
from models_app.foundation.seeds import seed


def cache_of_several_web_processes(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    call_command("createcachetable", "galley_cache", database=schema_editor.connection.alias, verbosity=0)


def roles_and_seeds(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    create_roles(apps)
    seed(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("models_app", "0002_guards"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        migrations.RunPython(cache_of_several_web_processes, migrations.RunPython.noop),
        migrations.RunPython(roles_and_seeds, migrations.RunPython.noop),
    ]
