"""One open page as the hub sees it: what it watches, and what still has to be sent to it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from acc.messages import JobUpdate, Misunderstood, Ping, Pulse, Refused, Signal, ToPage, Versions, checked

MAX_FRAMES = 64
MAX_NOTICES = 100


class Client:
    """A bounded mailbox: of signals and states the newest per topic and job, of frames the last 64.

    A page too slow to read therefore costs a fixed amount of memory and delays nobody else.
    """

    def __init__(self, user_id: Any, credential: str | None) -> None:
        self.user_id = user_id
        self.credential = credential
        self.told: dict[str, int] = {}
        self.jobs: set[str] = set()
        self.dropped_frames = 0
        self.close_code: int | None = None
        self._notices: deque[Versions | Refused | Misunderstood] = deque(maxlen=MAX_NOTICES)
        self._latest: dict[tuple[str, str], Signal | JobUpdate | Pulse | Ping] = {}
        self._frames: deque[bytes] = deque()
        self._wake = asyncio.Event()

    def notice(self, message: Versions | Refused | Misunderstood) -> None:
        """Queue a message that stands alone: an answer, a refusal."""
        self._notices.append(checked(ToPage, message))
        self._wake.set()

    def latest(self, name: str, message: Signal | JobUpdate | Pulse | Ping) -> None:
        """Queue a message that makes the waiting one of the same type and ``name`` pointless."""
        self._latest[message["type"], name] = checked(ToPage, message)
        self._wake.set()

    def frame(self, payload: bytes) -> None:
        """Queue a frame of points."""
        if len(self._frames) >= MAX_FRAMES:
            self._frames.popleft()
            self.dropped_frames += 1
        self._frames.append(payload)
        self._wake.set()

    def close(self, code: int) -> None:
        """Ask for the socket to be closed with ``code`` once all is sent."""
        self.close_code = code
        self._wake.set()

    async def outgoing(self) -> AsyncIterator[str | bytes]:
        """Yield what is to be sent, text before frames, until the client is closed."""
        while True:
            while self._notices:
                yield json.dumps(self._notices.popleft(), default=str)
            while self._latest:
                yield json.dumps(self._latest.pop(next(iter(self._latest))), default=str)
            while self._frames and not self._notices:
                yield self._frames.popleft()
            if self.close_code is not None:
                return
            if not (self._notices or self._latest or self._frames):
                await self._wake.wait()
            self._wake.clear()
