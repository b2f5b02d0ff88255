"""The real ASGI application with topics whose permissions a test can change.

``job:41`` may be seen by members of the group of that name in the database; its step is how often its topic has
changed.
"""

from __future__ import annotations

from typing import Any

import accsite.asgi  # sets Django up, so it comes first
from acc.messages import Job
from accsite.apps.live import selectors, topics


def may_see(user: Any, key: str) -> bool:
    """Return whether the user is in the group of the job."""
    return bool(user.groups.filter(name=f"job:{key}").exists())


def snapshot(key: str) -> Job:
    """Return the job that watchers are sent."""
    return {
        "id": int(key),
        "kind": "train",
        "title": "a job",
        "state": "RUNNING",
        "state_label": "running",
        "active": True,
        "held": True,
        "ended": False,
        "attempt": 1,
        "workers_lost": 0,
        "queue": "train",
        "place": None,
        "experiment": None,
        "branch": None,
        "branch_slug": None,
        "checkpoint": None,
        "step": selectors.versions([f"job:{key}"])[f"job:{key}"],
        "total_steps": 100,
        "progress": None,
        "rate": None,
        "eta_seconds": None,
        "elapsed_seconds": None,
        "device": "cpu",
        "worker": None,
        "asked": [],
        "message": "",
        "result": {},
        "created_at": None,
        "started_at": None,
        "finished_at": None,
    }


topics.unregister("job")
topics.register("job", may_see=may_see, snapshot=snapshot)
for name in ("registry", "datasets"):
    topics.unregister(name)
    topics.register(name)

application = accsite.asgi.application
