"""Accounts in the administration: whoever is deactivated there gives back what he holds, in the same transaction."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.http import HttpRequest

from models_app.foundation.roles import allowed
from reviews.assigning import release_all_of

admin.site.unregister(User)


@admin.register(User)
class AccountAdmin(UserAdmin):
    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)  # groups are saved here, after the account
        person = User.objects.get(pk=form.instance.pk)
        if change and not allowed(person, "review"):
            release_all_of(person=person, actor=request.user)
