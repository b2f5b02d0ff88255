"""Our own scripts and styles without comments and white space, as browsers get them. Sources stay as they are."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath

import rcssmin
import rjsmin

FOLDERS = ("js", "css")
"""Folders of the static files that are ours; vendored ones are served as their authors made them."""

# ``.a :is(b)`` means what ``.a *:is(b)`` means, whose space rcssmin keeps: without it the rule is of ``.a`` itself.
_DESCENDANT = re.compile(r"(?<=[\w\])*\"]) +:(?=[a-z])")


def is_ours(name: str) -> bool:
    """Return whether the static file ``name`` (``js/app.js``) is a script or style of ours."""
    path = PurePosixPath(name)
    return path.parts[:1] in {(folder,) for folder in FOLDERS} and path.suffix in {".js", ".css"}


@lru_cache(maxsize=128)
def minified(name: str, content: bytes) -> bytes:
    """Return the content of a static file of ours in fewer bytes."""
    source = content.decode()
    text: str = (
        rjsmin.jsmin(source) if name.endswith(".js") else rcssmin.cssmin(_DESCENDANT.sub(" *:", source))
    )
    return text.encode()
