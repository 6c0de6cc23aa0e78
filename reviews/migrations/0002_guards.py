"""What the database itself refuses, whoever asks: docs/architecture.md lists it, tests/doors tries each line."""

from django.db import migrations

from models_app.foundation import immutable

# Written once: no row of these changes or goes.
APPEND_ONLY = [
    "criterion", "improvementvote", "nearduplicate", "referencehash", "reviewrevision", "sketchhash",
]  # fmt: skip
# Nor are all of them taken away at once.
NEVER_EMPTIED = ["improvementrequest", "improvementvote"]
# What stays as it was written, table by table.
FIXED = {
    "improvementrequest": ["id", "kind", "trigger", "reason", "evidence", "opened_by_id", "opened_at"],
    "sourcedocument": ["split", "text", "content_hash", "reference", "twin_id", "twin_share"],
    "summary": ["text", "document_id"],
}
# Compressing articles took half of the database's time in an import, and their beginnings, which lists show, could not
# be read without decompressing them.
NOT_COMPRESSED = (
    "ALTER TABLE reviews_sourcedocument ALTER COLUMN text SET STORAGE EXTERNAL;",
    "ALTER TABLE reviews_sourcedocument ALTER COLUMN text SET STORAGE EXTENDED;",
)
GUARDS = [
    *(immutable.refuse_row_changes(f"reviews_{table}") for table in APPEND_ONLY),
    *(immutable.refuse_update_of(f"reviews_{table}", *columns) for table, columns in FIXED.items()),
    immutable.refuse_delete("reviews_improvementrequest"),
    immutable.refuse_update_where(
        "reviews_improvementrequest", "decided_for_good", "OLD.state IN ('declined', 'withdrawn')"
    ),
    *(immutable.refuse_truncate(f"reviews_{table}") for table in NEVER_EMPTIED),
    NOT_COMPRESSED,
]


class Migration(migrations.Migration):
    dependencies = [("reviews", "0001_tables"), ("models_app", "0002_guards")]
    operations = [
        migrations.RunSQL([forward for forward, _ in GUARDS], [backward for _, backward in reversed(GUARDS)])
    ]
