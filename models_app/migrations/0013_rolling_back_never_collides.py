from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("models_app", "0007_confidence_of_requests")]
    operations = [
        migrations.RemoveConstraint("release", "release_one_open_per_content"),
        migrations.AddConstraint(
            "release",
            models.UniqueConstraint(
                fields=["digest", "environment"],
                condition=Q(state__in=["draft", "awaiting approval", "approved", "warming"]),
                name="release_one_open_per_content",
            ),
        ),
    ]
