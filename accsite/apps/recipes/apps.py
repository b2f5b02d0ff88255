"""The app of recipes: their runs, and the steps of those."""

from django.apps import AppConfig


class RecipesConfig(AppConfig):
    """Registers what pages may watch, who may steer a run, and the kind of jobs that run recipes."""

    name = "accsite.apps.recipes"
    label = "recipes"

    def ready(self) -> None:
        from accsite.apps.jobs import kinds
        from accsite.apps.recipes import access, finders, objects, selectors, topics
        from accsite.apps.recipes.services.kinds import ALL
        from accsite.apps.trees.services.dependants import USES

        access.register()
        finders.register()
        objects.register()
        topics.register()
        kinds.register(*ALL)
        USES.append(selectors.checkpoint_uses)
