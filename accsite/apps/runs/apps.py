"""The app of runs: one table over all trainings."""

from typing import Any

from django.apps import AppConfig


class RunsConfig(AppConfig):
    """Registers the page, and keeps the rows of runs as jobs and evaluations change."""

    name = "accsite.apps.runs"
    label = "runs"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from accsite.apps.jobs.services.unit import KEEPERS
        from accsite.apps.runs import access, finders
        from accsite.apps.runs.services import keep

        access.register()
        finders.register()
        if keep not in KEEPERS:
            KEEPERS.append(keep)
        post_migrate.connect(_fill, sender=self)


def _fill(using: str, plan: Any = (), **_: Any) -> None:
    """Write the rows of trainings that were there before this table was; once all migrations are done.

    Not in a migration: what a run has in its columns is read by today's code, which knows no earlier tables.
    """
    from django.db import DEFAULT_DB_ALIAS, connections
    from django.db.migrations.executor import MigrationExecutor

    from accsite.apps.runs.services import write_all

    if using != DEFAULT_DB_ALIAS or not plan:
        return
    executor = MigrationExecutor(connections[using])
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        write_all(missing=True)
