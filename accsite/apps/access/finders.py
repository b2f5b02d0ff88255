"""Which pages of one's own are found by a few letters: see ``accsite.search``."""

from __future__ import annotations

from accsite import search


def register() -> None:
    search.register_pages(
        search.Page(
            "Profile", "access:profile", "your role and API tokens", "settings account tokens password"
        ),
        search.Page("API", "api-docs", "its documentation", "swagger rest curl python"),
        search.Page(
            "Administration", "admin:index", "users, rows, audit log", "admin", may=lambda user: user.is_staff
        ),
    )
