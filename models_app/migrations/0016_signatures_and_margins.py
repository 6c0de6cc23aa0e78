from django.db import migrations, models
from django.db.models import Q

# The triggers that keep rows as they are would refuse to fill the new columns.
FILL = """
ALTER TABLE models_app_examplescore DISABLE TRIGGER USER;
UPDATE models_app_examplescore AS score SET signature = run.signature
  FROM models_app_evaluationrun AS run WHERE run.id = score.run_id;
ALTER TABLE models_app_examplescore ENABLE TRIGGER USER;
ALTER TABLE models_app_comparisonresult DISABLE TRIGGER USER;
UPDATE models_app_comparisonresult SET margin = CASE
    WHEN metric IN ('rouge1', 'rouge2', 'rougeL', 'rougeLsum', 'repetition') THEN 1.0
    WHEN metric IN ('unsupported_numbers', 'unsupported_names') THEN 0.05
    ELSE 0 END;
ALTER TABLE models_app_comparisonresult ENABLE TRIGGER USER;
"""
# No run has scores of two signatures, and a run that has scores keeps its signature.
ONE_SIGNATURE = """
ALTER TABLE models_app_examplescore ADD CONSTRAINT score_has_signature_of_run
  FOREIGN KEY (run_id, signature) REFERENCES models_app_evaluationrun (id, signature) DEFERRABLE;
"""
ANY_SIGNATURE = "ALTER TABLE models_app_examplescore DROP CONSTRAINT score_has_signature_of_run;"


class Migration(migrations.Migration):
    dependencies = [("models_app", "0019_votes")]
    operations = [
        migrations.AddField(
            model_name="comparisonresult",
            name="margin",
            field=models.FloatField(default=0, help_text="a smaller loss than this counts as not worse"),
        ),
        migrations.AddField(
            model_name="examplescore",
            name="signature",
            field=models.CharField(
                default="", help_text="what computed these scores; the run's own", max_length=300
            ),
            preserve_default=False,
        ),
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE;", migrations.RunSQL.noop),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="evaluationrun",
            name="signature",
            field=models.CharField(
                help_text="what scores it: metric, options, versions; fixed once a document is scored",
                max_length=300,
            ),
        ),
        migrations.RemoveConstraint(model_name="evaluationrun", name="evaluation_once"),
        migrations.AddConstraint(
            model_name="evaluationrun",
            constraint=models.UniqueConstraint(
                condition=Q(state__in=["queued", "running", "succeeded"]),
                fields=("release", "evaluation_set", "signature"),
                name="evaluation_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="evaluationrun",
            constraint=models.UniqueConstraint(fields=("id", "signature"), name="evaluation_signature"),
        ),
        migrations.RunSQL(ONE_SIGNATURE, ANY_SIGNATURE),
    ]
