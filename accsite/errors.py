"""Refusals that every app of the site shares."""

from __future__ import annotations

from acc.errors import InvalidInput


class WrongState(InvalidInput):
    """What was asked is well formed, but the thing is not in a state in which it can be done (API: 409)."""
