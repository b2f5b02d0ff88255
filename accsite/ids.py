"""Which row a text of an address, or of a form, names."""

from __future__ import annotations


def row_id(text: object) -> int:
    """Return the id in ``text``, such as 17 for ``"17"``; 0, which is no row's, for what can be none."""
    named = str(text)
    return int(named) if named.isascii() and named.isdecimal() and len(named) < 19 else 0
