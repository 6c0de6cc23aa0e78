from django.apps.registry import Apps
from django.db import migrations

from models_app.foundation import immutable
from reviews.seeds import seed

GUARDS = [
    immutable.refuse_update_of("reviews_sourcedocument", "split", "text", "content_hash"),
    immutable.refuse_update_of("reviews_summary", "text", "document_id"),
    immutable.refuse_row_changes("reviews_reviewrevision"),
    immutable.refuse_row_changes("reviews_criterion"),
]


def seeds(apps: Apps, schema_editor: object) -> None:
    seed(apps)


class Migration(migrations.Migration):
    dependencies = [("reviews", "0001_initial"), ("models_app", "0002_guards_and_seeds")]
    operations = [
        *[migrations.RunSQL(forward, backward) for forward, backward in GUARDS],
        migrations.RunPython(seeds, migrations.RunPython.noop),
    ]
