"""Tells who opens a WebSocket: a browser by its session, a program by ``Authorization: Token …`` (or Bearer)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from rest_framework.exceptions import AuthenticationFailed

from accsite.apps.access.models import ApiToken
from accsite.apps.access.selectors import TOKEN
from accsite.apps.access.tokens import SCHEMES, find_token

Application = Callable[..., Awaitable[Any]]


class SignedInSockets:
    """ASGI wrapper that sets ``user`` and ``credential`` of the scope.

    No page of another site can send this header, so a token needs no look at cookies.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self.by_session = AuthMiddlewareStack(self._with_session)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass the connection on with its user."""
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin1").split()
        if not header:
            await self.by_session(scope, receive, send)
            return
        token = await _find(header)
        signed_in = {"user": token and token.user, "credential": token and TOKEN + token.digest}
        await self.application({**scope, **signed_in}, receive, send)

    async def _with_session(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        session = scope.get("session")
        key = session.session_key if session is not None else None
        await self.application({**scope, "credential": key}, receive, send)


@database_sync_to_async  # type: ignore[untyped-decorator]
def _find(header: list[str]) -> ApiToken | None:
    if len(header) != 2 or header[0].lower() not in SCHEMES:
        return None
    try:
        return find_token(header[1])
    except AuthenticationFailed:
        return None
