import django.db.models.deletion
from django.db import migrations, models

from models_app.foundation import immutable

GUARDS = [
    immutable.refuse_row_changes("reviews_referencehash"),
    immutable.refuse_update_of("reviews_sourcedocument", "reference"),
]


class Migration(migrations.Migration):

    dependencies = [
        ('reviews', '0026_near_duplicates'),
    ]

    operations = [
        migrations.CreateModel(
            name='ReferenceHash',
            fields=[
                ('pk', models.CompositePrimaryKey('hash', 'document_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('hash', models.BigIntegerField()),
                ('document', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='reviews.sourcedocument')),
            ],
        ),
        *[migrations.RunSQL(forward, backward) for forward, backward in GUARDS],
    ]
