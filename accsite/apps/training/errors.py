"""What a worker is told whose loss points do not follow those that are kept."""

from __future__ import annotations

from acc.errors import AccError


class Gap(AccError):
    """Loss points that do not follow those already kept; nothing was written."""
