"""Which plugin files there are, and what is in them: by content, never by time stamp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acc.plugins.load import sha256_of

FOLDERS = ("tasks", "generators", "recipes", "models")
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class FoundFile:
    """A plugin file as it is on disk. error: a sentence if it cannot be read, else empty."""

    path: str
    text: str
    sha256: str
    error: str = ""


def find(root: Path) -> dict[str, FoundFile]:
    """Return relative path -> file for each plugin file below ``root``.

    Left out: names that begin with ``.`` or ``_`` (an editor's lock links, helpers), and files that vanish
    while they are looked at.
    """
    found: dict[str, FoundFile] = {}
    for folder in FOLDERS:
        for file in sorted((root / folder).glob("*.py")):
            if file.name.startswith((".", "_")):
                continue
            path = f"{folder}/{file.name}"
            one = read(file, path)
            if one is not None:
                found[path] = one
    return found


def read(file: Path, path: str) -> FoundFile | None:
    """Return one file, or None if it is no regular file (any more)."""
    try:
        if not file.is_file():  # also a dangling link
            return None
        size = file.stat().st_size
        if size > MAX_BYTES:
            message = f"the file has {size:,} bytes; a plugin may have at most {MAX_BYTES:,}"
            return FoundFile(path, "", sha256_of(message), message)
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        return FoundFile(path, "", sha256_of(message), message)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"the file is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}"
        return FoundFile(path, "", sha256_of(repr(data)), message)
    return FoundFile(path, text, sha256_of(text))
