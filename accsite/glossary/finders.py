"""How words are found by a few letters: see ``accsite.search``."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from accsite import search
from accsite.glossary import words


def register() -> None:
    search.register("term", _words)
    search.register_pages(
        search.Page("Words", "glossary:glossary", "what each word means", "glossary terms help")
    )


def _words(_user: Any, query: search.Query, limit: int) -> list[search.Found]:
    ranked = [
        (rank, word)
        for word in words().values()
        if (rank := search.how_well(query, word.name)) is not None and rank <= search.HOLDS
    ]
    ranked.sort(key=lambda pair: pair[0])
    page = reverse("glossary:glossary")
    return [
        search.Found("term", word.name, word.text, f"{page}#{word.slug}", rank)
        for rank, word in ranked[:limit]
    ]
