"""The app of what was measured."""

from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    """Registers what pages may watch."""

    name = "accsite.apps.evaluation"
    label = "evaluation"

    def ready(self) -> None:
        from accsite.apps.access import permissions
        from accsite.apps.evaluation import finders
        from accsite.apps.evaluation.access import page_object
        from accsite.apps.evaluation.measures import Metrics, forget_purged
        from accsite.apps.evaluation.pictures import Reconstructions
        from accsite.apps.live import topics
        from accsite.apps.training.topics import sees_branch
        from accsite.apps.trees import measures, pictures
        from accsite.apps.trees.services.deletion import purging

        finders.register()
        measures.register(Metrics())
        pictures.register(Reconstructions())
        purging.connect(forget_purged, dispatch_uid="evaluation.forget_purged")
        topics.register("evaluations", may_see=sees_branch)
        permissions.register_pages("evaluation", page_object)
