"""Where in a plugin's, or a notebook's, own code something went wrong."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from pathlib import Path

import torch

from acc.plugins.source import plugin_path
from acc.text import text_of

_ACC, _LIBRARIES = Path(__file__).parent, Path(torch.__file__).parents[1]
_OURS = (*("training", "models", "data", "evaluation", "plugins"), *("params.py", "rng.py", "places.py"))
_NOT_OWN = (
    *(str(_ACC / part) for part in _OURS),
    str(_LIBRARIES),
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("platstdlib"),
    "<",
)


def place_of(error: BaseException) -> str:
    """Return the file and line of a plugin's, or a notebook's, own code where an error arose, or ''.

    A plugin's come first: what it calls, in a library or in ACC, is not where the fault is to be mended.
    """
    frames = list(reversed(traceback.extract_tb(error.__traceback__)))
    own = [frame for frame in frames if plugin_path(frame.filename)]
    own += [frame for frame in frames if not frame.filename.startswith(_NOT_OWN)]
    return f"{_file(own[0].filename)}, line {own[0].lineno}" if own else ""


def describe(error: BaseException) -> str:
    """Return the class and text of an error, and where in a plugin's own code it arose if it did."""
    text, place = text_of(error), place_of(error)
    return f"{type(error).__name__}{f': {text}' if text else ''}{f' ({place})' if place else ''}"


def written_at(function: object) -> str:
    """Return `` (file, line n)`` of where a function of somebody's own is defined, or ''."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None or (code.co_filename.startswith(_NOT_OWN) and not plugin_path(code.co_filename)):
        return ""
    return f" ({_file(code.co_filename)}, line {code.co_firstlineno})"


def _file(filename: str) -> str:
    return plugin_path(filename) or Path(filename).name
