from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from reviews.seeds import seed, seed_rules


def seeds(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    seed(apps)
    seed_rules(apps)


class Migration(migrations.Migration):
    dependencies = [("reviews", "0002_guards"), ("models_app", "0003_first_rows")]
    operations = [migrations.RunPython(seeds, migrations.RunPython.noop)]
