"""One machine, no services assumed: SQLite, a private Redis, loopback only. The default of manage.py."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from accsite.settings.base import *  # noqa: F403 - settings inherit
from accsite.settings.base import HOME, STORAGES, VENDORED

# Its secrets lie beside its data, so it is served on loopback only: `access.loopback` sees to that.
ACC_EMBEDDED = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

# Static files are served from where they lie: no collectstatic, and an edit shows at the next request.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
WHITENOISE_MAX_AGE = 0
WHITENOISE_IMMUTABLE_FILE_TEST = VENDORED


def own_secret(path: Path) -> str:
    """Return the secret key in ``path``, made once, for its owner only; safe when two start at once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w") as out:
            out.write(secrets.token_urlsafe(48))
        # The first to link its draft wins; a file is never seen half-written.
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    return path.read_text()


try:
    SECRET_KEY = own_secret(HOME / "secret_key")
except OSError as error:
    raise ImproperlyConfigured(
        f"ACC_HOME {str(HOME)!r} cannot be used: {error.strerror}; give this user a folder that can be written"
    ) from None
