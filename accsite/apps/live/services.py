"""Tells open pages that something has changed."""

from __future__ import annotations

from functools import partial

from django.db import connection, transaction

from acc.messages import Hint
from accsite.apps.audit import trail
from accsite.apps.live import sender

# The same on SQLite and PostgreSQL; Django's own upsert cannot count up.
_RAISE = """
    INSERT INTO live_topic (name, version) VALUES (%s, 1)
    ON CONFLICT (name) DO UPDATE SET version = live_topic.version + 1
    RETURNING version
"""


def bump(*topics: str, data: Hint | None = None) -> dict[str, int]:
    """Raise the version of ``topics``, signal them once the transaction is committed, return the versions.

    Call it last in the transaction: the topics' rows stay locked until its end. ``data``
    travels with the signal as a hint; a page that was away gets the version only. Redis may be down.
    """
    raised: dict[str, int] = {}
    with transaction.atomic():
        with connection.cursor() as cursor:
            # In one order everywhere, so that two transactions never wait for each other's rows.
            for name in sorted(set(topics)):
                cursor.execute(_RAISE, [name])
                raised[name] = cursor.fetchone()[0]
        trail.touched(*raised)
        transaction.on_commit(partial(_signal, raised, data), robust=True)
    return raised


def _signal(raised: dict[str, int], data: Hint | None) -> None:
    for topic, version in raised.items():
        sender.signal(topic, version, data)
