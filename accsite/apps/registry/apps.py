"""The app of plugins."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Registers what pages may watch."""

    name = "accsite.apps.registry"
    label = "registry"

    def ready(self) -> None:
        """Register the topics."""
        from accsite.apps.live import topics

        topics.register("registry")
