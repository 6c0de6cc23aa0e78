"""What every request of a person asks."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection

_PERMISSIONS = f"""
SELECT kind.app_label || '.' || permission.codename
  FROM {Permission._meta.db_table} permission
  JOIN {ContentType._meta.db_table} kind ON kind.id = permission.content_type_id
 WHERE permission.id IN (
   SELECT permission_id FROM {User.user_permissions.through._meta.db_table} WHERE user_id = %(user)s
    UNION ALL
   SELECT given.permission_id FROM {User.groups.through._meta.db_table} member
     JOIN {Group.permissions.through._meta.db_table} given USING (group_id) WHERE member.user_id = %(user)s)
"""  # nosec B608 (names of tables; the value is a parameter)


def permissions_of(user: int) -> set[str]:
    """`app.codename` of what this account has by itself and by its groups. Django's two questions by the ORM were a
    sixth of what a claim costs, and are asked with every page and call (`benchmarks/review_desk.py`, part `alone`)."""
    with connection.cursor() as cursor:
        cursor.execute(_PERMISSIONS, {"user": user})
        return {name for (name,) in cursor.fetchall()}
