"""allauth's pages of the second factor, with an event in the transaction of what it tells of; and what was done to
one's own account, by whom: people see when an administrator has reset their password."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from models_app.models import AuditEvent
from models_app.people.own import record_own
from models_app.web.pages import paginate, user_of
from models_app.web.trail import tell


class ActivateTOTP(ActivateTOTPView):
    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            answer: HttpResponse = super().form_valid(form)
            record_own(person=user_of(self.request), action="person.second_factor_on")
            # good once: without this the code that switches it on signs in, or decides, as well
            app = Authenticator.objects.get(user=user_of(self.request), type=Authenticator.Type.TOTP)
            app.wrap().validate_code(form.cleaned_data["code"])
        return answer


class DeactivateTOTP(DeactivateTOTPView):
    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            answer: HttpResponse = super().form_valid(form)
            record_own(person=user_of(self.request), action="person.second_factor_off")
        return answer


class GenerateRecoveryCodes(GenerateRecoveryCodesView):
    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            answer: HttpResponse = super().form_valid(form)
            record_own(person=user_of(self.request), action="person.recovery_codes_made")
        return answer


@require_safe
def history(request: HttpRequest) -> HttpResponse:
    events = AuditEvent.objects.filter(subject=f"user:{user_of(request).pk}").order_by("-id")
    context = {"page": (page := paginate(request, events, 50)), "told": tell(page)}
    return render(request, "account/history.html", context)


# Before allauth's own at the same addresses.
urlpatterns = [
    path("history/", history, name="account_history"),
    path("2fa/totp/activate/", ActivateTOTP.as_view(), name="mfa_activate_totp"),
    path("2fa/totp/deactivate/", DeactivateTOTP.as_view(), name="mfa_deactivate_totp"),
    path("2fa/recovery-codes/generate/", GenerateRecoveryCodes.as_view(), name="mfa_generate_recovery_codes"),
]
