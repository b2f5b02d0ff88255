"""Our own scripts and styles without comments and white space, as browsers get them. Sources stay as they are."""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePosixPath

import rcssmin
import rjsmin

FOLDERS = ("js", "css")
"""Folders of the static files that are ours; vendored ones are served as their authors made them."""


def is_ours(name: str) -> bool:
    """Return whether the static file ``name`` (``js/app.js``) is a script or style of ours."""
    path = PurePosixPath(name)
    return path.parts[:1] in {(folder,) for folder in FOLDERS} and path.suffix in {".js", ".css"}


@lru_cache(maxsize=128)
def minified(name: str, content: bytes) -> bytes:
    """Return the content of a static file of ours in fewer bytes."""
    shorten = rjsmin.jsmin if name.endswith(".js") else rcssmin.cssmin
    text: str = shorten(content.decode())
    return text.encode()
