"""Settings of the test suite: a throw-away home, DATABASE_URL or SQLite, no Redis unless given."""

from __future__ import annotations

import os
import tempfile

# One home for each process of pytest-xdist, also for what it starts; not the one inherited from their parent.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if "ACC_HOME" not in os.environ or os.environ.get("ACC_TEST_WORKER", "") != _worker:
    os.environ |= {"ACC_HOME": tempfile.mkdtemp(prefix="acc-test-"), "ACC_TEST_WORKER": _worker}
# Nothing listens there: a test that needs Redis asks for the fixture, and no test meets somebody's real one.
os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:1/0")

# A live message that is not as acc.messages says is refused, here and in what tests start.
os.environ.setdefault("ACC_CHECK_MESSAGES", "1")

# All tests of one process share what is counted of their users.
os.environ.setdefault("ACC_WRITE_RATE", "100000/min")

from accsite.settings.base import *  # noqa: E402, F403 - settings inherit, once the home is chosen
from accsite.settings.base import DATABASES, HOME, STORAGES, VENDORED  # noqa: E402

ACC_EMBEDDED = True
SECRET_KEY = "only for tests, never for a site that anyone can reach"  # noqa: S105
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
WHITENOISE_IMMUTABLE_FILE_TEST = VENDORED
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, since threads and processes of a test must see one database, with the locks of a real one.
    DATABASES["default"]["TEST"] = {"NAME": str(HOME / "test.sqlite3")}
    # No test cuts the power, and a sync for each commit takes time.
    options = DATABASES["default"]["OPTIONS"]
    options["init_command"] = options["init_command"].replace("synchronous=FULL", "synchronous=OFF")
else:
    # PostgreSQL does not drop a database that a thread of a test still holds.
    DATABASES["default"]["CONN_MAX_AGE"] = 0
