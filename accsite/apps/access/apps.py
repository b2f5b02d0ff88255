from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "accsite.apps.access"
    label = "access"
