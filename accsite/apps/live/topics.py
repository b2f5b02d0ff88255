"""The kinds of topic that pages may watch. Each app registers its own, so that `live` knows none of them.

A topic is ``prefix`` or ``prefix:key``: ``registry``, ``tasks:7``, ``job:41``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acc.messages import Job, WorkerFigures

MaySee = Callable[[Any, str], bool]
Snapshot = Callable[[str], Job | None]
Pulse = Callable[[], dict[str, WorkerFigures]]

_NAME = re.compile(r"(?P<prefix>[a-z][a-z_]{0,39})(?::(?P<key>[A-Za-z0-9_-]{1,64}))?")


class UnknownTopic(ValueError):
    """A topic name that nothing registered."""


@dataclass(frozen=True)
class TopicKind:
    """One registered prefix.

    ``may_see(user, key)`` says whether an active user may hear of it; None: every signed-in user may, and
    the topic has no key. ``snapshot(key)`` returns the job that is sent to those who watch it, None
    when it is gone. ``pulse()`` returns the figures that are sent to them every few seconds: figures that
    change all the time and are worth no signal each. All may use the database; they are called on a thread.
    """

    prefix: str
    may_see: MaySee | None = None
    snapshot: Snapshot | None = None
    pulse: Pulse | None = None

    def allows(self, user: Any, key: str) -> bool:
        """Return whether ``user`` may hear of the topic with this key now."""
        return not key if self.may_see is None else bool(self.may_see(user, key))


_kinds: dict[str, TopicKind] = {}


def register(
    prefix: str,
    may_see: MaySee | None = None,
    snapshot: Snapshot | None = None,
    pulse: Pulse | None = None,
) -> None:
    """Let pages watch topics of ``prefix`` (in ``AppConfig.ready``); raises ValueError if it is taken."""
    kind = TopicKind(prefix, may_see, snapshot, pulse)
    if _kinds.setdefault(prefix, kind) != kind:
        raise ValueError(f"the topic prefix {prefix!r} is registered already")


def unregister(prefix: str) -> None:
    """Forget ``prefix``, if it is known."""
    _kinds.pop(prefix, None)


def pulses() -> dict[str, Pulse]:
    """Return topic -> what makes its pulse, of the topics that have one."""
    return {kind.prefix: kind.pulse for kind in _kinds.values() if kind.pulse is not None}


def find(topic: str) -> tuple[TopicKind, str]:
    """Return the kind and key of a topic's name; raises UnknownTopic with a sentence."""
    match = _NAME.fullmatch(topic)
    kind = _kinds.get(match["prefix"]) if match else None
    if match is None or kind is None:
        known = ", ".join(sorted(_kinds)) or "none"
        raise UnknownTopic(f"there is no topic {topic[:120]!r}; known are: {known}")
    return kind, match["key"] or ""
