"""How allauth makes accounts, checks passwords and sets them, in Galley."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.userkit import get_user_by_username
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest

from models_app.foundation import tries
from models_app.people.own import record_own


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by an administrator; nobody signs up by himself."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """At the sign-in page and where the password is asked for again. Raises TooManyTries."""
        name = credentials.get("username") or ""
        attempt = tries.count(tries.PASSWORD, user=get_user_by_username(name), name=name)
        user: User | None = super().authenticate(request, **credentials)
        if user is not None:
            attempt.right()
        return user

    def set_password(self, user: User, password: str) -> None:
        """Of the page on which people change their own."""
        with transaction.atomic():
            super().set_password(user, password)
            record_own(person=user, action="person.password_changed")
