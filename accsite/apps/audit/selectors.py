"""Reads of the audit log."""

from __future__ import annotations

from django.db.models import QuerySet

from accsite.apps.audit.models import AuditEntry


def entries_about(name: str) -> QuerySet[AuditEntry]:
    """Return what was done to an object such as ``experiment:3``, newest first."""
    return AuditEntry.objects.filter(about__name=name).prefetch_related("about")
