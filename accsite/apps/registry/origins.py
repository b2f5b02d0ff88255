"""What the sources of plugins are compared with: things made by plugins, in apps that lie above this one.

Each such app registers how it finds its things, so that the registry knows none of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from accsite.apps.registry.models import Plugin, PluginKind, PluginSource


@dataclass(frozen=True)
class Origin:
    """Something that plugins made: its title, and (kind, class name) -> sha256 of the source that made it."""

    title: str
    classes: dict[tuple[str, str], str]


Find = Callable[[Any, str], Origin]
Status = Literal["same", "changed", "removed"]

_finders: dict[str, Find] = {}


def register(what: str, find: Find) -> None:
    """Let ``find(user, name)`` answer for things of a kind (in ``AppConfig.ready``); user None may see all.

    ``find`` raises InvalidInput for a name that there is not.
    """
    _finders[what] = find


def find(what: str, user: Any, name: str) -> Origin:
    """Return the thing of this name; raises InvalidInput if there is none that ``user`` may see."""
    return _finders[what](user, name)


@dataclass(frozen=True)
class Change:
    """What became of one class since. ``diff``: unified, empty unless it changed.

    then_sha256, now_sha256: of its file; ``now_sha256`` is empty when the class is gone.
    """

    kind: str
    name: str
    status: Status
    path: str
    then_sha256: str
    now_sha256: str
    diff: str


def changes(origin: Origin) -> list[Change]:
    """Return what became of each class since it made ``origin``, by kind and name.

    A file that is broken now counts as its last good version: that is what the next job trains with.
    """
    rows = Plugin.objects.filter(name__in={name for _, name in origin.classes}).select_related("source")
    now = {(row.kind, row.name): row for row in rows}
    kept = PluginSource.objects.in_bulk(set(origin.classes.values()))
    return [
        _change(kind, name, now.get((kind, name)), kept.get(sha256), sha256)
        for (kind, name), sha256 in sorted(origin.classes.items())
    ]


def _change(kind: str, name: str, now: Plugin | None, then: PluginSource | None, sha256: str) -> Change:
    path = then.path if then else now.path if now else ""
    if now is None or not now.available:
        return Change(PluginKind(kind).value, name, "removed", path, sha256, "", "")
    if now.source_id == sha256:
        return Change(kind, name, "same", now.path, sha256, now.source_id, "")
    lines = _unified(then, now.source, now.path) if then else ["the source that made it is not kept here"]
    return Change(kind, name, "changed", path, sha256, now.source_id, "\n".join(lines) + "\n")


def _unified(then: PluginSource, now: PluginSource, path: str) -> Iterator[str]:
    return difflib.unified_diff(
        then.text.splitlines(),
        now.text.splitlines(),
        f"{then.path} {then.sha256[:12]}",
        f"{path} {now.sha256[:12]}",
        lineterm="",
    )
