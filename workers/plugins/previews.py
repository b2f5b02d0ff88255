"""The watcher's desk for questions: they come through Redis, the check server answers them, Redis takes the answers.

Two threads talk to Redis, so that one that is slow or away never keeps the watcher from its files.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress
from typing import Any

import redis
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from acc.errors import InvalidInput
from acc.plugins.checker import Checker, PreviewRequest
from accsite.apps.registry import questions

TAKE_SECONDS = 1.0
PAUSE_SECONDS = 1.0
MAX_WAITING = 100

log = structlog.get_logger(__name__)


class PreviewDesk:
    """``serve`` on the watcher's own thread, whenever ``reader`` or the checker is readable."""

    def __init__(self, checker: Checker) -> None:
        self.checker = checker
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._taken: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._made: queue.Queue[tuple[dict[str, Any], dict[str, Any]] | None] = queue.Queue(MAX_WAITING)
        self._asked: dict[str, dict[str, Any]] = {}
        self._stop = threading.Event()

    def start(self) -> None:
        for work in (self._take, self._tell):
            threading.Thread(target=work, name=f"previews{work.__name__}", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        with suppress(queue.Full):
            self._made.put_nowait(None)

    def serve(self) -> None:
        """Hand new requests to the checker, and what it has made to whoever waits; never waits itself."""
        with suppress(BlockingIOError):
            while os.read(self.reader, 4096):
                pass
        while not self._taken.empty():
            asked = self._taken.get_nowait()
            try:
                whole = {**asked, **questions.source_of(asked)}
            except InvalidInput as error:
                self._answer(asked, {"error": str(error), "fields": error.fields})
                continue
            self._asked[asked["ticket"]] = asked
            self.checker.preview(
                PreviewRequest(**{name: whole[name] for name in PreviewRequest.__dataclass_fields__})
            )
        for request, report in self.checker.receive_previews():
            known = self._asked.pop(request.ticket, None)
            if known is not None:
                self._answer(known, report)

    def _answer(self, asked: dict[str, Any], report: dict[str, Any]) -> None:
        with suppress(queue.Full):  # Redis is away, and nobody waits so long
            self._made.put_nowait((asked, report))

    def _take(self) -> None:
        client = _client()
        while not self._stop.is_set():
            try:
                asked = questions.take(client, TAKE_SECONDS)
            except (RedisError, ValueError) as error:
                log.info("previews_not_taken", error=str(error))
                self._stop.wait(PAUSE_SECONDS)
                continue
            if asked is not None:
                self._taken.put(asked)
                with suppress(BlockingIOError):
                    os.write(self._writer, b"!")

    def _tell(self) -> None:
        client = _client()
        while (made := self._made.get()) is not None and not self._stop.is_set():
            try:
                questions.answer(client, *made)
            except RedisError as error:
                log.info("preview_not_told", error=str(error))


def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=1)
