"""The folder of one installation (ACC_HOME) and its database file: their user's alone, whatever the shell's umask.

Every process of ACC reads the settings, which call ``keep_private`` before anything is written. What an older version
left open is closed by ``close`` at `up` and `migrate`; `doctor` asks ``open_to_others``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PRIVATE_UMASK = 0o077
FOLDER_MODE, FILE_MODE = 0o700, 0o600
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keep_private() -> None:
    """Have this process, and all that it starts, make files and folders for their own user only."""
    os.umask(PRIVATE_UMASK)


def parts(home: Path, database: str = "") -> Iterator[Path]:
    """Yield the home, all that lies in it, and the files of an SQLite database elsewhere; links are not followed."""
    yield home
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            yield Path(folder, name)
    elsewhere = database and not Path(database).is_relative_to(home)
    for suffix in ("", "-wal", "-shm", "-journal") if elsewhere else ():
        yield Path(database + suffix)


def open_to_others(home: Path, database: str = "") -> list[Path]:
    """Return what others than its user may read, write or enter, going by its mode; what is gone is left out."""
    found = []
    for path in parts(home, database):
        with suppress(OSError):
            mode = path.lstat().st_mode
            if mode & OTHERS and not stat.S_ISLNK(mode):
                found.append(path)
    return found


def close(home: Path, database: str = "") -> list[Path]:
    """Take everybody else's rights away; return what could not be closed, such as what another user owns."""
    for path in open_to_others(home, database):
        with suppress(OSError):
            mode = stat.S_IMODE(path.lstat().st_mode)
            path.chmod(mode & ~OTHERS)
    return open_to_others(home, database)
