"""The app of datasets."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Registers what pages may watch, who may send their forms, and the kinds of jobs that make datasets."""

    name = "accsite.apps.datasets"
    label = "datasets"

    def ready(self) -> None:
        from accsite.apps.access import permissions
        from accsite.apps.datasets import finders, objects
        from accsite.apps.datasets.services.kinds import ALL
        from accsite.apps.jobs import kinds
        from accsite.apps.jobs.models import Job
        from accsite.apps.live import topics

        topics.register("datasets")
        # whoever sees the job of an upload is told of it, and may keep what it has found if they may steer the job
        permissions.register_pages(
            "datasets", permissions.numbered(lambda user, _name: Job.objects.visible_to(user))
        )
        finders.register()
        objects.register()
        kinds.register(*ALL)
