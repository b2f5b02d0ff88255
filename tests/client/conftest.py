"""A real site in a process of its own, and a client of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from acc.client import Client
from accsite.apps.access.tokens import make_token
from accsite.apps.live.tests.conftest import ROOT, database_url, wait_for_site
from accsite.supervisor.redis import RedisServer, free_port, use


@pytest.fixture(scope="module")
def site_url(
    redis_server: RedisServer, django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any
) -> Iterator[str]:
    """Start daphne with the tests' database and Redis; yields its address."""
    folder = tmp_path_factory.mktemp("site")
    with django_db_blocker.unblock():
        url = database_url()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "accsite.settings.test",
        "DATABASE_URL": url,
        "REDIS_URL": redis_server.url,
        "ACC_HOME": str(folder),
        "ACC_PING_SECONDS": "1",
    }
    port, log = free_port(), folder / "daphne.log"
    command = [sys.executable, "-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "accsite.asgi:application"], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    try:
        wait_for_site(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def ada(transactional_db: None, redis_server: RedisServer) -> User:
    """Return a researcher."""
    use(redis_server.url)
    return User.objects.create_user("ada")


@pytest.fixture
def token(ada: User) -> str:
    """Return a token of hers that may write."""
    return make_token(user=ada, name="test", scope="write")[1]


@pytest.fixture
def client(site_url: str, token: str) -> Client:
    """Return a client that acts as her."""
    return Client(site_url, token, timeout=10)
