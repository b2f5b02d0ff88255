"""Collects what one request or command touches. The services tell of it by the topics that they raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Widen = Callable[[set[str]], set[str]]


class Trail:
    """What was touched so far, what it was called to do that, and details worth keeping."""

    def __init__(self) -> None:
        self.action = ""
        self.about: set[str] = set()
        self.detail: dict[str, Any] = {}
        self.of_no_matter = False


_current: ContextVar[Trail | None] = ContextVar("trail_of_this_request", default=None)
_widen: list[Widen] = []


@contextmanager
def recording() -> Iterator[Trail]:
    """Collect what is touched within; yields the trail."""
    trail = Trail()
    token = _current.set(trail)
    try:
        yield trail
    finally:
        _current.reset(token)


def touched(*names: str) -> None:
    """Note objects that have changed; does nothing where nobody collects, as in a worker."""
    trail = _current.get()
    if trail is not None:
        trail.about.update(names)


def note(name: str, **detail: Any) -> None:
    """Note an object and details of what was done to it."""
    trail = _current.get()
    if trail is not None:
        trail.about.add(name)
        trail.detail.update(detail)


def done(action: str, name: str) -> None:
    """Say what was done to an object, in the words in which the log is to tell it."""
    trail = _current.get()
    if trail is not None:
        trail.action = action
        trail.about.add(name)


def no_deed() -> None:
    """Say that this request changes nothing but what its sender has read or wants to be shown: it is not recorded."""
    trail = _current.get()
    if trail is not None:
        trail.of_no_matter = True


def register(widen: Widen) -> None:
    """Let ``widen(names)`` return what those objects belong to, for it to be found there, too."""
    if widen not in _widen:
        _widen.append(widen)


def widened(names: set[str]) -> set[str]:
    """Return ``names`` and what they belong to; only what has a key, as ``job:41`` has."""
    found = set(names)
    for widen in _widen:
        found |= widen(names)
    return {name[:120] for name in found if ":" in name}
