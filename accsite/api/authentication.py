"""``Authorization: Token acc_…`` or ``Bearer``: who a program acts for, and whether it may change anything."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from accsite.apps.access.models import TokenScope
from accsite.apps.access.tokens import SCHEMES, find_token


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]
    """Signs a request in by its token. A token that only reads is refused here, before any view's own permissions."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return user and token, or None when the request has none."""
        scheme, *words = get_authorization_header(request).split() or [b""]
        if scheme.decode("latin1").lower() not in SCHEMES:
            return None  # such as what a proxy in front of the site was sent
        if len(words) != 1:
            raise AuthenticationFailed("send one token: 'Authorization: Token acc_…' or 'Bearer acc_…'")
        found = self.authenticate_credentials(words[0])
        if found[1].scope != TokenScope.WRITE and request.method not in SAFE_METHODS:
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
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token acc_…` or `Bearer acc_…`, made on your profile page or by `manage.py tokens`.",
        }
