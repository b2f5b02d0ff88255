from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "accsite.apps.registry"
    label = "registry"
