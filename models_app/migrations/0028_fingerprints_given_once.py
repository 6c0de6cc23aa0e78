from django.db import migrations

from models_app.foundation import immutable
from models_app.foundation.immutable import changed

# What was registered before weights had fingerprints gets one afterwards, and nothing gets another.
NEVER, ALLOWED = immutable.refuse_update_of("models_app_modelversion", "weights_digest")


class Migration(migrations.Migration):
    dependencies = [("models_app", "0027_releases_move_as_declared")]
    operations = [
        migrations.RunSQL(ALLOWED, NEVER),
        migrations.RunSQL(
            *immutable.refuse_update_where(
                "models_app_modelversion",
                "fingerprinted_once",
                f"OLD.weights_digest <> '' AND ({changed('weights_digest')})",
            )
        ),
    ]
