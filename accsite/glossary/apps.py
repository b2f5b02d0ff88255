"""The page of words, and the tag that explains one."""

from __future__ import annotations

from django.apps import AppConfig


class GlossaryConfig(AppConfig):
    """Has no models, and lets words be found."""

    name = "accsite.glossary"
    label = "glossary"

    def ready(self) -> None:
        """Register how words are found."""
        from accsite.glossary import finders

        finders.register()
