"""Forms of allauth's pages that take a password or a code: each try is counted before it is looked at."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm

from models_app.foundation import tries


class SecondFactor(AuthenticateForm):
    def clean_code(self) -> str:
        attempt = tries.count(tries.CODE, user=self.user)
        code: str = super().clean_code()
        attempt.right()
        return code


class SecondFactorAgain(ReauthenticateForm):
    def clean_code(self) -> str:
        attempt = tries.count(tries.CODE, user=self.user)
        code: str = super().clean_code()
        attempt.right()
        return code


class ChangePassword(ChangePasswordForm):
    def clean_oldpassword(self) -> str:
        password: str = self.cleaned_data["oldpassword"]
        if not tries.is_password_of(self.user, password):
            raise get_adapter().validation_error("enter_current_password")
        return password
