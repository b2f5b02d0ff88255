"""Settings of the test suite: a throw-away home, the database of DATABASE_URL or SQLite."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("ACC_HOME", tempfile.mkdtemp(prefix="acc-test-"))

from accsite.settings.base import *

ACC_EMBEDDED = True
SECRET_KEY = "only for tests, never for a site that anyone can reach"  # noqa: S105
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405
