"""Refuses the bodies of requests that are larger than their address takes, before anything of them is kept.

Django copies a body to disk before any view, and Daphne even before Django; both are held to a limit here.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from typing import Any

from daphne import http_protocol
from django.conf import settings
from django.urls import Resolver404, resolve

from accsite.problems import refusal

FORM_BYTES = 2**20
"""What a form of uploads may hold beside its files."""

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def _limits() -> dict[str, int]:
    """Return how many bytes the addresses of uploads take: a dataset comes with its labels."""
    dataset, checkpoint = 2 * settings.ACC_MAX_DATASET_BYTES, settings.ACC_IMPORT_BYTES
    return {
        "api:dataset-import": dataset + FORM_BYTES,
        "datasets:dataset-import": dataset + FORM_BYTES,
        "api:checkpoint-take-in": checkpoint + FORM_BYTES,
        "trees:experiment-import": checkpoint + FORM_BYTES,
        "api:track-weights": checkpoint + FORM_BYTES,
    }


def most_bytes(path: str) -> int:
    """Return how many bytes the body of a request to ``path`` may have."""
    try:
        name = resolve(path).view_name
    except Resolver404:
        name = ""
    return _limits().get(name, _plain_limit())


def _plain_limit() -> int:
    return int(settings.ACC_MAX_BODY_BYTES) + FORM_BYTES


class _TooLarge(Exception):
    pass


class BoundedBodies:
    """ASGI wrapper that answers 413 to what announces, or turns out to have, more bytes than its address takes."""

    def __init__(self, application: Callable[..., Awaitable[Any]]) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        length = dict(scope.get("headers", ())).get(b"content-length", b"")
        announced = int(length) if length.isdigit() else None
        if scope["type"] != "http" or (announced is not None and announced <= _plain_limit()):
            await self.application(scope, receive, send)
            return
        most, seen = most_bytes(scope["path"]), 0

        async def counted() -> dict[str, Any]:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise _TooLarge
            return message

        try:
            if announced is not None and announced > most:
                raise _TooLarge
            await self.application(scope, counted, send)
        except _TooLarge:
            answer = refusal(
                scope["path"],
                413,
                "The request is too large",
                f"a request to this address may have {most:,} bytes",
            )
            headers = [(name.lower().encode(), value.encode()) for name, value in answer.items()]
            await send({"type": "http.response.start", "status": 413, "headers": headers})
            await send({"type": "http.response.body", "body": answer.content})


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc]
    """A request of Daphne that keeps one byte too many, by which it is told, and none beyond."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Or Twisted would take forms apart in memory, files and all, where Django does it on disk.
        super().__init__(*args, parsePOSTFormSubmission=False, **kwargs)

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """Make room for a body of ``length`` bytes, None when that is not announced."""
        form = (self.getHeader("content-type") or "").lower().startswith("multipart/form-data")
        self._room = 1 + (max(_limits().values()) if form else _plain_limit())
        super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Keep as much of ``data`` as there is room for."""
        super().handleContentChunk(data[: self._room])
        self._room -= min(len(data), self._room)

    def process(self) -> Any:
        """Hand the request on, which takes its whole body into memory: not more of it than will be refused."""
        most = most_bytes(self.path.decode("latin-1"))
        if self.content.seek(0, io.SEEK_END) > most:
            self.content.truncate(most + 1)
        return super().process()


def bound_daphne() -> None:
    """Let Daphne make such requests; it has no option for it."""
    http_protocol.WebRequest = BoundedRequest
