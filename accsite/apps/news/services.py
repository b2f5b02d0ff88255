"""Moves up to where a user has read the news."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from accsite.apps.audit.trail import no_deed
from accsite.apps.live.services import bump
from accsite.apps.news.models import Seen


@transaction.atomic
def see(user: Any, *, event: int, at: datetime) -> Seen:
    """Return what the user has seen then: what they had, or up to ``event`` and ``at`` if that is further."""
    seen, made = Seen.objects.select_for_update().get_or_create(
        user=user, defaults={"event": event, "at": at}
    )
    if not made and (event > seen.event or at > seen.at):
        seen.event, seen.at = max(event, seen.event), max(at, seen.at)
        seen.save()
    bump(f"news:{user.pk}")
    no_deed()
    return seen
