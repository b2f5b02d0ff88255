"""The socket of a page: which topics and jobs it watches, and nothing else.

The page sends ``acc.messages.Watch`` and is sent ``acc.messages.ToPage``, and binary frames of points (``acc.wire``)
of its jobs.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import structlog
from typing_extensions import override

from acc.messages import Refused as RefusedMessage
from acc.messages import Watch
from accsite.apps.live import selectors, topics
from accsite.apps.live.client import Client
from accsite.apps.live.hub import Hub, hub, in_thread
from accsite.apps.live.sockets import CLOSE_POLICY, CLOSE_TOO_BIG, WINDOW_SECONDS, PageSocket, Window

MAX_MESSAGE_BYTES = 16 * 1024
MAX_SUBSCRIPTIONS = 200
MAX_MESSAGES = 60

log = structlog.get_logger(__name__)


class Refused(Exception):
    """A message that cannot be understood; the text says what would be right."""


class LiveConsumer(PageSocket):
    """One page's socket; what it hears comes from the hub."""

    async def connect(self) -> None:
        """Accept a signed-in user whose page came from this very site; anybody else gets HTTP 403."""
        if not self.is_welcome():
            await self.close()
            return
        self.client = Client(self.scope["user"].pk, self.scope.get("credential"))
        self.hub: Hub = hub()
        self.window = Window(MAX_MESSAGES)
        await self.accept()
        self.hub.join(self.client)
        self.writer = asyncio.create_task(self._write())

    @override
    async def disconnect(self, code: int) -> None:
        if hasattr(self, "client"):
            self.writer.cancel()
            self.hub.leave(self.client)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Handle one message of the page."""
        size = len(bytes_data or b"") if text_data is None else len(text_data.encode())
        if size > MAX_MESSAGE_BYTES:
            await self.close(CLOSE_TOO_BIG, reason=f"a message may have {MAX_MESSAGE_BYTES} bytes")
            return
        if not self.window.takes():
            await self.close(
                CLOSE_POLICY, reason=f"at most {MAX_MESSAGES} messages in {WINDOW_SECONDS:.0f} s"
            )
            return
        try:
            message = _parse(text_data)
            await self._handle(message)
        except Refused as error:
            self.client.notice({"type": "error", "detail": str(error)})

    async def _handle(self, message: Watch) -> None:
        wanted_topics, wanted_jobs = _names(message.get("topics", {})), _jobs(message.get("jobs", []))
        if message["type"] == "unsubscribe":
            self.hub.forget(self.client, wanted_topics, wanted_jobs)
            return
        total = {*self.client.told, *wanted_topics}, self.client.jobs | set(wanted_jobs)
        if sum(map(len, total)) > MAX_SUBSCRIPTIONS:
            raise Refused(f"a page may watch {MAX_SUBSCRIPTIONS} topics and jobs; unsubscribe first")
        refused = await in_thread(self._refusals, wanted_topics, wanted_jobs)
        for (kind, name), reason in refused.items():
            self.client.notice(
                RefusedMessage(type="refused", job=int(name), reason=reason)
                if kind == "job"
                else RefusedMessage(type="refused", topic=name, reason=reason)
            )
        await self.hub.watch(
            self.client,
            [name for name in wanted_topics if ("topic", name) not in refused],
            [name for name in wanted_jobs if ("job", name) not in refused],
        )

    def _refusals(self, wanted_topics: list[str], wanted_jobs: list[str]) -> dict[tuple[str, str], str]:
        """Return what this user may not watch, with the reason; the same one whether it exists or not."""
        wanted = [("topic", name, name) for name in wanted_topics]
        wanted += [("job", job, f"job:{job}") for job in wanted_jobs]
        refused = {}
        for kind, name, topic in wanted:
            try:
                topics.find(topic)
            except topics.UnknownTopic as error:
                refused[kind, name] = str(error)
                continue
            if not selectors.allowed_users(topic, [self.client.user_id]):
                refused[kind, name] = "it does not exist, or you may not see it"
        return refused

    async def _write(self) -> None:
        async for message in self.client.outgoing():
            if isinstance(message, bytes):
                await self.send(bytes_data=message)
            else:
                await self.send(text_data=message)
        await self.close(self.client.close_code, reason="you are signed out")


class NoSuchSocket(PageSocket):
    """Refuses a WebSocket at any other address with HTTP 403 instead of an error in the log."""

    async def connect(self) -> None:
        await self.close()


def _parse(text: str | None) -> Watch:
    if text is None:
        raise Refused("messages are JSON text, not binary")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused("this is not JSON") from None
    if not isinstance(message, dict) or message.get("type") not in {"subscribe", "unsubscribe"}:
        raise Refused('send an object with "type": "subscribe" or "unsubscribe"')
    return cast(Watch, message)  # its topics and jobs are looked at one by one


def _names(value: Any) -> list[str]:
    if not isinstance(value, dict | list) or not all(isinstance(name, str) for name in value):
        raise Refused('"topics" is an object of topic name -> last version seen, or a list of names')
    return list(dict.fromkeys(value))


def _jobs(value: Any) -> list[str]:
    # bool is an int to Python, and a number without end would be one to the database.
    if not isinstance(value, list) or not all(type(job) is int and 0 < job < 2**63 for job in value):
        raise Refused('"jobs" is a list of job ids, whole numbers from 1')
    return [str(job) for job in dict.fromkeys(value)]
