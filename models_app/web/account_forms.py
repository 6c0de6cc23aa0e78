"""Forms of allauth's pages that take a password or a code: each try is counted before it is looked at."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db import transaction

from models_app.foundation import tries
from models_app.people.own import record_own


class _CountedCode:
    """A recovery code is used up by being right, so that its use is told in the trail."""

    user: User
    authenticator: Authenticator

    def clean_code(self) -> str:
        attempt = tries.count(tries.CODE, user=self.user)
        with transaction.atomic():
            code: str = super().clean_code()  # type: ignore[misc]
            if self.authenticator.type == Authenticator.Type.RECOVERY_CODES:
                record_own(person=self.user, action="person.recovery_code_used")
        attempt.right()
        return code


class SecondFactor(_CountedCode, AuthenticateForm):
    pass


class SecondFactorAgain(_CountedCode, ReauthenticateForm):
    pass


class ChangePassword(ChangePasswordForm):
    def clean_oldpassword(self) -> str:
        password: str = self.cleaned_data["oldpassword"]
        if not tries.is_password_of(self.user, password):
            raise get_adapter().validation_error("enter_current_password")
        return password
