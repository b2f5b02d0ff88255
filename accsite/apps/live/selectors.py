"""Reads of the live app; all are synchronous and may be called on any thread."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import structlog
from django.contrib.auth import get_user_model
from django.db import DatabaseError

from acc.messages import Job
from accsite.apps.live import topics
from accsite.apps.live.models import Topic

log = structlog.get_logger(__name__)


def versions(names: Collection[str]) -> dict[str, int]:
    """Return topic -> version for every name asked for; 0 for what has never changed."""
    found = dict(Topic.objects.filter(name__in=names).values_list("name", "version"))
    return {name: found.get(name, 0) for name in names}


def allowed_users(topic: str, user_ids: Collection[Any]) -> set[Any]:
    """Return those of ``user_ids`` that are active and may hear of ``topic`` at this moment."""
    try:
        kind, key = topics.find(topic)
    except topics.UnknownTopic:
        return set()
    users = get_user_model()._default_manager.filter(pk__in=user_ids, is_active=True)
    return {user.pk for user in users if _allows(kind, user, key)}


def snapshot(topic: str) -> Job | None:
    """Return the state that watchers of ``topic`` are sent; None if it is gone or has none."""
    kind, key = topics.find(topic)
    return kind.snapshot(key) if kind.snapshot else None


def _allows(kind: topics.TopicKind, user: Any, key: str) -> bool:
    try:
        return kind.allows(user, key)
    except DatabaseError:
        raise
    except Exception:
        # A check that cannot be made is a no: what an error would show must never be shown.
        log.exception("permission check failed", topic=kind.prefix, key=key)
        return False
