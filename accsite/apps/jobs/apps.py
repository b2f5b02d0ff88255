"""The app of jobs, what they wait in, and the workers that do them."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Registers what pages may watch, and who may steer what."""

    name = "accsite.apps.jobs"
    label = "jobs"

    def ready(self) -> None:
        """Register the rules and the topics."""
        from accsite.apps.jobs import access, finders, objects, topics

        access.register()
        finders.register()
        objects.register()
        topics.register()
