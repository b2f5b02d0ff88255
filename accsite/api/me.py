"""Who a request acts for, and that user's own tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import BaseModel, Field
from rest_framework import mixins, status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from acc.names import MAX_NAME
from accsite.api.lookup import body
from accsite.apps.access import tokens
from accsite.apps.access.models import ApiToken, TokenScope
from accsite.apps.access.permissions import Role, roles_of
from accsite.problems import Problem


class Token(BaseModel):
    """A token; what it was made of is kept nowhere. ``key``: its first characters."""

    id: UUID
    name: str
    key: str
    scope: TokenScope
    created: datetime
    expires: datetime
    last_used: datetime | None


class NewToken(Token):
    """A token that has just been made."""

    token: str = Field(description="shown this once")


class TokenRequest(BaseModel):
    """What a token is for, what it may do and how long."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    scope: TokenScope = TokenScope.READ
    days: int = Field(default=tokens.DEFAULT_DAYS, ge=1, le=tokens.MAX_DAYS)


class Me(BaseModel):
    """Who asks."""

    username: str
    roles: list[Role]
    token: Token | None = Field(description="the token of this request; null for a signed-in browser")


class MeView(APIView):
    """Oneself."""

    @extend_schema(operation_id="me", responses=Me)
    def get(self, request: Request) -> Response:
        """Return who this request acts for, and what they may do."""
        token = state(request.auth) if isinstance(request.auth, ApiToken) else None
        name = request.user.get_username()
        return Response({"username": name, "roles": sorted(roles_of(request.user)), "token": token})


class TokenViewSet(mixins.ListModelMixin, mixins.DestroyModelMixin, GenericViewSet[ApiToken]):
    """One's own tokens that still work."""

    queryset = ApiToken.objects.none()
    lookup_field = "id"
    lookup_value_regex = "[0-9a-f-]{36}"
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[ApiToken]:
        """Return the user's own, newest first."""
        mine = [row.pk for row in tokens.tokens_of(_user(self.request))]
        rows: QuerySet[ApiToken] = ApiToken.objects.filter(pk__in=mine)
        return rows

    @extend_schema(responses=Token)
    def list(self, *_: Any, **__: Any) -> Response:
        """List one's own tokens, newest first."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response([state(row) for row in page or []])

    @extend_schema(
        request=TokenRequest,
        responses={
            201: NewToken,
            403: OpenApiResponse(Problem, "A token may not make another, which could outlive it."),
            422: OpenApiResponse(Problem, "The input was refused; `errors` names each field."),
        },
    )
    def create(self, request: Request) -> Response:
        """Make a token, from a signed-in browser alone; it is shown this once."""
        if isinstance(request.auth, ApiToken):
            raise PermissionDenied(
                "a token may not make another, which could outlive it; sign in to make one"
            )
        asked = {"name": "", **body(request, *TokenRequest.model_fields)}
        row, token = tokens.make_token(user=_user(request), **asked)
        answer = Response({**state(row), "token": token}, status=status.HTTP_201_CREATED)
        answer["Cache-Control"] = "no-store"
        return answer

    @extend_schema(responses={204: None})
    def destroy(self, *_: Any, **__: Any) -> Response:
        """Revoke a token; sockets that were opened with it are closed."""
        tokens.revoke_token(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


def state(row: ApiToken) -> dict[str, Any]:
    """Return a token as JSON."""
    return {
        "id": row.id,
        "name": row.name,
        "key": row.token_key,
        "scope": row.scope,
        "created": row.created,
        "expires": row.expiry,
        "last_used": row.last_used_at,
    }


def _user(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user
