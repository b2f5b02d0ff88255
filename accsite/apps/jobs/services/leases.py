"""How long the word of a worker counts: leases on jobs and on their parts, and the silence after which it is gone.

All is written and judged by the database's clock, so the clocks of many machines need not agree.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

GONE_LEASES = 2
"""A worker that has been silent for so many leases is taken for gone."""


def end(seconds: float | None = None) -> Any:
    """Return when a lease that begins now ends; seconds: how long it is, if not ACC_LEASE_SECONDS."""
    return Now() + timedelta(seconds=settings.ACC_LEASE_SECONDS if seconds is None else seconds)


def ended() -> Q:
    """Return the condition of a job or a part whose lease has ended."""
    return Q(lease_expires_at__lt=Now())


def heard(leases: float = GONE_LEASES) -> Q:
    """Return the condition of a worker that has spoken within so many leases."""
    return Q(heartbeat_at__gte=Now() - timedelta(seconds=leases * settings.ACC_LEASE_SECONDS))
