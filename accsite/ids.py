"""Which row a text of an address, or of a form, names."""

from __future__ import annotations


def row_id(text: object) -> int | None:
    """Return the id in ``text``, such as 17 for ``"17"``; None for what can be no row's, which no query finds."""
    named = str(text)
    return int(named) if named.isascii() and named.isdecimal() and len(named) < 19 else None
