"""Makes the commands `up` and `demo` known to Django, and closes the home at each `migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.db.models.signals import post_migrate
from typing_extensions import override

from accsite import home


class SupervisorConfig(AppConfig):
    """The commands that run the whole platform on one machine."""

    name = "accsite.supervisor"
    label = "supervisor"

    @override
    def ready(self) -> None:
        """Look after the home wherever the database is brought up to date, by hand or by `up`."""
        post_migrate.connect(close_home, sender=apps.get_app_config("access"))  # sent once for each app


def close_home(**_: Any) -> None:
    """Close to others what an older version, or another program, left open in the home."""
    home.close(Path(settings.HOME), settings.ACC_DATABASE_FILE)
