"""Fans out to the open pages of this process: one subscription to Redis, whatever the number of pages.

Redis is only the fast path. Every few seconds the hub compares the versions in the database with what each
page was told, so that a signal lost on the way (or a Redis that is away) costs seconds and never a change.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import redis.asyncio
import structlog
from channels.db import DatabaseSyncToAsync
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import DatabaseError
from redis.exceptions import RedisError

from acc.messages import Hint, JobUpdate, Pulse, Refused, Signal
from accsite.apps.access.selectors import live_credentials
from accsite.apps.live import selectors
from accsite.apps.live import topics as kinds
from accsite.apps.live.client import Client
from accsite.apps.live.sender import FRAME_CHANNEL, GROUP

T = TypeVar("T")

FRAME_VERDICT_SECONDS = 1.0
REDIS_SECONDS = 2.0
# How long a page that subscribes waits for a hub that is only just starting; without Redis it goes on without.
LISTENING_SECONDS = 1.0
BACKOFF_SECONDS = (0.1, 2.0)
CLOSE_SIGNED_OUT = 4401
UNREACHABLE = (RedisError, OSError, TimeoutError)

log = structlog.get_logger(__name__)

# Not the request threads: a slow page must not delay the sockets, nor the sockets a page.
_threads = ThreadPoolExecutor(4, thread_name_prefix="live")


async def in_thread(function: Callable[..., T], *args: Any, threads: ThreadPoolExecutor = _threads) -> T:
    """Return ``function(*args)``, run on a thread that may use the database."""
    result: T = await DatabaseSyncToAsync(function, thread_sensitive=False, executor=threads)(*args)
    return result


class Hub:
    """Everything the pages of one event loop share."""

    def __init__(self) -> None:
        self.clients: set[Client] = set()
        self._by_topic: dict[str, set[Client]] = defaultdict(set)
        self._by_job: dict[str, set[Client]] = defaultdict(set)
        self._verdicts: dict[str, tuple[float, set[Any]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._channel = ""
        self._hears_signals, self._hears_frames = asyncio.Event(), asyncio.Event()
        self._sessions_checked_at = time.monotonic()

    def join(self, client: Client) -> None:
        """Take in a page; the first one starts the hub, which then runs as long as its event loop."""
        self.clients.add(client)
        if not self._tasks:
            for coroutine in (self._signals(), self._frames(), self._tick()):
                self._tasks.append(asyncio.create_task(coroutine))

    def leave(self, client: Client) -> None:
        self.clients.discard(client)
        self.forget(client, list(client.told), list(client.jobs))

    async def watch(self, client: Client, topics: Iterable[str], jobs: Iterable[str]) -> None:
        """Send ``client`` what happens to topics and jobs, which were found allowed, and their state now."""
        # Listening, then indexed, then read: what changes in between is sent or read, never missed.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTENING_SECONDS):
                await self._hears_signals.wait()
                await self._hears_frames.wait()
        if client not in self.clients:
            return
        for topic in topics:
            client.told.setdefault(topic, -1)
            self._by_topic[topic].add(client)
        for job in jobs:
            client.jobs.add(job)
            self._by_job[job].add(client)
        if topics:
            await self._tell_versions([client], list(topics))
        for job in jobs:
            await self._send_state(job, [client])

    def forget(self, client: Client, topics: Iterable[str], jobs: Iterable[str]) -> None:
        """Stop sending ``client`` what happens to these topics and jobs."""
        for topic in topics:
            client.told.pop(topic, None)
            _discard(self._by_topic, topic, client)
        for job in jobs:
            client.jobs.discard(job)
            _discard(self._by_job, job, client)
            self._verdicts.pop(job, None)

    async def _tell_versions(self, clients: Iterable[Client], topics: Iterable[str]) -> None:
        versions = await in_thread(selectors.versions, list(topics))
        for client in clients:
            # A signal may have overtaken the answer of the database.
            mine = {
                topic: max(version, client.told[topic])
                for topic, version in versions.items()
                if topic in client.told
            }
            client.told.update(mine)
            client.notice({"type": "versions", "topics": mine})

    # -- signals ---------------------------------------------------------------------------------

    async def _signals(self) -> None:
        await self._persist(self._listen_to_signals, "signals")

    async def _listen_to_signals(self) -> None:
        layer = get_channel_layer()
        self._channel = self._channel or await layer.new_channel("hub")
        await asyncio.wait_for(layer.group_add(GROUP, self._channel), REDIS_SECONDS)
        try:
            self._hears_signals.set()
            await self._catch_up()
            while True:
                message: Signal = await layer.receive(self._channel)
                await self._deliver(message["topic"], message["version"], message.get("data"))
                prefix, _, key = message["topic"].partition(":")
                if prefix == "job" and key in self._by_job:
                    await self._send_state(key)
        finally:
            self._hears_signals.clear()

    async def _deliver(self, topic: str, version: int, data: Hint | None) -> None:
        """Signal those who were told of an older version and may still see the topic."""
        behind = [client for client in self._by_topic.get(topic, ()) if client.told[topic] < version]
        if not behind:
            return
        allowed = await in_thread(selectors.allowed_users, topic, {client.user_id for client in behind})
        message = Signal(type="signal", topic=topic, version=version, data=data)
        for client in behind:
            if client.user_id not in allowed:
                self._refuse(client, topic=topic)
            elif client.told.get(topic, version) < version:
                client.told[topic] = version
                client.latest(topic, message)

    async def _catch_up(self) -> None:
        """Bring every page level with the database, whatever was lost on the way."""
        if not self._by_topic:
            return
        versions = await in_thread(selectors.versions, list(self._by_topic))
        for topic, version in versions.items():
            await self._deliver(topic, version, None)

    # -- jobs ------------------------------------------------------------------------------------

    async def _send_state(self, job: str, clients: Iterable[Client] | None = None) -> None:
        watching = list(self._by_job.get(job, ())) if clients is None else list(clients)
        topic = f"job:{job}"
        allowed = await in_thread(selectors.allowed_users, topic, {client.user_id for client in watching})
        state = await in_thread(selectors.snapshot, topic) if allowed else None
        for client in watching:
            if client.user_id not in allowed:
                self._refuse(client, job=job)
            elif state is not None:
                update: JobUpdate = {**state, "type": "job"}
                client.latest(job, update)

    async def _frames(self) -> None:
        await self._persist(self._listen_to_frames, "frames")

    async def _listen_to_frames(self) -> None:
        client = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=REDIS_SECONDS, socket_keepalive=True
        )
        try:
            async with client.pubsub() as subscription:
                await subscription.psubscribe(f"{FRAME_CHANNEL}*")
                async for message in subscription.listen():
                    self._hears_frames.set()
                    if message["type"] == "pmessage":
                        job = message["channel"].decode()[len(FRAME_CHANNEL) :]
                        await self._on_frame(job, message["data"])
        finally:
            self._hears_frames.clear()
            with contextlib.suppress(*UNREACHABLE):
                await client.aclose()

    async def _on_frame(self, job: str, payload: bytes) -> None:
        watching = self._by_job.get(job)
        if not watching:
            return
        checked_at, allowed = self._verdicts.get(job, (0.0, set()))
        users = {client.user_id for client in watching}
        if time.monotonic() - checked_at > FRAME_VERDICT_SECONDS or not users <= allowed:
            allowed = await in_thread(selectors.allowed_users, f"job:{job}", users)
            self._verdicts[job] = (time.monotonic(), allowed)
        for client in list(watching):
            if client.user_id in allowed:
                client.frame(payload)
            else:
                self._refuse(client, job=job)

    def _refuse(self, client: Client, *, topic: str | None = None, job: str | None = None) -> None:
        """Stop what ``client`` may no longer see, and say so."""
        self.forget(client, [topic] if topic else [], [job] if job else [])
        told = Refused(type="refused", reason="you may no longer see it, or it is gone")
        if topic:
            told["topic"] = topic
        if job:
            told["job"] = int(job)
        client.notice(told)

    # -- time ------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(settings.ACC_PING_SECONDS)
            try:
                await self._ping()
            except DatabaseError:
                log.exception("the database did not answer the live ping; trying again")
            except UNREACHABLE:
                # The listeners find out for themselves and come back.
                continue

    async def _ping(self) -> None:
        for client in self.clients:
            client.latest("", {"type": "ping", "time": time.time()})
        await self._catch_up()
        for job in list(self._by_job):
            await self._send_state(job)
        for topic, pulse in kinds.pulses().items():
            watching = list(self._by_topic.get(topic, ()))
            if watching:
                message = Pulse(type="pulse", topic=topic, data=await in_thread(pulse))
                for client in watching:
                    client.latest(topic, message)
        if time.monotonic() - self._sessions_checked_at >= 3 * settings.ACC_PING_SECONDS:
            await self.check_sessions()
        if self._channel:
            # A Redis that was emptied has forgotten the group, and says nothing.
            await asyncio.wait_for(get_channel_layer().group_add(GROUP, self._channel), REDIS_SECONDS)

    async def check_sessions(self) -> None:
        """Close the sockets of those who signed out, were switched off, changed their password, or lost a token."""
        self._sessions_checked_at = time.monotonic()
        signed_in = [client for client in self.clients if client.credential]
        alive = await in_thread(live_credentials, {client.credential for client in signed_in})
        for client in signed_in:
            if alive.get(client.credential or "") != client.user_id:
                client.close(CLOSE_SIGNED_OUT)

    async def _persist(self, listen: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        """Run ``listen`` for ever; after a failure try again, soon at first and then every 2 s."""
        pause, failed = BACKOFF_SECONDS[0], False
        while True:
            started = time.monotonic()
            try:
                await listen()
            except (*UNREACHABLE, DatabaseError) as error:
                if not failed:
                    log.warning(f"live {what} are interrupted; trying again", error=repr(error))
            except Exception:
                log.exception(f"live {what} failed; trying again")
            if time.monotonic() - started > BACKOFF_SECONDS[1]:
                pause, failed = BACKOFF_SECONDS[0], False
            else:
                failed = True
            await asyncio.sleep(pause)
            pause = min(pause * 2, BACKOFF_SECONDS[1])


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """Return the hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


def _discard(index: dict[str, set[Client]], name: str, client: Client) -> None:
    clients = index.get(name)
    if clients is not None:
        clients.discard(client)
        if not clients:
            del index[name]
