"""Whole messages between a worker and its zygote, over a pair of sockets."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

MAX_MESSAGE_BYTES = 65_536


class Channel:
    """One end: ``send`` and ``receive`` dictionaries of JSON. The other end's death reads as None."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(None)  # Celery gives sockets that are made while it ends a limit
        self.socket = end

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Return two connected ends that keep messages apart."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def inherited(cls, descriptor: int) -> Channel:
        """Return the end that a parent passed on by number."""
        return cls(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=descriptor))

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message; raises OSError when the other end is gone."""
        self.socket.send(json.dumps(message).encode())

    def receive(self) -> dict[str, Any] | None:
        """Return the next message, or None when the other end is gone."""
        try:
            data = self.socket.recv(MAX_MESSAGE_BYTES)
        except ConnectionError:
            return None
        if not data:
            return None
        message: dict[str, Any] = json.loads(data)
        return message

    def shut(self) -> None:
        """End the conversation: both ends read end-of-file, also one that waits at this moment."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.socket.close()
