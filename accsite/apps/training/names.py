"""Names that people give to things: any text on one line."""

from __future__ import annotations

from typing import Any

from acc.errors import InvalidInput

MAX_NAME_LENGTH = 80


def clean_name(name: Any, *, field: str = "name") -> str:
    """Return ``name`` without outer blanks; raises InvalidInput unless it is one line of text."""
    if not isinstance(name, str):
        raise InvalidInput({field: f"{name!r} is not text"})
    name = name.strip()
    if not name:
        raise InvalidInput({field: "a name is needed; it was empty"})
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidInput(
            {field: f"{name[:20] + '…'!r} has {len(name)} characters; at most {MAX_NAME_LENGTH} are allowed"}
        )
    if not name.isprintable():
        raise InvalidInput(
            {field: f"{name!r} has characters that cannot be shown; use letters, digits and signs"}
        )
    return name
