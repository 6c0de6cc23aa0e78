from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [("models_app", "0014_evidence_stays")]
    operations = [
        migrations.CreateModel(
            name="ServiceInterval",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("ready", "Ready"), ("not ready", "Not Ready"), ("stopped", "Stopped")],
                        max_length=10,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        blank=True, help_text="what /readyz said, or why it said nothing", max_length=300
                    ),
                ),
                ("began_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(seen_at__gte=F("began_at")), name="service_interval_order"
                    ),
                    models.CheckConstraint(
                        condition=Q(state__in=["ready", "not ready", "stopped"]),
                        name="service_interval_state",
                    ),
                ],
            },
        )
    ]
