from django.db import migrations


class Migration(migrations.Migration):
    # The table is Django's own, so that no model of ours can say this.
    dependencies = [("models_app", "0025_numbers_stay"), ("auth", "0012_alter_user_first_name_max_length")]
    operations = [
        migrations.RunSQL(
            "CREATE UNIQUE INDEX one_account_a_name ON auth_user (lower(username))",
            "DROP INDEX one_account_a_name",
        )
    ]
