"""Where in a plugin's, or a notebook's, own code something went wrong."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

import acc
from acc.plugins.source import plugin_path
from acc.text import text_of

_ACC, _LIBRARIES = Path(acc.__file__).parent, Path(torch.__file__).parents[1]
_NOT_OWN = (*(str(_ACC / part) for part in ("training", "models", "data")), str(_LIBRARIES), "<")


def place_of(error: BaseException) -> str:
    """Return the file and line of a plugin's, or a notebook's, own code where an error arose, or ''."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = plugin_path(frame.filename)
        if path or not frame.filename.startswith(_NOT_OWN):
            return f"{path or Path(frame.filename).name}, line {frame.lineno}"
    return ""


def told(error: BaseException) -> str:
    """Return the class and text of an error, and where in a plugin's own code it arose if it did."""
    text, place = text_of(error), place_of(error)
    return f"{type(error).__name__}{f': {text}' if text else ''}{f' ({place})' if place else ''}"


def written_at(function: object) -> str:
    """Return `` (file, line n)`` of where a function is defined, or '' where that cannot be known."""
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    return f" ({plugin_path(code.co_filename) or Path(code.co_filename).name}, line {code.co_firstlineno})"
