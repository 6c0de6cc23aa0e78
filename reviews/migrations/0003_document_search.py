import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.functions.text
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("reviews", "0002_guards_and_seeds")]
    operations = [
        migrations.AddIndex(
            model_name="sourcedocument",
            index=django.contrib.postgres.indexes.GinIndex(
                django.contrib.postgres.search.SearchVector(
                    "title", django.db.models.functions.text.Left("text", 200), config="simple"
                ),
                name="document_search",
            ),
        ),
        # Compressing articles took half of the database's time in an import, and their beginnings, which lists show,
        # could not be read without decompressing them.
        migrations.RunSQL(
            "ALTER TABLE reviews_sourcedocument ALTER COLUMN text SET STORAGE EXTERNAL",
            "ALTER TABLE reviews_sourcedocument ALTER COLUMN text SET STORAGE EXTENDED",
        ),
    ]
