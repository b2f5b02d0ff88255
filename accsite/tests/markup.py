"""What a page says, whatever the layout of its template."""

from __future__ import annotations

from typing import Any


def folded(page: Any) -> str:
    """Return the HTML of an answer with each run of white space as one space, which is how a browser reads it."""
    return " ".join(page.content.decode().split())
