"""Which pages of evaluation are found by a few letters: see ``accsite.search``."""

from __future__ import annotations

from accsite import search


def register() -> None:
    search.register_pages(
        search.Page("Evaluate", "evaluation:home", "metrics and pictures of checkpoints", "ufr traversals"),
        search.Page("Compare checkpoints", "evaluation:compare", "two of them, side by side", "difference"),
    )
