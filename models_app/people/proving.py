"""A person who decides proves again to be the one of the account, by the password or by a code of the authenticator
app: an open screen decides nothing."""

from __future__ import annotations

from collections.abc import Mapping

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User

from models_app.foundation import tries
from models_app.foundation.errors import InvalidInput

DIGITS = (6, 8)


def has_codes(user: User) -> bool:
    return Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()


def refuse_wrong(wrong: Mapping[str, str], user: User, *, password: str, code: str = "") -> None:
    """For a form that asks for the password or a code: raises InvalidInput with what is wrong with it, by field, and
    with what does not prove who gave it. A code, which is good once, is tried when nothing else is wrong."""
    found = dict(wrong)
    if not (code.strip() and found):
        found |= _unproven(user, password=password, code=code)
    if found:
        raise InvalidInput(" ".join(found.values()), fields=found)


def _unproven(user: User, *, password: str, code: str = "") -> dict[str, str]:
    """What is wrong, by field; empty where the password is right, or the code where one is given.

    Each try is counted; a code is good once. Raises TooManyTries.
    """
    if code.strip():
        if _is_code_of(user, "".join(code.split())):
            return {}
        return {"code": "This is not the code that your authenticator app shows now, or it was used already."}
    if tries.is_password_of(user, password):
        return {}
    return {"password": "This is not your password."}


def _is_code_of(user: User, code: str) -> bool:
    attempt = tries.count(tries.CODE, user=user)
    app = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
    written = code.isascii() and code.isdecimal() and DIGITS[0] <= len(code) <= DIGITS[1]
    if app is None or not written or not app.wrap().validate_code(code):
        return False
    attempt.right()
    return True
