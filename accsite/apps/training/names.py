"""Names that people give to things: any text on one line."""

from __future__ import annotations

from typing import Any

from acc.errors import InvalidInput

MAX_NAME_LENGTH = 80


def clean_name(name: Any, *, field: str = "name") -> str:
    """Return ``name`` without outer blanks; raises InvalidInput unless it is one line of text."""
    if not isinstance(name, str):
        raise InvalidInput({field: f"{name!r} is not text"})
    text = name.strip()
    if not text:
        raise InvalidInput({field: "a name is needed; it was empty"})
    if len(text) > MAX_NAME_LENGTH:
        raise InvalidInput(
            {field: f"{text[:20] + '…'!r} has {len(text)} characters; at most {MAX_NAME_LENGTH} are allowed"}
        )
    if not text.isprintable():
        raise InvalidInput(
            {field: f"{text!r} has characters that cannot be shown; use letters, digits and signs"}
        )
    return text
