"""How the page of runs is found: see ``accsite.search``. A run itself is found as its job."""

from __future__ import annotations

from accsite import search


def register() -> None:
    search.register_pages(
        search.Page(
            "Runs",
            "runs:runs",
            "one table over all trainings",
            "table compare filter sort group parameters metrics seeds sweep",
        )
    )
