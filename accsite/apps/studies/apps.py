"""The app of studies: arms and seeds, and what may be said of them."""

from django.apps import AppConfig


class StudiesConfig(AppConfig):
    """Registers who may change a study, what pages may watch, and how studies are found."""

    name = "accsite.apps.studies"
    label = "studies"

    def ready(self) -> None:
        from accsite.apps.datasets import uses
        from accsite.apps.recipes.services import recipes
        from accsite.apps.studies import access, finders, objects, topics
        from accsite.apps.studies.selectors import studies_on
        from accsite.apps.studies.services import running

        access.register()
        finders.register()
        objects.register()
        topics.register()
        uses.register(studies_on)
        recipes.WHEN_SETTLED.append(running.settle)
        recipes.WHEN_RESUMED.append(running.release)
