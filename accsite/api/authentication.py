"""``Authorization: Token acc_…``: who a program acts for, and whether its token lets it change anything."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from accsite.apps.access.models import TokenScope
from accsite.apps.access.tokens import find_token


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]
    """Signs a request in by its token. A token that only reads is refused here, before any view's own permissions."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return user and token, or None when the request has none."""
        found: tuple[Any, Any] | None = super().authenticate(request)
        if found and found[1].scope != TokenScope.WRITE and request.method not in SAFE_METHODS:
            raise PermissionDenied(f"the token {found[1].name!r} may only read; make one that may write")
        return found

    def authenticate_credentials(self, token: bytes) -> tuple[Any, Any]:
        """Return user and token; raises AuthenticationFailed."""
        try:
            row = find_token(token.decode("ascii"))
        except (UnicodeDecodeError, AuthenticationFailed):
            raise AuthenticationFailed(
                "this token is unknown, has expired or was revoked; your profile page lists those that work"
            ) from None
        return row.user, row


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes it."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, _auto_schema: Any) -> dict[str, str]:
        """Return the OpenAPI security scheme."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token acc_…`, made on your profile page or by `manage.py tokens`.",
        }
