from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "accsite.apps.access"
    label = "access"
    verbose_name = "Access"

    def ready(self) -> None:
        """Register the system checks."""
        from accsite.apps.access import checks  # noqa: F401
