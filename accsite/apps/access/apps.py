from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccessConfig(AppConfig):
    name = "accsite.apps.access"
    label = "access"
    verbose_name = "Access"

    def ready(self) -> None:
        """Register the system checks, and have the groups made."""
        from accsite.apps.access import checks, finders, signals  # noqa: F401
        from accsite.apps.access.groups import make_groups

        finders.register()
        post_migrate.connect(make_groups, sender=self)
