"""Which plugin files there are, and what is in them: by content, never by time stamp alone. Torch-free."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from acc.hashes import text_sha256
from acc.plugin_paths import plugin_paths
from acc.plugins.helpers import MARK, composed, is_marked

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


_Entry = tuple[_Stamp, FoundFile]


class Finder:
    """Finds the plugin files below ``root``, and reads again only those that were touched.

    What was touched is told by inode, size, time of change and time of modification together; a file that changed
    within the clock's grain of being read is read again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, _Entry] = {}
        self._whole: dict[str, tuple[dict[str, _Stamp | None], FoundFile]] = {}

    def find(self) -> dict[str, FoundFile]:
        """Return relative path -> file for each plugin file there is now, its helpers in its text and hash.

        Of a plugin that is a folder the file is its ``__init__.py``. Files that vanish while they are looked at are
        left out.
        """
        known: dict[str, _Entry] = {}

        def look(path: str) -> _Entry | None:
            if path not in known:
                entry = self._look(path) if ".." not in path else None
                if entry is None:
                    return None
                known[path] = entry
            return known[path]

        whole: dict[str, tuple[dict[str, _Stamp | None], FoundFile]] = {}
        for path in plugin_paths(self.root):
            if entry := look(path):
                whole[path] = self._with_helpers(entry[1], look)
        self._known, self._whole = known, whole
        return {path: found for path, (_, found) in whole.items()}

    def _with_helpers(
        self, file: FoundFile, look: Callable[[str], _Entry | None]
    ) -> tuple[dict[str, _Stamp | None], FoundFile]:
        """Return a file with its helpers, and the stamps of all that it depends on, None for what is not there.

        It is put together again only if one of these has changed.
        """

        def stamp_of(path: str) -> _Stamp | None:
            entry = look(path)
            return entry and entry[0]

        before = self._whole.get(file.path)
        if before is not None and all(
            stamp_of(path) == stamp and stamp != _UNSURE for path, stamp in before[0].items()
        ):
            return before
        stamps = {file.path: stamp_of(file.path)}

        def text_of(path: str) -> str | None:
            entry = look(path)
            stamps[path] = entry and entry[0]
            return None if entry is None or entry[1].error else entry[1].text

        return stamps, _composed(file, text_of)

    def _look(self, path: str) -> _Entry | None:
        file = self.root / path
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


def _composed(file: FoundFile, text_of: Callable[[str], str | None]) -> FoundFile:
    """Return a plugin file with its helpers, or with the error that one of them has a line which marks helpers."""
    if file.error:
        return file
    marked = [""] if is_marked(file.text) else []

    def unmarked(path: str) -> str | None:
        text = text_of(path)
        if text is not None and is_marked(text):
            marked.append(path)
        return text

    text = composed(file.path, file.text, unmarked)
    if marked:
        whose = f"its helper {marked[0]}" if marked[0] else "it"
        message = (
            f"a line of {whose} begins with {MARK!r}, which marks the helpers that are kept with a plugin"
        )
        return FoundFile(file.path, "", text_sha256(text + message), message)
    return file if text is file.text else FoundFile(file.path, text, text_sha256(text))


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
            return FoundFile(path, "", text_sha256(message), message)
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        return FoundFile(path, "", text_sha256(message), message)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"the file is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}"
        return FoundFile(path, "", text_sha256(repr(data)), message)
    return FoundFile(path, text, text_sha256(text))
