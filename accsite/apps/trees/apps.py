"""The app of experiments as trees: their checkpoints, and what grows, goes and comes back."""

from django.apps import AppConfig


class TreesConfig(AppConfig):
    """Registers whose pages these are, the kinds of jobs that work on a tree, and what plugins made."""

    name = "accsite.apps.trees"
    label = "trees"

    def ready(self) -> None:
        """Register the pages, the kinds of jobs, the checkpoints and where they come from."""
        from accsite.apps.access import permissions
        from accsite.apps.jobs import kinds
        from accsite.apps.registry import origins
        from accsite.apps.training.access import page_object
        from accsite.apps.trees import finders, objects, selectors
        from accsite.apps.trees.services.kinds import ALL

        permissions.register_pages("trees", page_object)
        finders.register()
        objects.register()
        kinds.register(*ALL)
        origins.register("checkpoint", selectors.checkpoint_origin)
