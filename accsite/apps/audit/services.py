"""Adds to the audit log."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accsite.apps.audit.models import AuditEntry, AuditObject, Via
from accsite.apps.audit.trail import widened


@transaction.atomic
def record(
    *, actor: Any, via: Via, action: str, about: set[str], detail: dict[str, Any], address: str = ""
) -> AuditEntry:
    """Return a new entry. ``actor``: a user, or None for nobody in particular."""
    known = actor is not None and actor.is_authenticated
    entry = AuditEntry.objects.create(
        actor=actor if known else None,
        actor_name=actor.get_username() if known else "",
        via=via,
        action=action[:120],
        detail=detail,
        address=address[:64],
    )
    names = sorted(widened(about))
    AuditObject.objects.bulk_create([AuditObject(entry=entry, name=name) for name in names])
    return entry
