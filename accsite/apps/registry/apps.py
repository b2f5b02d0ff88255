"""The app of plugins."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Registers what pages may watch, and who may change what."""

    name = "accsite.apps.registry"
    label = "registry"

    def ready(self) -> None:
        from accsite.apps.access import permissions
        from accsite.apps.live import topics
        from accsite.apps.registry import finders
        from accsite.apps.registry.access import page_object
        from accsite.apps.registry.models import PluginSource

        finders.register()
        topics.register("registry")
        permissions.register(PluginSource, lambda user, _source: permissions.is_administrator(user))
        permissions.register_pages("registry", page_object)
