"""The app of experiments, branches, tasks, jobs and workers."""

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Registers what pages may watch."""

    name = "accsite.apps.training"
    label = "training"

    def ready(self) -> None:
        """Register the topics."""
        from accsite.apps.training import topics

        topics.register()
