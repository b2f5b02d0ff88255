"""The app of experiments, branches, tasks, jobs and workers."""

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Registers what pages may watch, and what plugins made."""

    name = "accsite.apps.training"
    label = "training"

    def ready(self) -> None:
        """Register the topics and the checkpoints."""
        from accsite.apps.registry import origins
        from accsite.apps.training import selectors, topics

        topics.register()
        origins.register("checkpoint", selectors.checkpoint_origin)
