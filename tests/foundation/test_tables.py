from __future__ import annotations

import pytest
from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState

from models_app.foundation.tables import CreateTables


def table(name: str, other: str) -> migrations.CreateModel:
    return migrations.CreateModel(
        name,
        [
            ("id", models.BigAutoField(primary_key=True)),
            ("other", models.ForeignKey(f"models_app.{other}", null=True, on_delete=models.PROTECT)),
        ],
        {"constraints": [models.UniqueConstraint(fields=["other"], name=f"once_per_{other}")]},
    )


def keys() -> dict[str, str]:
    """Table → the one that it refers to."""
    with connection.cursor() as cursor:
        found = {name: connection.introspection.get_relations(cursor, name) for name in tables()}
    return {name: str(relations["other_id"][1]) for name, relations in found.items()}


def tables() -> list[str]:
    wanted = ("models_app_egg", "models_app_hen")
    return [name for name in connection.introspection.table_names() if name in wanted]


@pytest.mark.django_db(transaction=True)
def test_tables_that_refer_to_each_other_are_made_and_go_as_one() -> None:
    before, after = ProjectState(), ProjectState()
    both = CreateTables([table("Hen", "egg"), table("Egg", "hen")])
    assert after.apps.get_models() == []  # made before: they are not kept as they were
    both.state_forwards("models_app", after)
    assert {model.__name__ for model in after.apps.get_models()} == {"Hen", "Egg"}
    with connection.schema_editor() as editor:
        both.database_forwards("models_app", editor, before, after)
    assert keys() == {"models_app_hen": "models_app_egg", "models_app_egg": "models_app_hen"}
    with connection.schema_editor() as editor:
        both.database_backwards("models_app", editor, after, before)
    assert tables() == []
