"""Sets of behavioural cases, their versions, what releases made of them, and what the database refuses of them."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from models_app.foundation import immutable
from models_app.foundation.immutable import changed

# Written once: no row of these changes or goes.
APPEND_ONLY = ["caseresult", "casesetversion", "caseversion"]
# A finished run has its results: none comes to it later.
RESULTS = (
    """
    CREATE FUNCTION galley_refuse_results_of_the_past() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM 1 FROM models_app_caserun WHERE id = NEW.run_id AND finished_at IS NOT NULL;
      IF FOUND THEN
        RAISE EXCEPTION 'the results of a finished run are all there: % is refused', TG_OP
          USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_caseresult_of_open_run BEFORE INSERT ON models_app_caseresult
      FOR EACH ROW EXECUTE FUNCTION galley_refuse_results_of_the_past();
    """,
    "DROP FUNCTION galley_refuse_results_of_the_past() CASCADE;",
)


def table(name):
    return f"models_app_{name}"


GUARDS = [
    *(immutable.refuse_row_changes(table(name)) for name in APPEND_ONLY),
    *(immutable.refuse_delete(table(name)) for name in ("caserun", "caseset")),
    *(immutable.refuse_truncate(table(name)) for name in [*APPEND_ONLY, "caserun", "caseset"]),
    immutable.refuse_update_where(table("caseset"), "named_once", changed("id", "name", "created_by_id", "created_at")),
    immutable.refuse_update_where(
        table("caserun"), "finishes_once",
        "OLD.finished_at IS NOT NULL OR NEW.finished_at IS NULL OR "
        + changed("id", "release_id", "set_version_id", "signature", "started_at"),
    ),
    RESULTS,
]


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0005_gate_guards'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CaseSet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80, unique=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='CaseSetVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('cases', models.PositiveIntegerField(help_text='how many it has')),
                ('digest', models.CharField(help_text='over all its cases', max_length=64)),
                ('reason', models.TextField()),
                ('made_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('case_set', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='models_app.caseset')),
                ('made_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['case_set', '-number'],
            },
        ),
        migrations.CreateModel(
            name='CaseRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('signature', models.CharField(help_text='versions of what judges it', max_length=100)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('digest', models.CharField(blank=True, help_text='over all results, once it is finished', max_length=64)),
                ('release', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='case_runs', to='models_app.release')),
                ('set_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='models_app.casesetversion')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='CaseVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(help_text='of the case within its set; it keeps it')),
                ('title', models.CharField(blank=True, max_length=300)),
                ('domain', models.CharField(blank=True, max_length=40)),
                ('article', models.TextField()),
                ('assertions', models.JSONField(help_text='as `cases.assertions` reads them')),
                ('must_pass', models.BooleanField(default=False, help_text='its failure alone fails the release')),
                ('digest', models.CharField(help_text='over all of the above', max_length=64)),
                ('origin', models.CharField(blank=True, help_text='what it was made from, e.g. document:17', max_length=60)),
                ('retired', models.BooleanField(default=False)),
                ('set_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='changes', to='models_app.casesetversion')),
            ],
            options={
                'ordering': ['set_version', 'number'],
            },
        ),
        migrations.CreateModel(
            name='CaseResult',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('output', models.TextField(blank=True)),
                ('changed', models.JSONField(default=dict, help_text="by the key of each change, the changed article's summary")),
                ('verdict', models.CharField(choices=[('pass', 'Pass'), ('fail', 'Fail'), ('undecided', 'Undecided')], max_length=10)),
                ('findings', models.JSONField(help_text='of each assertion: outcome, words')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='results', to='models_app.caserun')),
                ('case', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='results', to='models_app.caseversion')),
            ],
            options={
                'ordering': ['run', 'case'],
            },
        ),
        migrations.AddConstraint(
            model_name='casesetversion',
            constraint=models.UniqueConstraint(fields=('case_set', 'number'), name='case_set_version_number'),
        ),
        migrations.AddConstraint(
            model_name='casesetversion',
            constraint=models.CheckConstraint(condition=models.Q(('cases__lte', 500), ('number__gte', 1)), name='case_set_version_size'),
        ),
        migrations.AddConstraint(
            model_name='casesetversion',
            constraint=models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='case_set_version_has_reason'),
        ),
        migrations.AddConstraint(
            model_name='caserun',
            constraint=models.UniqueConstraint(fields=('release', 'set_version', 'signature'), name='case_run_once'),
        ),
        migrations.AddConstraint(
            model_name='caserun',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('digest', ''), ('finished_at', None)), models.Q(('finished_at__isnull', False), models.Q(('digest', ''), _negated=True)), _connector='OR'), name='case_run_finished_has_digest'),
        ),
        migrations.AddConstraint(
            model_name='caseversion',
            constraint=models.UniqueConstraint(fields=('set_version', 'number'), name='case_version_once'),
        ),
        migrations.AddConstraint(
            model_name='caseversion',
            constraint=models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='case_version_number'),
        ),
        migrations.AddConstraint(
            model_name='caseresult',
            constraint=models.UniqueConstraint(fields=('run', 'case'), name='case_result_once'),
        ),
        migrations.AddConstraint(
            model_name='caseresult',
            constraint=models.CheckConstraint(condition=models.Q(('verdict__in', ['pass', 'fail', 'undecided'])), name='case_result_verdict'),
        ),
        *(migrations.RunSQL(forward, backward) for forward, backward in GUARDS),
    ]
