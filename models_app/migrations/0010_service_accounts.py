import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q
from django.utils import timezone

from models_app.foundation import immutable
from models_app.foundation.roles import CAPABILITIES, create_roles

PROGRAM_SCOPES = ["summaries:write", "feedback:write", "metrics:read"]
MADE_BY_WHOSE_IT_IS = Q(created_by__isnull=False, created_by=F("user")) | Q(created_by=None, scopes__contained_by=PROGRAM_SCOPES)

# A token of a service account acts in its owner's name, in no other's.
OWNER = (
    "ALTER TABLE models_app_serviceaccount ADD CONSTRAINT service_account_owner UNIQUE (id, owner_id);"
    "ALTER TABLE models_app_apitoken ADD CONSTRAINT token_of_the_owners_account FOREIGN KEY (service_account_id, user_id) "
    "REFERENCES models_app_serviceaccount (id, owner_id);",
    "ALTER TABLE models_app_apitoken DROP CONSTRAINT token_of_the_owners_account;"
    "ALTER TABLE models_app_serviceaccount DROP CONSTRAINT service_account_owner;",
)
# A token that is revoked stays so, and none lasts longer than it was made for.
NEVER_LONGER = (
    "CREATE TRIGGER models_app_apitoken_never_longer BEFORE UPDATE ON models_app_apitoken FOR EACH ROW "
    "WHEN ((OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at) "
    "OR (OLD.expiry IS NOT NULL AND (NEW.expiry IS NULL OR NEW.expiry > OLD.expiry))) "
    "EXECUTE FUNCTION galley_refuse_change();",
    "DROP TRIGGER IF EXISTS models_app_apitoken_never_longer ON models_app_apitoken;",
)
GUARDS = [
    OWNER,
    NEVER_LONGER,
    immutable.refuse_update_of(
        "models_app_apitoken", "digest", "user_id", "created_by_id", "service_account_id", "scopes"
    ),
    immutable.refuse_update_of("models_app_serviceaccount", "owner_id"),
]


def revoke_tokens_made_for_others(apps: Apps, schema_editor: object) -> None:
    tokens = apps.get_model("models_app", "ApiToken").objects
    tokens.exclude(MADE_BY_WHOSE_IT_IS).filter(revoked_at=None).update(revoked_at=timezone.now())


def roles(apps: Apps, schema_editor: object) -> None:
    create_roles(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("models_app", "0008_people"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AlterModelOptions(
            name="capability",
            options={
                "default_permissions": (),
                "managed": False,
                "permissions": list(CAPABILITIES.items()),
            },
        ),
        migrations.RunPython(roles, migrations.RunPython.noop),
        migrations.CreateModel(
            name="ServiceAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="service_accounts",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"ordering": ["name", "pk"]},
        ),
        migrations.AddConstraint(
            model_name="serviceaccount",
            constraint=models.UniqueConstraint(
                models.F("owner"),
                django.db.models.functions.text.Lower("name"),
                name="service_account_name_once",
            ),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="service_account",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tokens",
                to="models_app.serviceaccount",
            ),
        ),
        migrations.RunPython(revoke_tokens_made_for_others, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="apitoken",
            constraint=models.CheckConstraint(
                name="token_made_by_whose_it_is",
                condition=Q(revoked_at__isnull=False)
                | Q(created_by__isnull=False, created_by=F("user"))
                | Q(created_by=None, scopes__contained_by=PROGRAM_SCOPES),
            ),
        ),
        *[migrations.RunSQL(forward, backward) for forward, backward in GUARDS],
    ]
