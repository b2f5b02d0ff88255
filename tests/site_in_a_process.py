"""A real site in a process of its own, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from acc.client import Client
from accsite.apps.access.tokens import make_token
from accsite.supervisor.redis import RedisServer, use
from tests.web import serving


@pytest.fixture(scope="session")
def site_url(
    redis_server: RedisServer, django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any
) -> Iterator[str]:
    """Start daphne with the tests' database and Redis; yields its address."""
    folder = tmp_path_factory.mktemp("site")
    with serving(folder, "accsite.asgi:application", django_db_blocker) as (port, _process, _log):
        yield f"http://127.0.0.1:{port}"


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
