"""Which pages of jobs and workers are found by a few letters: see ``accsite.search``."""

from __future__ import annotations

from accsite import search


def register() -> None:
    search.register_pages(
        search.Page("Devices", "jobs:devices", "workers and queues", "gpu cpu machines workers queue memory")
    )
