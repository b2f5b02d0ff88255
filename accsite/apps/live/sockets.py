"""What the sockets of pages have in common: who may open one, and how much may come through it in a while."""

from __future__ import annotations

import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

WINDOW_SECONDS = 10.0
# Applications may close with 1000 or 3000 to 4999 only.
CLOSE_TOO_BIG = 4009
CLOSE_POLICY = 4008


class PageSocket(AsyncWebsocketConsumer):  # type: ignore[misc]
    """A socket that holds no connection to Redis of its own."""

    channel_layer_alias = ""

    def is_welcome(self) -> bool:
        """Return whether a signed-in user opens it on a page of this very site; closed before, it answers HTTP 403."""
        user = self.scope.get("user")
        return user is not None and user.is_authenticated and _same_site(self.scope)


class Window:
    """The messages of the last while, of which there may be ``most``."""

    def __init__(self, most: int) -> None:
        self._received: deque[float] = deque(maxlen=most)

    def takes(self) -> bool:
        """Return whether a message that came now is not one too many, and count it."""
        now = time.monotonic()
        if len(self._received) == self._received.maxlen and now - self._received[0] < WINDOW_SECONDS:
            return False
        self._received.append(now)
        return True


def _same_site(scope: dict[str, Any]) -> bool:
    """Return whether the page came from this site; an allowed host on another port is another site."""
    headers = dict(scope["headers"])
    origin, host = headers.get(b"origin", b"").decode("latin1"), headers.get(b"host", b"").decode("latin1")
    return origin in settings.CSRF_TRUSTED_ORIGINS or (bool(host) and urlsplit(origin).netloc == host)
