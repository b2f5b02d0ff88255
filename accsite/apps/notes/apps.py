"""The app of notes."""

from __future__ import annotations

from django.apps import AppConfig


class NotesConfig(AppConfig):
    """Registers what pages may watch, and what a page of notes is about."""

    name = "accsite.apps.notes"
    label = "notes"

    def ready(self) -> None:
        from accsite.apps.access import permissions
        from accsite.apps.live import topics
        from accsite.apps.training.access import page_object
        from accsite.apps.training.topics import sees_experiment

        topics.register("notes", may_see=sees_experiment)
        permissions.register_pages("notes", page_object)
