"""The fields by which a person proves again to be the one of the account, in forms that decide something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib.auth.models import User

from models_app.foundation.errors import GalleyError, TooManyTries
from models_app.people.proving import has_codes


def put_on(form: forms.Form, wrong: Mapping[str, str]) -> None:
    """Each at its field, or above the form where it has no such field."""
    for name, message in wrong.items():
        form.add_error(name if name in form.fields else None, message)


class ProofForm(forms.Form):
    """Asks for the password; where the account has an authenticator app, for that or a code in its place. Which of the
    two is missing or wrong, the use case says. Shown by `models_app/releases/_proof.html`."""

    password = forms.CharField(
        label="Your password",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "required": True}),
        help_text="Asked for again, so that an open screen decides nothing.",
    )
    code = forms.CharField(
        label="Or a code",
        required=False,
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
        help_text="Of your authenticator app. One of the two is enough.",
    )

    def __init__(self, *args: Any, user: User | Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if has_codes(user):
            del self.fields["password"].widget.attrs["required"]
        else:
            del self.fields["code"]

    @property
    def signed(self) -> dict[str, str]:
        """What was given, for the use case."""
        return dict(self.cleaned_data)

    def add_refusal(self, error: GalleyError) -> None:
        """What the use case says is wrong, at its field."""
        fields = error.fields or {"": error.message}
        if isinstance(error, TooManyTries):
            fields = {"code" if self.cleaned_data.get("code") else "password": error.message}
        put_on(self, fields)
