"""The app of branches, their tasks and jobs, and the models of what grows by them."""

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Registers what pages may watch, and what a dataset is used by."""

    name = "accsite.apps.training"
    label = "training"

    def ready(self) -> None:
        from accsite.apps.audit import trail
        from accsite.apps.datasets import uses
        from accsite.apps.jobs import kinds
        from accsite.apps.training import access, finders, objects, topics
        from accsite.apps.training.selectors.dataset_uses import Branches, dataset_uses
        from accsite.apps.training.services.kinds import ALL

        access.register()
        finders.register()
        objects.register()
        kinds.register(*ALL)
        trail.register(access.experiments_of)
        topics.register()
        uses.register(dataset_uses)
        uses.register_trainers(Branches())
