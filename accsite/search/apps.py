"""The page and the command that find things; what can be found is told by the apps."""

from __future__ import annotations

from django.apps import AppConfig


class SearchConfig(AppConfig):
    """Has no models, and knows no app."""

    name = "accsite.search"
    label = "search"
