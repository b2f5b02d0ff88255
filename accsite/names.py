"""Names that people give to things, any text on one line, and the addresses that are made of them."""

from __future__ import annotations

from collections.abc import Iterable

from acc.errors import InvalidInput
from acc.names import MAX_NAME as MAX_NAME_LENGTH
from acc.names import clean_name, same_name
from accsite.slugs import free_slug

__all__ = ["MAX_NAME_LENGTH", "clean_name", "free_address", "same_name", "taken"]


def free_address(name: str, rows: Iterable[tuple[str, str]], what: str, *, otherwise: str) -> str:
    """Return a slug for ``name`` that none of ``rows`` (name, slug) has; ``otherwise``: of a name without a to z.

    Raises InvalidInput (name) if one is called so; names that differ in capitals alone count as the same.
    """
    known = list(rows)
    if same_name(name) in {same_name(other) for other, _ in known}:
        raise InvalidInput({"name": taken(name, what)})
    return free_slug(name, {slug for _, slug in known}.__contains__, otherwise=otherwise)


def taken(name: str, what: str) -> str:
    """Return the sentence for a name that ``what`` has."""
    return f"{name!r} is already the name of {what}; choose another"
