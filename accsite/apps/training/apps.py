"""The app of experiments, branches, tasks and checkpoints."""

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Registers what pages may watch, and what plugins made."""

    name = "accsite.apps.training"
    label = "training"

    def ready(self) -> None:
        from accsite.apps.audit import trail
        from accsite.apps.datasets import uses
        from accsite.apps.jobs import kinds
        from accsite.apps.registry import origins
        from accsite.apps.training import access, objects, selectors, topics
        from accsite.apps.training.selectors.dataset_uses import dataset_uses
        from accsite.apps.training.services.kinds import ALL

        access.register()
        objects.register()
        kinds.register(*ALL)
        trail.register(access.experiments_of)
        topics.register()
        origins.register("checkpoint", selectors.checkpoint_origin)
        uses.register(dataset_uses)
