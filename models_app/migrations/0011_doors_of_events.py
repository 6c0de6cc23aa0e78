from django.db import migrations, models
from django.db.models import Q

from models_app.foundation import doors

KINDS = ["page", "token", "command", "job", "galley", "program", "unrecorded"]


class Migration(migrations.Migration):
    """Events that are there already keep their hashes: their doors were not written down."""

    dependencies = [("models_app", "0016_signatures_and_margins")]
    operations = [
        migrations.AddField(
            model_name="auditevent",
            name="door",
            field=models.CharField(
                choices=[*doors.WORDS.items()],
                default="unrecorded",
                help_text="unrecorded: before doors were written down",
                max_length=10,
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="auditevent",
            name="door_which",
            field=models.CharField(
                blank=True,
                default="",
                help_text="which page, token, command, job, process or program",
                max_length=100,
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="auditevent",
            constraint=models.CheckConstraint(name="audit_door_known", condition=Q(door__in=KINDS)),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["door", "door_which", "-id"], name="audit_door"),
        ),
    ]
