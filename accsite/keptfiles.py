"""Answers for static files from memory: a page asks for some twenty, and each would take a turn of Django's thread."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders

Scope = dict[str, Any]
Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MOST_BYTES = 16 * 2**20
"""Of all bodies that are kept; what does not fit any more is answered by Django each time."""
_TOLD_AGAIN = frozenset({b"etag", b"last-modified", b"cache-control", b"vary"})


@dataclass(frozen=True)
class _Kept:
    stamp: tuple[int, int]  # of the file: when it was changed, in ns, and how long it is
    headers: Headers
    body: bytes


class KeptFiles:
    """ASGI wrapper that keeps Django's answers to requests for whole static files, until a file changes.

    Whatever is asked in another way (a part, by a date, with another method) is Django's to answer. What was read of a
    file while somebody wrote it is not kept: its stamp is taken before, and looked at again after.
    """

    def __init__(self, application: Callable[..., Awaitable[Any]]) -> None:
        self.application = application
        self.prefix = f"/{settings.STATIC_URL.strip('/')}/"
        self.kept: dict[tuple[str, bool], _Kept] = {}
        self.bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or keep what Django answers."""
        headers = dict(scope.get("headers", ()))
        file = self._file(scope, headers)
        stamp = _stamp(file) if file else None
        if file is None or stamp is None:
            await self.application(scope, receive, send)
            return
        key = (scope["path"], b"gzip" in headers.get(b"accept-encoding", b""))
        kept = self.kept.get(key)
        if kept is not None and kept.stamp == stamp:
            await _answer(kept, headers, send)
        elif b"if-none-match" in headers:
            await self.application(scope, receive, send)
        else:
            self._keep(key, file, stamp, await self._asked(scope, receive, send))

    def _file(self, scope: Scope, headers: dict[bytes, bytes]) -> Path | None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(self.prefix):
            return None
        by_date = b"if-modified-since" in headers and b"if-none-match" not in headers  # a tag counts for more
        if b"range" in headers or by_date:
            return None
        return _find(scope["path"].removeprefix(self.prefix))

    async def _asked(self, scope: Scope, receive: Receive, send: Send) -> list[dict[str, Any]]:
        """Return what Django has answered, once it is sent."""
        messages: list[dict[str, Any]] = []

        async def listen(message: dict[str, Any]) -> None:
            messages.append(message)
            await send(message)

        await self.application(scope, receive, listen)
        return messages

    def _keep(
        self, key: tuple[str, bool], file: Path, stamp: tuple[int, int], messages: list[dict[str, Any]]
    ) -> None:
        body = b"".join(message.get("body", b"") for message in messages)
        whole = bool(messages) and messages[0].get("status") == HTTPStatus.OK
        if not whole or stamp != _stamp(file):
            return
        old = self.kept.pop(key, None)
        self.bytes += len(body) - (len(old.body) if old else 0)
        if self.bytes > MOST_BYTES:
            self.bytes -= len(body)
            return
        own = [(name, value) for name, value in messages[0]["headers"] if name.lower() != b"x-request-id"]
        self.kept[key] = _Kept(stamp, own, body)


async def _answer(kept: _Kept, asked: dict[bytes, bytes], send: Send) -> None:
    tags = {name.lower(): value for name, value in kept.headers}
    request_id = (b"X-Request-ID", uuid.uuid4().hex.encode())
    tag = tags.get(b"etag")
    if tag is not None and asked.get(b"if-none-match") == tag:
        again = [(name, value) for name, value in kept.headers if name.lower() in _TOLD_AGAIN]
        await send({"type": "http.response.start", "status": 304, "headers": [*again, request_id]})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [*kept.headers, request_id]})
    await send({"type": "http.response.body", "body": kept.body})


@lru_cache(maxsize=1024)
def _find(name: str) -> Path | None:
    """Return where a static file lies; what anybody may ask for must not fill the memory."""
    found = finders.find(name) if name and ".." not in name and not name.startswith("/") else None
    return Path(found) if isinstance(found, str) else None


def _stamp(file: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = file.stat()
        return found.st_mtime_ns, found.st_size
    return None
