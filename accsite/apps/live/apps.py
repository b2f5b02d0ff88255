from django.apps import AppConfig


class LiveConfig(AppConfig):
    name = "accsite.apps.live"
    label = "live"
    verbose_name = "Live updates"
