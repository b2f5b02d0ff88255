"""The app of datasets."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Registers what pages may watch."""

    name = "accsite.apps.datasets"
    label = "datasets"

    def ready(self) -> None:
        from accsite.apps.live import topics

        topics.register("datasets")
