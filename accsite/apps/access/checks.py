"""System checks of who may reach the site."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks

from accsite.apps.access.loopback import is_loopback


@checks.register(checks.Tags.security)
def embedded_stays_on_loopback(**_: Any) -> list[checks.CheckMessage]:
    """Return an error for each host that would let embedded settings be reached from other machines."""
    if not getattr(settings, "ACC_EMBEDDED", False):
        return []
    return [
        checks.Error(
            f"ALLOWED_HOSTS holds {host!r}, but embedded settings serve the loopback address only",
            hint="Use accsite.settings.production to serve other machines.",
            id="access.E001",
        )
        for host in settings.ALLOWED_HOSTS
        if host != "testserver" and not is_loopback(host)
    ]
