"""Keeps the embedded set-up, whose secrets lie beside its data, on the machine that it runs on."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from acc.errors import InvalidInput

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_REFUSAL = (
    b"This is an embedded installation: it answers on the loopback address of its own machine only.\n"
    b"Run it with DJANGO_SETTINGS_MODULE=accsite.settings.production to serve other machines.\n"
)


def is_loopback(host: str) -> bool:
    """Return whether ``host`` (address or name) is this machine's loopback and nothing else."""
    bare = host.strip().removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(bare, None)
    except (OSError, UnicodeError):
        return False
    return bool(bare) and all(ipaddress.ip_address(str(entry[4][0])).is_loopback for entry in found)


def assert_loopback(host: str) -> None:
    """Raise InvalidInput if embedded settings are to be served at anything but the loopback address."""
    if getattr(settings, "ACC_EMBEDDED", False) and not is_loopback(host):
        raise InvalidInput(
            host=f"{host!r} can be reached from other machines, and embedded settings must not; "
            "use 127.0.0.1, or accsite.settings.production"
        )


class LoopbackOnly:
    """ASGI wrapper that refuses, under embedded settings, whatever did not come over the loopback interface.

    It stands behind `assert_loopback`, for a server that was started by hand with another address.
    """

    def __init__(self, application: Callable[[Scope, Receive, Send], Awaitable[Any]]) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on, or answer 403."""
        if not getattr(settings, "ACC_EMBEDDED", False) or _is_local(scope):
            await self.application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})


def _is_local(scope: Scope) -> bool:
    """Return whether both ends are loopback addresses; a UNIX socket has none and is local."""
    ends = [scope.get("server"), scope.get("client")]
    return all(_is_loopback_address(end[0]) for end in ends if end)


def _is_loopback_address(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        # Not an address: the path of a UNIX socket, or the name that a test client gives itself.
        return True
