"""The one thread of a process that talks to Redis for open pages; whoever has news hands it over and goes on.

Nothing here waits for Redis: what cannot be sent is dropped, oldest first, and the page finds the gap (a
topic's version, a frame's ``seq``) and asks for what it missed.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import os
import random
import threading
from collections import deque

import redis.asyncio
import structlog
from channels.layers import get_channel_layer
from django.conf import settings
from redis.exceptions import RedisError

from acc.messages import Hint, Signal, checked

GROUP = "acc.signals"
FRAME_CHANNEL = "acc:frames:"
MAX_SIGNALS = 1000
MAX_FRAMES = 256
SEND_SECONDS = 2.0
BACKOFF_SECONDS = (0.1, 2.0)
EXIT_SECONDS = 1.0
# Libraries that draw from Python's generator on this thread: for each message to a page that watches, and for each
# pause before Redis is tried again.
DRAWING = ("channels_redis.serializers", "redis.backoff")

log = structlog.get_logger(__name__)


def keep_random_apart() -> None:
    """Leave Python's generator to the training: being watched must not change what a plugin draws."""
    for name in DRAWING:
        module = importlib.import_module(name)
        if isinstance(module.random, random.SystemRandom):
            continue
        assert module.random is random, f"{name} draws from elsewhere by now"
        module.random = random.SystemRandom()  # type: ignore[attr-defined]


class Sender:
    """A bounded queue and a thread, started by the first message."""

    def __init__(self) -> None:
        self.dropped = 0
        self.down = False
        self._signals: dict[str, Signal] = {}
        self._frames: deque[tuple[str, bytes]] = deque()
        self._sending = False
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._redis: redis.asyncio.Redis | None = None
        self._redis_url = ""

    def signal(self, topic: str, version: int, data: Hint | None) -> None:
        """Queue a signal; a newer one of the same topic takes the place of one that still waits."""
        message = checked(Signal, Signal(type="signal", topic=topic, version=version, data=data))
        with self._changed:
            waiting = self._signals.pop(topic, None)
            if waiting is not None and waiting["version"] > version:
                message = waiting
            elif waiting is None and len(self._signals) >= MAX_SIGNALS:
                del self._signals[next(iter(self._signals))]
                self.dropped += 1
            self._signals[topic] = message
            self._start()

    def frame(self, key: str, payload: bytes) -> None:
        """Queue a frame of points; the oldest is dropped when 256 wait."""
        with self._changed:
            if len(self._frames) >= MAX_FRAMES:
                self._frames.popleft()
                self.dropped += 1
            self._frames.append((key, payload))
            self._start()

    def flush(self, seconds: float) -> bool:
        """Wait until all is sent, at most ``seconds``, not at all while Redis is down; return if it is."""
        with self._changed:
            self._changed.wait_for(lambda: self.down or not self._pending(), seconds)
            return not self._pending()

    def _pending(self) -> bool:
        return bool(self._sending or self._signals or self._frames)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="live-sender", daemon=True)
            self._thread.start()
        elif self._loop is not None and self._wake is not None:
            # A closed loop means that the interpreter is ending; there is nobody left to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    def _run(self) -> None:
        keep_random_apart()
        asyncio.run(self._main())

    async def _main(self) -> None:
        wake = asyncio.Event()
        with self._changed:
            self._loop, self._wake = asyncio.get_running_loop(), wake
        pause = BACKOFF_SECONDS[0]
        while True:
            signals, frames = self._take()
            if not signals and not frames:
                await wake.wait()
                wake.clear()
                continue
            try:
                await asyncio.wait_for(self._send(signals, frames), SEND_SECONDS)
            except (RedisError, OSError, TimeoutError) as error:
                self._sent(failed=len(signals) + len(frames), error=error)
                await self._disconnect()
                await asyncio.sleep(pause)
                pause = min(pause * 2, BACKOFF_SECONDS[1])
            except Exception as error:
                # One message that cannot be sent must not end the thread that sends all the others.
                log.exception("live message could not be sent")
                self._sent(failed=len(signals) + len(frames), error=error)
            else:
                self._sent()
                pause = BACKOFF_SECONDS[0]

    def _take(self) -> tuple[list[Signal], list[tuple[str, bytes]]]:
        with self._changed:
            signals, frames = list(self._signals.values()), list(self._frames)
            self._signals.clear()
            self._frames.clear()
            self._sending = bool(signals or frames)
            return signals, frames

    def _sent(self, *, failed: int = 0, error: BaseException | None = None) -> None:
        with self._changed:
            if failed and not self.down:
                log.warning("live updates are not reaching Redis; pages catch up later", error=repr(error))
            elif self.down and not failed:
                log.info("live updates reach Redis again", dropped=self.dropped)
            self.down = bool(failed)
            self.dropped += failed
            self._sending = False
            self._changed.notify_all()

    async def _send(self, signals: list[Signal], frames: list[tuple[str, bytes]]) -> None:
        if frames:
            client = await self._client()
            if len(frames) == 1:
                await client.publish(FRAME_CHANNEL + frames[0][0], frames[0][1])
            else:
                pipeline = client.pipeline(transaction=False)
                for key, payload in frames:
                    pipeline.publish(FRAME_CHANNEL + key, payload)
                await pipeline.execute()
        layer = get_channel_layer()
        for message in signals:
            await layer.group_send(GROUP, message)

    async def _client(self) -> redis.asyncio.Redis:
        if self._redis is None or self._redis_url != settings.REDIS_URL:
            await self._disconnect()
            self._redis_url = settings.REDIS_URL
            self._redis = redis.asyncio.Redis.from_url(self._redis_url, socket_keepalive=True)
        return self._redis

    async def _disconnect(self) -> None:
        client, self._redis = self._redis, None
        if client is not None:
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()


_current = Sender()
# A child keeps its parent's sender untouched: closing it would talk on sockets that are the parent's.
_inherited: list[Sender] = []


def signal(topic: str, version: int, data: Hint | None = None) -> None:
    """Hand a signal to the sender thread and return at once."""
    _current.signal(topic, version, data)


def frame(key: str, payload: bytes) -> None:
    """Hand a frame to the sender thread and return at once."""
    _current.frame(key, payload)


def flush(seconds: float = EXIT_SECONDS) -> bool:
    """Wait until all that was handed over is sent; for processes about to end. Return whether it was."""
    return _current.flush(seconds)


def _after_fork() -> None:
    global _current  # noqa: PLW0603 - the process changed under us; there is one sender per process
    _inherited.append(_current)
    _current = Sender()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(lambda: flush(EXIT_SECONDS))
