"""A real daphne on a private Redis, and pages that open sockets to it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.test import Client

from accsite.apps.live import sender
from accsite.apps.live.tests.socket_client import Socket, open_socket
from accsite.supervisor.redis import RedisServer, use
from tests.web import serving


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


@pytest.fixture(scope="session")
def running_site(
    redis_server: RedisServer, django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any
) -> Iterator[Site]:
    """Start daphne with the tests' database and Redis, once for all files: it pings every second."""
    with serving(
        tmp_path_factory.mktemp("site"), "accsite.apps.live.tests.site:application", django_db_blocker
    ) as (port, process, log):
        yield Site(port, process, log)


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
