"""What goes between a training and the process that keeps its records: messages of JSON, with arrays as they lie."""

from __future__ import annotations

import errno
import json
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.messages import Block, Record, check_text
from acc.training.protocols import PointBlock

_HEAD = struct.Struct("<II")  # bytes of the message, bytes of the values that follow it
_NOTHING = memoryview(b"")


class Pipe:
    """One end of a stream of messages; what was sent is read by the other end, whoever is killed meanwhile.

    ``send`` never waits: the kernel takes what it has room for, and the rest waits in memory for a thread that is
    started when it is needed. Nothing is dropped.
    """

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(None)
        self._end = end
        self._waiting: deque[bytes] = deque()
        self._pushing = False
        self._lock = threading.Lock()

    @classmethod
    def pair(cls) -> tuple[Pipe, Pipe]:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(one), cls(other)

    def send(self, message: Record, values: memoryview = _NOTHING) -> None:
        """Hand a message over, on any thread; one to an end that is gone is lost: who receives learns of that."""
        text = json.dumps(message, default=_plain).encode()
        check_text(Record, text)
        parts: list[bytes | memoryview] = [_HEAD.pack(len(text), values.nbytes), text, values]
        with self._lock, suppress(OSError):
            sent = 0
            if not self._waiting:
                with suppress(BlockingIOError):
                    sent = self._end.sendmsg(parts, [], socket.MSG_DONTWAIT)
            if sent == _HEAD.size + len(text) + values.nbytes:
                return
            self._waiting.append(b"".join(parts)[sent:])
            if not self._pushing:
                self._pushing = True
                threading.Thread(target=self._push, name="records-waiting", daemon=True).start()

    def receive(self) -> tuple[Record, bytes] | None:
        """Return the next message and its values; None when either end is gone, if amid a message, too."""
        try:
            head = self._read(_HEAD.size)
            if head is None:
                return None
            length, size = _HEAD.unpack(head)
            text, values = self._read(length), self._read(size)
        except OSError as error:
            if isinstance(error, ConnectionError) or error.errno == errno.EBADF:  # closed by another thread
                return None
            raise
        return None if text is None or values is None else (json.loads(text), values)

    def close(self) -> None:
        """Close this end; the other reads to what was sent last, and then None."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

    def forget(self) -> None:
        """Close a copy of an end that another process uses."""
        self._end.close()

    def _push(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._pushing = False
                    return
                data = self._waiting[0]
            try:
                self._end.sendall(data)
            except OSError:
                with self._lock:
                    self._waiting.clear()
                continue
            with self._lock:
                self._waiting.popleft()

    def _read(self, size: int) -> bytes | None:
        parts = []
        while size:
            data = self._end.recv(size)
            if not data:
                return None
            parts.append(data)
            size -= len(data)
        return b"".join(parts)


def _plain(number: np.generic) -> Any:
    return number.item()


def block_message(block: PointBlock) -> tuple[Block, memoryview]:
    """Return a block of loss points as a message and its values."""
    message: Block = {
        "say": "block",
        "start": block.start,
        "series": list(block.series),
        "wall": (block.wall_start, block.wall_end),
    }
    return message, np.ascontiguousarray(block.values, dtype="<f4").data.cast("B")


def block_of(message: Block, values: bytes) -> PointBlock:
    """Return the block that was sent."""
    series = tuple(message["series"])
    array: NDArray[np.float32] = np.frombuffer(values, "<f4").reshape(len(series), -1)
    wall_start, wall_end = message["wall"]
    return PointBlock(message["start"], series, array, wall_start, wall_end)
