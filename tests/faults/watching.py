"""Somebody who watches a job over the site, as a browser or a script does."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from django.contrib.auth import get_user_model

from acc.client import Client, Points
from accsite.apps.access.tokens import make_token
from tests.stack import PATIENCE, points


class Watcher(threading.Thread):
    """A client of the site that follows a job to its end; ``end``: the step behind the last one that it was told."""

    def __init__(self, url: str, job: Any) -> None:
        super().__init__(daemon=True)
        user, _ = get_user_model()._default_manager.get_or_create(
            username="watcher", defaults={"is_superuser": True, "is_staff": True}
        )
        self.client = Client(url, make_token(user=user, name="watch", scope="read")[1], timeout=10)
        self.job = job
        self.seen: dict[str, list[np.ndarray]] = {}
        self.end = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Collect what is told."""
        try:
            for update in self.client.follow(self.job.pk):
                if isinstance(update, Points):
                    assert update.start == self.end, (
                        f"steps {self.end} to {update.start} are missing or twice"
                    )
                    self.end = update.stop
                    for name, column in update.columns.items():
                        self.seen.setdefault(name, []).append(column)
        except BaseException as error:
            self.error = error

    def assert_saw_all(self) -> None:
        """Assert that it saw the end, and before it every loss of the database, once each."""
        self.join(60 * PATIENCE)
        assert not self.is_alive(), f"the watcher still waits at step {self.end}"
        if self.error is not None:
            raise self.error
        curve = points(self.job)
        assert self.end == self.job.step
        assert {"raw/reconstruction", "raw/kl-divergence", "raw/classification"} <= self.seen.keys()
        for name, columns in self.seen.items():
            np.testing.assert_array_equal(np.concatenate(columns), curve[name], err_msg=name)
