"""The app of datasets."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Registers what pages may watch, who may send their forms, and the kinds of jobs that make datasets."""

    name = "accsite.apps.datasets"
    label = "datasets"

    def ready(self) -> None:
        from accsite.apps.datasets import access, finders, objects
        from accsite.apps.datasets.services.kinds import ALL
        from accsite.apps.jobs import kinds
        from accsite.apps.live import topics

        topics.register("datasets")
        access.register()
        finders.register()
        objects.register()
        kinds.register(*ALL)
