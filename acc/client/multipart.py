"""A form with files as a stream of bytes: a file of many gigabytes is never in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

CHUNK = 2**20


class Multipart:
    """Fields and files as ``multipart/form-data``; can be read as often as it has to be sent."""

    def __init__(self, fields: Mapping[str, str], files: Iterable[tuple[str, Path]]) -> None:
        self._mark = uuid4().hex
        self._parts: list[bytes | Path] = []
        for name, value in fields.items():
            self._parts += [self._head(name), value.encode(), b"\r\n"]
        for name, path in files:
            self._parts += [self._head(name, path.name), path, b"\r\n"]
        self._parts.append(f"--{self._mark}--\r\n".encode())

    @property
    def headers(self) -> dict[str, str]:
        """What kind of body it is, and of how many bytes."""
        length = sum(part.stat().st_size if isinstance(part, Path) else len(part) for part in self._parts)
        return {
            "Content-Type": f"multipart/form-data; boundary={self._mark}",
            "Content-Length": str(length),
        }

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes, from the beginning."""
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            with part.open("rb") as file:
                while piece := file.read(CHUNK):
                    yield piece

    def _head(self, name: str, file: str = "") -> bytes:
        tail = ""
        if file:
            plain = file.translate({ord(sign): "_" for sign in '"\\\r\n'})
            tail = f'; filename="{plain}"\r\nContent-Type: application/octet-stream'
        return f'--{self._mark}\r\nContent-Disposition: form-data; name="{name}"{tail}\r\n\r\n'.encode()
