from django.apps.registry import Apps
from django.db import migrations

from models_app.foundation import immutable
from models_app.foundation.roles import create_roles
from models_app.foundation.seeds import seed

GUARDS = [
    (immutable.FUNCTION, immutable.DROP_FUNCTION),
    immutable.refuse_row_changes("models_app_auditevent"),
    immutable.refuse_truncate("models_app_auditevent"),
    immutable.refuse_row_changes("models_app_promptversion"),
    immutable.refuse_row_changes("models_app_snapshotexample"),
    immutable.refuse_row_changes("models_app_evaluationexample"),
    immutable.refuse_update_of("models_app_datasetsnapshot", "digest", "train_rows", "validation_rows"),
    immutable.refuse_delete("models_app_datasetsnapshot"),
    immutable.refuse_update_of(
        "models_app_approval", "release_id", "approver_id", "decision", "evidence_digest"
    ),
    immutable.refuse_delete("models_app_approval"),
    immutable.refuse_update_of(
        "models_app_release", "model_version_id", "prompt_version_id", "decoding", "digest"
    ),
    immutable.refuse_update_of("models_app_modelversion", "digest", "artefact", "parent_id"),
]


def roles_and_seeds(apps: Apps, schema_editor: object) -> None:
    create_roles(apps)
    seed(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("models_app", "0001_initial"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [
        *[migrations.RunSQL(forward, backward) for forward, backward in GUARDS],
        migrations.RunPython(roles_and_seeds, migrations.RunPython.noop),
    ]
