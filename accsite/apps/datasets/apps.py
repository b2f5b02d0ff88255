"""The app of datasets."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Registers what pages may watch, and the kinds of jobs that make datasets."""

    name = "accsite.apps.datasets"
    label = "datasets"

    def ready(self) -> None:
        from accsite.apps.datasets import access
        from accsite.apps.datasets.services.kinds import ALL
        from accsite.apps.jobs import kinds
        from accsite.apps.live import topics

        topics.register("datasets")
        access.register()
        kinds.register(*ALL)
