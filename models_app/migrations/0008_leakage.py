"""What training data and test documents have in common, and which public sets are known; none of it is rewritten."""

import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from models_app.foundation import immutable


# Written once: no row of these changes or goes.
APPEND_ONLY = (
    "cleancomparison", "declaredtraining", "fingerprintset", "leakagecheck", "leakagefinding", "publicoccurrence",
    "textfingerprint",
)  # fmt: skip
GUARDS = [
    guard
    for table in APPEND_ONLY
    for guard in (
        immutable.refuse_row_changes(f"models_app_{table}"), immutable.refuse_truncate(f"models_app_{table}"),
    )
]  # fmt: skip


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0007_webhooks'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='FingerprintSet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120)),
                ('note', models.CharField(blank=True, max_length=300)),
                ('method', models.CharField(max_length=60)),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('rows', models.PositiveIntegerField()),
                ('loaded_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('loaded_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='DeclaredTraining',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='of the set', max_length=120)),
                ('note', models.CharField(blank=True, max_length=300)),
                ('declared_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('declared_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('model_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='declared_training', to='models_app.modelversion')),
                ('fingerprints', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='declared_by', to='models_app.fingerprintset')),
            ],
            options={
                'ordering': ['model_version', 'id'],
            },
        ),
        migrations.CreateModel(
            name='LeakageCheck',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('training_digest', models.CharField(help_text='over all rows of its snapshots and its prompts', max_length=64)),
                ('test_digest', models.CharField(help_text='over all texts of the test set as they were read', max_length=64)),
                ('method', models.CharField(max_length=60)),
                ('snapshots', models.JSONField(default=list, help_text='ids, ascending')),
                ('prompt_versions', models.JSONField(default=list, help_text='ids, ascending')),
                ('training_rows', models.PositiveIntegerField()),
                ('texts', models.PositiveIntegerField(help_text='different ones of the rows and prompts')),
                ('documents', models.PositiveIntegerField(help_text='of the test set')),
                ('too_short', models.PositiveIntegerField(help_text='references that say too little to be looked for')),
                ('flagged', models.PositiveIntegerField(help_text='test documents with a finding')),
                ('digest', models.CharField(help_text='over what was compared and found', max_length=64)),
                ('seconds', models.FloatField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('evaluation_set', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='leakage_checks', to='models_app.evaluationset')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='CleanComparison',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('n', models.PositiveIntegerField(help_text='documents that were left')),
                ('left_out', models.PositiveIntegerField()),
                ('results', models.JSONField(help_text='by metric, as ComparisonResult has them')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('comparison', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='clean_comparisons', to='models_app.comparison')),
                ('check_run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='models_app.leakagecheck')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='LeakageFinding',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField()),
                ('held_out', models.CharField(choices=[('article', 'Article'), ('reference', 'Reference')], max_length=10)),
                ('reference', models.PositiveIntegerField(default=0, help_text='which of its references, from 0')),
                ('learnt', models.CharField(choices=[('same document', 'Document'), ('article', 'Article'), ('summary', 'Summary'), ('rejected draft', 'Draft'), ('prompt', 'Prompt'), ('passage of the prompt', 'Passage')], max_length=24)),
                ('share', models.FloatField(help_text='of one in the other, 0–1')),
                ('words', models.PositiveIntegerField(help_text='in common, about')),
                ('held_out_excerpt', models.TextField()),
                ('learnt_excerpt', models.TextField()),
                ('check_run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='findings', to='models_app.leakagecheck')),
                ('example', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='models_app.evaluationexample')),
                ('prompt_version', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='models_app.promptversion')),
                ('row', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='models_app.snapshotexample')),
            ],
            options={
                'ordering': ['check_run', 'position'],
            },
        ),
        migrations.CreateModel(
            name='PublicOccurrence',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('test_digest', models.CharField(max_length=64)),
                ('documents', models.JSONField(help_text='[position in the test set, share] of each, the first one first')),
                ('count', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('evaluation_set', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='models_app.evaluationset')),
                ('of', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='occurrences', to='models_app.fingerprintset')),
            ],
            options={
                'ordering': ['of', '-id'],
            },
        ),
        migrations.CreateModel(
            name='TextFingerprint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField(help_text='of its row')),
                ('role', models.CharField(choices=[('article', 'Article'), ('reference', 'Reference')], max_length=10)),
                ('shingles', models.PositiveIntegerField()),
                ('sketch', models.BinaryField()),
                ('of', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='fingerprints', to='models_app.fingerprintset')),
            ],
            options={
                'ordering': ['of', 'position', 'role'],
            },
        ),
        migrations.AddConstraint(
            model_name='fingerprintset',
            constraint=models.UniqueConstraint(django.db.models.functions.text.Lower('name'), name='fingerprint_set_name'),
        ),
        migrations.AddConstraint(
            model_name='fingerprintset',
            constraint=models.CheckConstraint(condition=models.Q(('rows__gt', 0)), name='fingerprint_set_not_empty'),
        ),
        migrations.AddConstraint(
            model_name='declaredtraining',
            constraint=models.UniqueConstraint(django.db.models.functions.text.Lower('name'), models.F('model_version'), name='declared_training_once'),
        ),
        migrations.AddConstraint(
            model_name='declaredtraining',
            constraint=models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='declared_training_named'),
        ),
        migrations.AddConstraint(
            model_name='leakagecheck',
            constraint=models.UniqueConstraint(fields=('training_digest', 'test_digest', 'method'), name='leakage_check_once'),
        ),
        migrations.AddConstraint(
            model_name='cleancomparison',
            constraint=models.UniqueConstraint(fields=('comparison', 'check_run'), name='clean_comparison_once'),
        ),
        migrations.AddIndex(
            model_name='leakagefinding',
            index=models.Index(fields=['check_run', 'example'], name='leakage_by_document'),
        ),
        migrations.AddConstraint(
            model_name='leakagefinding',
            constraint=models.UniqueConstraint(fields=('check_run', 'position'), name='leakage_finding_position'),
        ),
        migrations.AddConstraint(
            model_name='leakagefinding',
            constraint=models.CheckConstraint(condition=models.Q(('share__range', (0.5, 1))), name='leakage_finding_share'),
        ),
        migrations.AddConstraint(
            model_name='leakagefinding',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('prompt_version', None), ('row__isnull', False)), models.Q(('prompt_version__isnull', False), ('row', None)), _connector='OR'), name='leakage_finding_of_one'),
        ),
        migrations.AddConstraint(
            model_name='publicoccurrence',
            constraint=models.UniqueConstraint(fields=('of', 'test_digest'), name='public_occurrence_once'),
        ),
        migrations.AddConstraint(
            model_name='textfingerprint',
            constraint=models.UniqueConstraint(fields=('of', 'position', 'role'), name='fingerprint_position'),
        ),
        migrations.AddConstraint(
            model_name='textfingerprint',
            constraint=models.CheckConstraint(condition=models.Q(('shingles__gt', 0)), name='fingerprint_of_words'),
        ),
        *(migrations.RunSQL(forward, backward) for forward, backward in GUARDS),
    ]
