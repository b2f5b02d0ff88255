"""Stacks of real processes: one prepared ACC_HOME for the session, a copy of it for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from accsite.supervisor.redis import RedisServer
from scripts.test import postgresql
from tests.stack import PATIENCE, Stack, Template


@pytest.fixture(scope="session")
def template(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, django_db_blocker
) -> Template:
    """Return a migrated site with the plugins known and the digits stored, to copy."""
    with django_db_blocker.unblock():
        return Template(tmp_path_factory.mktemp("template"), redis_server)


@pytest.fixture
def make_stack(template: Template, tmp_path: Path, django_db_blocker) -> Iterator[Callable[..., Stack]]:
    """Return what makes the stack of this test; keywords are ``postgresql`` and variables of the environment."""
    with django_db_blocker.unblock(), ExitStack() as entered:
        yield lambda **options: entered.enter_context(template.stack(tmp_path / "home", **options))


@pytest.fixture
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """Return a platform without processes; the test starts those it needs."""
    return make_stack()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """Return the URL of a throw-away PostgreSQL server."""
    with postgresql() as url:
        yield url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give real processes on a busy machine more time than unit tests get."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(int(300 * PATIENCE)))
