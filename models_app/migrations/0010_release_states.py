"""Changes that are asked for, releases that expire, comments, and emergencies that somebody reviews afterwards."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

from models_app.foundation import immutable
from models_app.foundation.immutable import changed

# Each move that models_app.models.Release declares, and no other; and a release begins as a draft.
MOVES = """
    CREATE OR REPLACE FUNCTION galley_refuse_release_moves() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      given integer;
      needed integer;
      first_of_all boolean;
    BEGIN
      IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'draft' THEN
          RAISE EXCEPTION 'a release begins as a draft, not as %', NEW.state USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END IF;
      IF (OLD.state, NEW.state) NOT IN (
        ('draft', 'awaiting approval'), ('draft', 'withdrawn'), ('draft', 'warming'),
        ('awaiting approval', 'changes requested'), ('awaiting approval', 'approved'),
        ('awaiting approval', 'rejected'), ('awaiting approval', 'expired'), ('awaiting approval', 'withdrawn'),
        ('changes requested', 'awaiting approval'), ('changes requested', 'expired'),
        ('changes requested', 'withdrawn'),
        ('approved', 'warming'), ('approved', 'withdrawn'),
        ('warming', 'live'), ('warming', 'failed'), ('warming', 'rolled back'), ('warming', 'awaiting approval'),
        ('live', 'superseded'), ('live', 'rolled back'),
        ('superseded', 'live'), ('superseded', 'rolled back')
      ) THEN
        RAISE EXCEPTION 'a release that is % does not become %', OLD.state, NEW.state USING ERRCODE = 'restrict_violation';
      END IF;
      IF OLD.state = 'superseded' AND NEW.state = 'live' THEN
        IF NOT EXISTS (SELECT FROM models_app_deployment WHERE release_id = NEW.id) THEN
          RAISE EXCEPTION 'a release that was never live is not gone back to' USING ERRCODE = 'restrict_violation';
        END IF;
      ELSIF NEW.state = 'approved' AND OLD.decide_by < statement_timestamp() THEN
        RAISE EXCEPTION 'a release that was to be decided by % is not approved', OLD.decide_by
          USING ERRCODE = 'restrict_violation';
      ELSIF NEW.state IN ('approved', 'warming', 'live') THEN
        SELECT count(DISTINCT approver_id) INTO given FROM models_app_approval
         WHERE release_id = NEW.id AND decision = 'approved' AND voided_at IS NULL
           AND evidence_digest = NEW.evidence_digest;
        SELECT CASE WHEN EXISTS (
                 SELECT FROM models_app_incident
                  WHERE release_id = NEW.id AND evidence_digest = NEW.evidence_digest
               ) THEN 1 ELSE approvals_required END
          INTO needed FROM models_app_environment WHERE id = NEW.environment_id;
        -- what Galley installs by itself where nothing has been live: there is nothing to compare it with
        first_of_all := NEW.origin = 'initial' AND NEW.submitted_at IS NULL AND NEW.state <> 'approved'
          AND NOT EXISTS (SELECT FROM models_app_deployment WHERE environment_id = NEW.environment_id);
        IF NOT first_of_all AND (OLD.state = 'draft' OR given < needed) THEN
          RAISE EXCEPTION 'a release that is % with % approvals does not become %', OLD.state, given, NEW.state
            USING ERRCODE = 'restrict_violation';
        END IF;
      END IF;
      RETURN NEW;
    END $$;
"""
# Nobody decides on what they composed or asked for.
OWN_WORK = (
    """
    CREATE FUNCTION galley_refuse_own_approval() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF EXISTS (SELECT FROM models_app_release
                  WHERE id = NEW.release_id AND NEW.approver_id IN (created_by_id, requested_by_id)) THEN
        RAISE EXCEPTION 'nobody decides on release %, which is their own', NEW.release_id
          USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER models_app_approval_of_others BEFORE INSERT ON models_app_approval
      FOR EACH ROW EXECUTE FUNCTION galley_refuse_own_approval();
    """,
    "DROP FUNCTION galley_refuse_own_approval() CASCADE;",
)
STATES = [
    ("draft", "Draft"), ("awaiting approval", "Awaiting"), ("changes requested", "Changes"),
    ("rejected", "Rejected"), ("expired", "Expired"), ("withdrawn", "Withdrawn"), ("approved", "Approved"),
    ("warming", "Warming"), ("live", "Live"), ("failed", "Failed"), ("superseded", "Superseded"),
    ("rolled back", "Rolled Back"),
]  # fmt: skip
DECIDED_ON = (
    "OLD.state NOT IN ('draft', 'awaiting approval', 'changes requested') AND ("
    + changed(
        "comparison_id", "evidence", "evidence_digest", "requested_by_id", "submitted_at", "requester_reason"
    )
    + ")"
)
DECIDED_ON_BEFORE = (
    "OLD.state NOT IN ('draft', 'awaiting approval') AND ("
    + changed("comparison_id", "evidence", "evidence_digest", "requested_by_id", "submitted_at")
    + ")"
)
REVIEWED_ONCE = "OLD.reviewed_by_id IS NOT NULL OR NEW.reviewed_by_id IS NULL OR " + changed(
    "id", "release_id", "opened_by_id", "opened_at", "reason", "evidence_digest", "skipped"
)


def guarded_anew(forward: tuple[str, str], before: tuple[str, str]) -> migrations.RunSQL:
    return migrations.RunSQL(before[1] + forward[0], forward[1] + before[0])


class Migration(migrations.Migration):
    dependencies = [
        ("models_app", "0009_fields_and_words"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="ReleaseComment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.TextField()),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "release",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="comments", to="models_app.release"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.CheckConstraint(condition=~Q(text=""), name="release_comment_says_something")
                ],
            },
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("opened_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("reason", models.TextField(help_text="why it could not wait")),
                ("evidence_digest", models.CharField(help_text="what its approval is bound to", max_length=64)),
                ("skipped", models.JSONField(default=list, help_text="in words, what was not waited for")),
                ("reviewed_at", models.DateTimeField(blank=True, null=True)),
                ("review", models.TextField(blank=True)),
                (
                    "opened_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "release",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="incidents", to="models_app.release"
                    ),
                ),
                (
                    "reviewed_by",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.CheckConstraint(condition=~Q(reason=""), name="incident_has_reason"),
                    models.CheckConstraint(
                        condition=Q(reviewed_by=None, reviewed_at=None, review="")
                        | Q(reviewed_by__isnull=False, reviewed_at__isnull=False) & ~Q(review=""),
                        name="incident_is_reviewed_with_words",
                    ),
                    models.CheckConstraint(
                        condition=Q(reviewed_by=None) | ~Q(reviewed_by=F("opened_by")),
                        name="incident_is_reviewed_by_another_person",
                    ),
                    models.UniqueConstraint(
                        fields=["release", "evidence_digest"], name="incident_once_for_the_same_evidence"
                    ),
                ],
            },
        ),
        migrations.AlterField(
            model_name="approval",
            name="decision",
            field=models.CharField(
                choices=[("approved", "approved"), ("rejected", "rejected"), ("changes", "asked for changes")],
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="release",
            name="state",
            field=models.CharField(choices=STATES, default="draft", max_length=20),
        ),
        migrations.AddField(
            model_name="release",
            name="requester_reason",
            field=models.TextField(blank=True, help_text="why it should go live, as it was submitted"),
        ),
        migrations.AddField(
            model_name="release",
            name="decide_by",
            field=models.DateTimeField(
                blank=True, null=True,
                help_text="when it expires; by the database's clock, as is what it is compared with",
            ),
        ),
        migrations.RemoveConstraint(model_name="release", name="release_one_open_per_content"),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.UniqueConstraint(
                fields=["digest", "environment"],
                condition=Q(
                    state__in=["draft", "awaiting approval", "changes requested", "approved", "warming"]
                ),
                name="release_one_open_per_content",
            ),
        ),
        migrations.RunSQL(MOVES, migrations.RunSQL.noop),
        migrations.RunSQL(*OWN_WORK),
        guarded_anew(
            immutable.refuse_update_where("models_app_release", "decided_on", DECIDED_ON),
            immutable.refuse_update_where("models_app_release", "decided_on", DECIDED_ON_BEFORE),
        ),
        migrations.RunSQL(*immutable.refuse_row_changes("models_app_releasecomment")),
        migrations.RunSQL(*immutable.refuse_truncate("models_app_releasecomment")),
        migrations.RunSQL(*immutable.refuse_delete("models_app_incident")),
        migrations.RunSQL(*immutable.refuse_truncate("models_app_incident")),
        migrations.RunSQL(*immutable.refuse_update_where("models_app_incident", "reviewed_once", REVIEWED_ONCE)),
    ]  # fmt: skip
