"""Makes the commands `up` and `demo` known to Django; there are no models here."""

from __future__ import annotations

from django.apps import AppConfig


class SupervisorConfig(AppConfig):
    """The commands that run the whole platform on one machine."""

    name = "accsite.supervisor"
    label = "supervisor"
