"""Files of the server itself that may be imported by their path: those in the folders of ACC_IMPORT_ROOTS."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from acc.errors import InvalidInput

MOST_OFFERED = 200


def found(text: str, *, field: str = "path") -> Path:
    """Return the real path of a file or folder that may be imported; raises InvalidInput (``field``).

    Links are followed before it is looked where they lead, so that none leads out of the folders that are allowed.
    """
    roots = [root.resolve() for root in settings.ACC_IMPORT_ROOTS]
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


def offered() -> list[str]:
    """Return the paths that lie directly in the folders that are allowed, the first 200, by their names."""
    paths: list[str] = []
    for root in settings.ACC_IMPORT_ROOTS:
        try:
            paths += sorted(str(each) for each in root.iterdir() if not each.name.startswith("."))
        except OSError:  # not mounted here
            continue
    return paths[:MOST_OFFERED]
