from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("reviews", "0003_document_search")]
    operations = [
        migrations.AddIndex(
            model_name="sourcedocument",
            index=models.Index(fields=["origin", "-id"], name="document_origin"),
        ),
    ]
