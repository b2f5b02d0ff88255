"""Files of the server itself that may be imported by their path: those in the folders of ACC_IMPORT_ROOTS."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from django.conf import settings

from acc.data.importers.descriptors import opened_below, through
from acc.errors import InvalidInput

MOST_OFFERED = 200
MOST_BESIDE = 64
"""Files beside the one that is named, such as those of its labels."""


def found(text: str, *, field: str = "path") -> Path:
    """Return the real path of a file or folder that may be imported; raises InvalidInput (``field``).

    Links are followed before it is looked where they lead, so that none leads out of the folders that are allowed.
    """
    roots = _roots()
    if not roots:
        raise InvalidInput(
            {field: f"{text!r} is refused: this site imports no files of its server; upload it"}
        )
    allowed = ", ".join(map(str, settings.ACC_IMPORT_ROOTS))
    try:
        path = Path(text).resolve()
    except (OSError, ValueError, RuntimeError):
        raise InvalidInput({field: f"{text!r} is no path; give one below {allowed}"}) from None
    if not Path(text).is_absolute() or not any(path.is_relative_to(root) for root in roots):
        raise InvalidInput({field: f"{text!r} is refused; files may be imported from {allowed}"})
    if not os.path.exists(path):  # noqa: PTH110 - which takes what cannot be read, or is too long, for missing
        raise InvalidInput({field: f"there is no file or folder {text!r} on the server"})
    return path


def pinned(text: str, folder: Path, stack: ExitStack, *, field: str = "path") -> Path:
    """Return a path in ``folder`` that leads to what lies at ``text`` now, whatever is put in its place later.

    It is opened from the allowed folder down, no link followed on the way, and read through what is open as long as
    ``stack``; files that belong to it by their name are beside it, too. Raises InvalidInput (``field``).
    """
    path = found(text, field=field)
    root = max((each for each in _roots() if path.is_relative_to(each)), key=lambda each: len(each.parts))
    parts = path.relative_to(root).parts
    try:
        handle = opened_below(root, parts, stack)
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / (path.name or "files")
        place.symlink_to(through(handle))
        if stat.S_ISREG(os.fstat(handle).st_mode):
            beside = opened_below(root, parts[:-1], stack)
            for name in _nearest(path.name, os.listdir(beside)):  # noqa: PTH208 - of a descriptor
                with suppress(OSError):  # a link, or gone by now: no file that belongs to it
                    (folder / name).symlink_to(through(opened_below(beside, (name,), stack)))
    except OSError as error:
        raise InvalidInput(
            {
                field: f"{text!r} cannot be read: {error.strerror or error}; it may have been moved a moment ago"
            }
        ) from error
    return place


def _nearest(name: str, there: Iterable[str]) -> list[str]:
    """Return the names of files that may belong to one, those that begin as it does first."""
    begins = re.split("[-_.]", name)[0]
    others = sorted(each for each in there if each != name and not each.startswith("."))
    return sorted(others, key=lambda each: not each.startswith(begins))[:MOST_BESIDE]


def _roots() -> list[Path]:
    return [root.resolve() for root in settings.ACC_IMPORT_ROOTS]


def offered() -> list[str]:
    """Return the paths that lie directly in the folders that are allowed, the first 200, by their names."""
    paths: list[str] = []
    for root in settings.ACC_IMPORT_ROOTS:
        try:
            paths += sorted(str(each) for each in root.iterdir() if not each.name.startswith("."))
        except OSError:  # not mounted here
            continue
    return paths[:MOST_OFFERED]
