"""Texts about two columns only: no statement for the database."""

from django.db import migrations, models

OPTIONS = "what to read, what its columns are, and what is said of all rows"
REPORT = "a sample of the rows, then what was done with them"


class Migration(migrations.Migration):
    dependencies = [("reviews", "0003_first_rows")]

    operations = [
        migrations.AlterField(
            model_name=table,
            name=column,
            field=models.JSONField(default=dict, help_text=text),
        )
        for table in ("importbatch", "ratingimport")
        for column, text in (("options", OPTIONS), ("report", REPORT))
    ]
