"""One machine, no services assumed: SQLite, a private Redis, loopback only. Used by ``make demo`` and manage.py."""

from __future__ import annotations

import secrets

from accsite.settings.base import *  # noqa: F403
from accsite.settings.base import HOME

ACC_EMBEDDED = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]


def _own_secret() -> str:
    """Return this installation's secret key, made once and readable by its owner only."""
    HOME.mkdir(parents=True, exist_ok=True)
    path = HOME / "secret_key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()


SECRET_KEY = _own_secret()
