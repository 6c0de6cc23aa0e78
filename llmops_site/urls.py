from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from models_app.web import error_pages


@login_not_required
def no_mail(request: HttpRequest, **kwargs: str) -> HttpResponse:
    """Galley sends no mail: a link that sets a password would end in a log. Administrators set new ones."""
    raise Http404("Galley sends no mail. An administrator can set a new password.")


urlpatterns = [
    re_path("^accounts/password/reset/", no_mail),
    path("", include("reviews.web.urls")),
    path("", include("models_app.web.urls")),
    path("accounts/", include("models_app.web.account_views")),
    path("accounts/", include("allauth.urls")),
    path("api/v1/", include("llmops_site.api_urls")),
    path("api/schema/", login_not_required(SpectacularAPIView.as_view()), name="schema"),
    path("api/docs/", login_not_required(SpectacularSwaggerSplitView.as_view()), name="api_docs"),
]
if settings.GALLEY_DJANGO_ADMIN:
    from llmops_site.admin import site

    urlpatterns.append(path("admin/", site.urls))
handler400 = error_pages.bad_request
handler403 = error_pages.forbidden
handler404 = error_pages.not_found
handler500 = error_pages.server_error
