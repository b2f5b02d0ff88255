from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "accsite.apps.datasets"
    label = "datasets"
