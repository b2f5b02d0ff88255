"""Finds whatever has a name, by a few letters of it; each app tells how its own objects are found.

An app keeps its finders in ``finders.py`` and registers them when Django is ready, so that what asks them all (the
page, the API, the command and the command palette) knows none of the apps. A finder returns what its user may see and
nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse

MAX_QUERY = 200
MAX_TERMS = 6
SHOWN = 6
MOST_SHOWN = 50

EXACT, BEGINS, HOLDS, IN_ORDER, LISTED = range(5)
"""How well a thing is what was asked for, best first: its name or number is that; begins with it; holds it; has its
letters in that order; was asked for by its kind alone."""

HEADINGS = {
    "page": "Pages",
    "term": "Words",
    "experiment": "Experiments",
    "branch": "Branches",
    "run": "Runs",
    "study": "Studies",
    "factor": "Factors",
    "checkpoint": "Checkpoints",
    "dataset": "Datasets",
    "job": "Jobs",
    "recipe": "Recipes",
    "recipe-run": "Runs of recipes",
    "task": "Tasks",
    "plugin": "Plugins",
}
"""What can be found -> what stands above it, in the order of equals. A kind that nothing finds yet shows nothing."""

WORDS = {
    # "factor" alone is how names begin, of recipes for one.
    **{kind: kind for kind in HEADINGS if kind != "factor"},
    **{heading.lower(): kind for kind, heading in HEADINGS.items() if " " not in heading},
}
"""What a query may begin with to ask for things of one kind alone: ``job 58``, ``datasets``."""


@dataclass(frozen=True)
class Query:
    """What was asked for: ``terms`` in lower case, each of which must be found; ``number``, if it is one."""

    text: str
    terms: tuple[str, ...]
    kind: str = ""
    number: int | None = None

    @classmethod
    def of(cls, asked: str) -> Query:
        """Return what somebody typed as a query; ``#58`` and ``58`` are numbers."""
        text = " ".join(asked[:MAX_QUERY].split())
        words = [word for word in re.split(r"[\s/]+", text.lower()) if word]
        kind = WORDS.get(words[0], "") if words else ""
        if kind:
            words = words[1:]
            text = text.partition(" ")[2]
        digits = words[0].removeprefix("#") if len(words) == 1 else ""
        number = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else None
        terms = tuple(word.removeprefix("#") or word for word in words[:MAX_TERMS])
        return cls(text.removeprefix("#") or text, terms, kind, number)


@dataclass(frozen=True)
class Found:
    """One thing: what it is called, what it is and where, and the address of its page."""

    kind: str
    name: str
    about: str
    url: str
    rank: int = HOLDS


@dataclass(frozen=True)
class Group:
    """What was found of one kind, best first; ``more``: there is more of it than was asked for."""

    kind: str
    found: tuple[Found, ...]
    more: bool = False

    @property
    def heading(self) -> str:
        return HEADINGS[self.kind]

    @property
    def best(self) -> int:
        """How well the best of it is what was asked for."""
        return min((each.rank for each in self.found), default=LISTED)


Find = Callable[[Any, Query, int], Sequence[Found]]
"""user (None: nobody in particular, from a shell), query, how many -> at most so many things, best first."""


@dataclass(frozen=True)
class Page:
    """A page that is always there; ``also``: other words for it; ``may``: who is offered it."""

    name: str
    view: str
    about: str
    also: str = ""
    may: Callable[[Any], bool] = field(default=lambda _user: True)


_finders: dict[str, Find] = {}
_pages: list[Page] = []


def register(kind: str, find: Find) -> None:
    """Let things of a kind be found; raises ValueError for a kind that has no heading."""
    if kind not in HEADINGS:
        raise ValueError(f"{kind!r} has no heading among those of accsite.search: {', '.join(HEADINGS)}")
    _finders[kind] = find


def register_pages(*pages: Page) -> None:
    """Let pages that are always there be found."""
    _pages.extend(page for page in pages if page not in _pages)


def search(user: Any, asked: str, *, kind: str = "", limit: int = SHOWN) -> list[Group]:
    """Return what ``user`` may see of what was asked for, by kind, the kind of the best first.

    kind: of one kind alone. limit: of each kind. Nothing is found where nothing is asked.
    """
    query = Query.of(asked)
    only = kind or query.kind
    if not query.terms and not only:
        return []
    groups = []
    for each in HEADINGS:
        find = _finders.get(each)
        if find is None or (only and each != only):
            continue
        found = tuple(find(user, query, limit + 1))
        if found:
            groups.append(Group(each, found[:limit], more=len(found) > limit))
    return sorted(groups, key=lambda group: group.best)


def how_well(query: Query, name: str, also: str = "") -> int | None:
    """Return how well a name is what was asked for; None if it is not. ``also``: what may hold a term, too."""
    if not query.terms:
        return LISTED
    called, whole = name.lower(), f"{name} {also}".lower()
    if called == query.text.lower():
        return EXACT
    if called.startswith(query.text.lower()):
        return BEGINS
    if all(term in whole for term in query.terms):
        return HOLDS
    if all(term in whole or in_order(term, called) for term in query.terms):
        return IN_ORDER
    return None


def in_order(letters: str, text: str) -> bool:
    """Return whether a text has these letters in this order, whatever stands between them."""
    rest = iter(text)
    return all(letter in rest for letter in letters)


def find_pages(user: Any, query: Query, limit: int) -> list[Found]:
    """Return the pages whose name or other words are what was asked for."""
    ranked = [
        (rank, page)
        for page in _pages
        if (user is None or page.may(user)) and (rank := how_well(query, page.name, page.also)) is not None
    ]
    ranked.sort(key=lambda pair: (pair[0], pair[1].name))
    return [Found("page", page.name, page.about, reverse(page.view), rank) for rank, page in ranked[:limit]]


_finders["page"] = find_pages
