"""How the OpenAPI schema describes our tokens. Loaded by `models_app.api.urls`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from models_app.models import ApiToken


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "models_app.api.authentication.ScopedTokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        scopes = "\n".join(f"- `{name}`: {meaning}" for name, meaning in ApiToken.SCOPES.items())
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token gly_…`, made on the page API tokens. A token has scopes:\n\n" + scopes,
        }

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
        return {self.name: []}
