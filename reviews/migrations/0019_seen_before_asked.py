from django.db import migrations, models


def those_who_could_see(apps, schema_editor):
    # Until now whoever had left an item to others for good could read its answers, and nothing says who did.
    apps.get_model('reviews', 'Skip').objects.filter(until=None).update(saw_others=True)


class Migration(migrations.Migration):

    dependencies = [
        ('reviews', '0018_indexes_that_are_asked'),
    ]

    operations = [
        migrations.AddField(
            model_name='skip',
            name='saw_others',
            field=models.BooleanField(default=False, help_text='has seen what others think of it, so that no seat at it can be theirs any more'),
        ),
        migrations.RunPython(those_who_could_see, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='skip',
            constraint=models.CheckConstraint(condition=models.Q(('saw_others', False), ('until', None), _connector='OR'), name='skip_saw_others_for_good'),
        ),
    ]
