"""Which plugin files there are, and what is in them: by content, never by time stamp alone. Torch-free."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from acc.plugins.helpers import MARK, composed, is_marked
from acc.plugins.source import sha256_of

FOLDERS = ("tasks", "generators", "recipes", "models")
MAX_BYTES = 1_000_000
CLOCK_GRAIN_NS = 100_000_000

_Stamp = tuple[int, int, int, int]
_UNSURE: _Stamp = (-1, -1, -1, -1)


@dataclass(frozen=True)
class FoundFile:
    """A plugin file as it is on disk. error: a sentence if it cannot be read, else empty."""

    path: str
    text: str
    sha256: str
    error: str = ""


class Finder:
    """Finds the plugin files below ``root``, and reads again only those that were touched.

    What was touched is told by inode, size, time of change and time of modification together; a file that changed
    within the clock's grain of being read is read again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, tuple[_Stamp, FoundFile]] = {}

    def find(self) -> dict[str, FoundFile]:
        """Return relative path -> file for each plugin file there is now, its helpers in its text and hash.

        Left out: names that begin with ``.`` or ``_`` (an editor's lock links, helpers), and files that vanish
        while they are looked at.
        """
        known: dict[str, tuple[_Stamp, FoundFile]] = {}
        plugins: list[FoundFile] = []
        for folder in FOLDERS:
            for file in sorted((self.root / folder).glob("*.py")):
                if file.name.startswith((".", "_")):
                    continue
                path = f"{folder}/{file.name}"
                entry = self._look(file, path)
                if entry is not None:
                    known[path] = entry
                    plugins.append(entry[1])

        def text_of(path: str) -> str | None:
            if path not in known:
                entry = self._look(self.root / path, path) if ".." not in path else None
                if entry is None:
                    return None
                known[path] = entry
            found = known[path][1]
            return None if found.error else found.text

        whole = [self._with_helpers(found, text_of) for found in plugins]
        self._known = known
        return {found.path: found for found in whole}

    @staticmethod
    def _with_helpers(file: FoundFile, text_of: Callable[[str], str | None]) -> FoundFile:
        if file.error:
            return file
        if is_marked(file.text):
            message = (
                f"a line of it begins with {MARK!r}, which marks the helpers that are kept with a plugin"
            )
            return FoundFile(file.path, "", file.sha256, message)
        text = composed(file.path, file.text, text_of)
        return file if text is file.text else FoundFile(file.path, text, sha256_of(text))

    def _look(self, file: Path, path: str) -> tuple[_Stamp, FoundFile] | None:
        try:
            stat = file.stat()
        except OSError:  # also a dangling link
            return None
        stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        before = self._known.get(path)
        if before is not None and before[0] == stamp:
            return before
        found = read(file, path)
        if found is None:
            return None
        is_fresh = abs(time.time_ns() - stat.st_ctime_ns) < CLOCK_GRAIN_NS
        return _UNSURE if is_fresh else stamp, found


def find(root: Path) -> dict[str, FoundFile]:
    """Return relative path -> file for each plugin file below ``root``."""
    return Finder(root).find()


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
