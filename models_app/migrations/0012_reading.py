from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_app", "0011_gated_releases")]

    operations = [
        migrations.AddField(
            model_name="comparison",
            name="reading",
            field=models.JSONField(
                default=dict, help_text="worst, typical and best documents, and how all differences spread"
            ),
        ),
    ]
