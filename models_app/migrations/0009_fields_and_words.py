"""What slices are cut by, and the words that ROUGE counts, are frozen with a test set."""

from django.db import migrations, models

from models_app.foundation import immutable


class Migration(migrations.Migration):
    dependencies = [("models_app", "0008_leakage")]

    operations = [
        migrations.AddField(
            model_name="evaluationexample",
            name="fields",
            field=models.JSONField(
                default=dict,
                help_text="what else slices are cut by: the document's language, origin, licence, group",
            ),
        ),
        migrations.AddField(
            model_name="evaluationset",
            name="words",
            field=models.CharField(
                choices=[("latin", "Latin"), ("unicode", "Unicode")],
                default="latin",
                help_text="what ROUGE counts on it: words of a–z and 0–9, or of any script",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="evaluationset",
            constraint=models.CheckConstraint(
                condition=models.Q(words__in=["latin", "unicode"]), name="evaluation_set_words"
            ),
        ),
        migrations.RunSQL(*immutable.refuse_update_of("models_app_evaluationset", "words")),
    ]
