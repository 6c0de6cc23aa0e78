from django.apps.registry import Apps
from django.db import migrations, models


def say_what_was_edited(apps: Apps, schema_editor: object) -> None:
    apps.get_model("models_app", "ClientFeedback").objects.exclude(edited_summary="").update(edited=True)


class Migration(migrations.Migration):
    dependencies = [("models_app", "0009_cache_of_several_web_processes")]
    operations = [
        migrations.AddField(
            model_name="inferencerequest",
            name="summary_hash",
            field=models.CharField(
                blank=True, default="", help_text="keyed, of a summary that is not kept", max_length=64
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="inferencerequest",
            name="text",
            field=models.TextField(
                blank=True, help_text="empty where the setting says that texts are not kept"
            ),
        ),
        migrations.AlterField(
            model_name="inferencerequest",
            name="text_hash",
            field=models.CharField(help_text="keyed: `foundation.fingerprints`", max_length=64),
        ),
        migrations.AlterField(
            model_name="inferencerequest",
            name="summary",
            field=models.TextField(blank=True, help_text="empty where texts are not kept"),
        ),
        migrations.AddField(
            model_name="clientfeedback",
            name="edited",
            field=models.BooleanField(
                default=False, help_text="whether they wrote another one, kept or not"
            ),
        ),
        migrations.RunPython(say_what_was_edited, migrations.RunPython.noop),
    ]
