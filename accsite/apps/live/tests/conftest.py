"""A real daphne on a private Redis, and pages that open sockets to it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client

from accsite.apps.live import sender
from accsite.apps.live.tests.socket_client import Socket, open_socket
from accsite.supervisor.redis import RedisServer, free_port, use

ROOT = Path(__file__).resolve().parents[4]


def database_url() -> str:
    """Return the URL of the test database, for another process."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


@dataclass
class Site:
    """A running web process."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def cookies(self, user: User) -> str:
        """Return the cookies of a browser in which ``user`` is signed in."""
        browser = Client()
        browser.force_login(user)
        return f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"

    async def open(self, cookies: str, **how: Any) -> Socket:
        """Return an open socket."""
        return await open_socket(self.port, cookies=cookies, **how)


@pytest.fixture(scope="module")
def running_site(
    redis_server: RedisServer, django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any
) -> Iterator[Site]:
    """Start daphne with the tests' database and Redis; it pings every second."""
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
            [*command, "accsite.apps.live.tests.site:application"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
        )
    try:
        wait_for_site(port, process, log)
        yield Site(port, process, log)
    finally:
        process.terminate()
        process.wait(10)


def wait_for_site(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 20.0) -> None:
    """Return when the site answers; fails with its log if it ends first."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"the site did not start:\n{log.read_text()[-4000:]}")


@pytest.fixture
def site(running_site: Site, redis_server: RedisServer, transactional_db: None) -> Iterator[Site]:
    """Return the running site with an empty database; what a test sends is sent before the next begins."""
    redis_server.start()
    use(redis_server.url)
    # The test before may have taken Redis away: wait for the sender to notice that it is back.
    until = time.monotonic() + 10
    sender.frame("none", b"")
    while not sender.flush(1) and time.monotonic() < until:
        time.sleep(0.1)
        sender.frame("none", b"")
    yield running_site
    sender.flush(5)


@pytest.fixture
def ann(transactional_db: None) -> User:
    """Return a user who may see job 41."""
    user = User.objects.create_user("ann", password="correct horse")
    user.groups.add(Group.objects.get_or_create(name="job:41")[0])
    return user


@pytest.fixture
def play() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine; whatever of Django it needs goes through sync_to_async."""
    return asyncio.run
