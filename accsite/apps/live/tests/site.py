"""The real ASGI application with topics whose permissions a test can change.

``job:41`` may be seen by members of the group of that name in the database; its state tells how often its
topic has changed.
"""

from __future__ import annotations

from typing import Any

import accsite.asgi  # sets Django up, so it comes first
from accsite.apps.live import selectors, topics


def may_see(user: Any, key: str) -> bool:
    """Return whether the user is in the group of the job."""
    return bool(user.groups.filter(name=f"job:{key}").exists())


def snapshot(key: str) -> dict[str, Any]:
    """Return the state that watchers are sent."""
    return {"id": int(key), "version": selectors.versions([f"job:{key}"])[f"job:{key}"]}


topics.unregister("job")
topics.register("job", may_see=may_see, snapshot=snapshot)
for name in ("registry", "datasets"):
    topics.unregister(name)
    topics.register(name)

application = accsite.asgi.application
