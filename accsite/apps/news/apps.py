"""The app of what happened and what waits, as each user is told of it."""

from __future__ import annotations

from django.apps import AppConfig


class NewsConfig(AppConfig):
    """Registers what pages may watch, and that everybody may say up to where they have read."""

    name = "accsite.apps.news"
    label = "news"

    def ready(self) -> None:
        """Register the topic, the rule, and the page."""
        from accsite import search
        from accsite.apps.access import permissions
        from accsite.apps.live import topics
        from accsite.apps.news.models import Seen

        topics.register("news", may_see=lambda user, key: key == str(user.pk))
        permissions.register(Seen, lambda user, seen: seen.user_id == user.pk)
        permissions.register_pages("news", lambda user, _name, _arguments: Seen(user=user))
        search.register_pages(
            search.Page("News", "news:news", "what happened and what waits", "bell inbox alarms failed")
        )
