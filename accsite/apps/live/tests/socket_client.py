"""A small WebSocket client for tests: what a browser sends, on an asyncio stream."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from typing import Any

from channels.db import database_sync_to_async

from accsite.apps.live.services import bump

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


class Refused(Exception):
    """The handshake was answered with another status than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Closed(Exception):
    """The server closed the socket."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"close code {code}: {reason}")
        self.code, self.reason = code, reason


class Socket:
    """One open socket; `open_socket` makes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, message: Any) -> None:
        """Send text, or anything else as JSON."""
        payload = (message if isinstance(message, str) else json.dumps(message)).encode()
        await self._frame(TEXT, payload)

    async def receive(self, seconds: float = 5.0) -> dict[str, Any] | bytes:
        """Return the next message: JSON decoded, or bytes. Raises Closed, or TimeoutError."""
        return await asyncio.wait_for(self._receive(), seconds)

    async def until(self, kind: str, seconds: float = 5.0, **values: Any) -> dict[str, Any]:
        """Return the next JSON message of type ``kind`` with these values; what comes before is dropped."""
        async with asyncio.timeout(seconds):
            while True:
                message = await self._receive()
                if isinstance(message, dict) and {**message, **values, "type": kind} == message:
                    return message

    async def frame(self, seconds: float = 5.0) -> bytes:
        """Return the next binary message; text before it is dropped."""
        async with asyncio.timeout(seconds):
            while True:
                message = await self._receive()
                if isinstance(message, bytes):
                    return message

    async def hears_through_redis(self, topic: str) -> dict[str, Any]:
        """Return a signal of a change made now that came through Redis: it has data, unlike what a ping makes good.

        Tried five times, since on a busy machine a ping can be quicker. Fails if none did.
        """
        for index in range(5):
            raised = await database_sync_to_async(bump)(topic, data={"added": str(index)})
            signal = await self.until("signal", topic=topic, version=raised[topic])
            if signal["data"] == {"added": str(index)}:
                return signal
        raise AssertionError(f"signals of {topic} come with the pings only")

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()

    async def _receive(self) -> dict[str, Any] | bytes:
        while True:
            first, length = await self.reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
            payload = await self.reader.readexactly(length)
            kind = first & 0x0F
            if kind == TEXT:
                message: dict[str, Any] = json.loads(payload)
                return message
            if kind == BINARY:
                return payload
            if kind == CLOSE:
                raise Closed(struct.unpack(">H", payload[:2])[0], payload[2:].decode())
            if kind == PING:
                await self._frame(PONG, payload)

    async def _frame(self, kind: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        if len(payload) < 126:
            head = struct.pack(">BB", 0x80 | kind, 0x80 | len(payload))
        elif len(payload) < 1 << 16:
            head = struct.pack(">BBH", 0x80 | kind, 0x80 | 126, len(payload))
        else:
            head = struct.pack(">BBQ", 0x80 | kind, 0x80 | 127, len(payload))
        self.writer.write(head + mask + masked)
        await self.writer.drain()


async def open_socket(
    port: int, *, cookies: str = "", origin: str | None = "same", path: str = "/ws/live/"
) -> Socket:
    """Return an open socket to 127.0.0.1; ``origin`` "same" is the site's own. Raises Refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    host = f"127.0.0.1:{port}"
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    ]
    if origin:
        lines.append(f"Origin: {f'http://{host}' if origin == 'same' else origin}")
    if cookies:
        lines.append(f"Cookie: {cookies}")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    status = int(head.split()[1])
    if status != 101:
        writer.close()
        raise Refused(status)
    return Socket(reader, writer)
