import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models

from models_app.foundation import immutable
from models_app.foundation.immutable import changed
from models_app.foundation.roles import create_roles

ENDPOINT, DELIVERY, ATTEMPT = (f"models_app_webhook{name}" for name in ("endpoint", "delivery", "attempt"))
GUARDS = [
    immutable.refuse_row_changes(ATTEMPT),
    immutable.refuse_delete(DELIVERY),
    immutable.refuse_delete(ENDPOINT),
    *(immutable.refuse_truncate(table) for table in (ENDPOINT, DELIVERY, ATTEMPT)),
    immutable.refuse_update_where(
        DELIVERY, "as_it_was_made",
        changed("id", "endpoint_id", "key", "event", "audit_event_id", "replay_of_id", "asked_by_id", "body", "made_at"),
    ),
    immutable.refuse_update_where(DELIVERY, "ends_once", "OLD.state <> 'waiting'"),
    immutable.refuse_update_where(ENDPOINT, "made_once", changed("id", "made_by_id", "made_at")),
]


def roles(apps, schema_editor):
    create_roles(apps)


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0006_cases'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='capability',
            options={'default_permissions': (), 'managed': False, 'permissions': [('review', 'Review summaries, suggest prompts'), ('view_documents', 'See documents and summaries'), ('import_documents', 'Import documents, let summaries be drafted, fill queues'), ('decide_feedback', 'Approve or decline feedback examples'), ('freeze_snapshot', 'Freeze dataset snapshots'), ('edit_prompts', 'Make prompt versions, adopt or decline suggestions'), ('view_models', 'See snapshots, runs, models, comparisons, releases'), ('train', 'Register models, start and cancel training runs'), ('evaluate', 'Start evaluations and comparisons'), ('submit_release', 'Compose releases and submit them for approval'), ('approve_release', 'Approve or reject releases'), ('edit_policy', 'Edit the policy that releases are judged by'), ('deploy', 'Start, hold and roll back deployments'), ('view_monitoring', 'See monitoring, jobs and deployments'), ('manage_jobs', "Cancel anybody's jobs, try again"), ('view_audit', 'Read the audit trail'), ('own_tokens', "Make API tokens for oneself and one's service accounts"), ('manage_tokens', "See and revoke anybody's API tokens"), ('manage_webhooks', 'Make and change webhooks, see and repeat what they were told'), ('manage_queues', 'Make and change review queues and rubrics'), ('manage_people', 'Make accounts, give roles, end sessions')]},
        ),
        migrations.CreateModel(
            name='WebhookEndpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('url', models.CharField(max_length=2000)),
                ('events', models.JSONField(default=list, help_text='names of webhooks/catalogue.py')),
                ('salt', models.CharField(max_length=64)),
                ('secret_digest', models.CharField(help_text='by which a changed key is noticed', max_length=64)),
                ('previous_salt', models.CharField(blank=True, max_length=64)),
                ('previous_until', models.DateTimeField(blank=True, null=True)),
                ('after_event', models.PositiveBigIntegerField(default=0, help_text='number in the audit trail up to which it was looked at')),
                ('failing_since', models.DateTimeField(blank=True, null=True)),
                ('failures', models.PositiveIntegerField(default=0, help_text='attempts in a row that failed')),
                ('paused_until', models.DateTimeField(blank=True, null=True)),
                ('made_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('disabled_at', models.DateTimeField(blank=True, null=True)),
                ('made_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['disabled_at', 'name', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.UUIDField(default=uuid.uuid4, unique=True)),
                ('event', models.CharField(max_length=60)),
                ('body', models.TextField()),
                ('made_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('delivered', 'Delivered'), ('given up', 'Given Up')], default='waiting', max_length=12)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('first_tried_at', models.DateTimeField(blank=True, null=True)),
                ('due_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('reason', models.CharField(blank=True, help_text='of one that was given up', max_length=300)),
                ('asked_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('audit_event', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='models_app.auditevent')),
                ('replay_of', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='replays', to='models_app.webhookdelivery')),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='models_app.webhookendpoint')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='WebhookAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('at', models.DateTimeField()),
                ('milliseconds', models.PositiveIntegerField()),
                ('address', models.CharField(blank=True, help_text='that was connected to', max_length=50)),
                ('status', models.PositiveSmallIntegerField(help_text='none: no answer came', null=True)),
                ('words', models.CharField(max_length=300)),
                ('answer', models.TextField(blank=True, help_text="the first 4 KiB of the answer's body")),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='tries', to='models_app.webhookdelivery')),
            ],
            options={
                'ordering': ['number'],
                'constraints': [models.UniqueConstraint(fields=('delivery', 'number'), name='webhook_attempt_once')],
            },
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['endpoint', 'due_at'], name='webhook_delivery_due'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['endpoint', '-id'], name='webhook_delivery_of'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['endpoint', 'state', '-id'], name='webhook_delivery_ended'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.UniqueConstraint(condition=models.Q(('audit_event__isnull', False), ('replay_of', None)), fields=('endpoint', 'audit_event'), name='webhook_told_once'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('ended_at', None), ('state', 'waiting')), models.Q(models.Q(('state', 'waiting'), _negated=True), ('ended_at__isnull', False)), _connector='OR'), name='webhook_delivery_ends_once'),
        ),
        *(migrations.RunSQL(forward, backward) for forward, backward in GUARDS),
        migrations.RunPython(roles, migrations.RunPython.noop),
    ]
