"""Stacks of real processes: one prepared ACC_HOME for the session, copies of it for tests to share or to own."""

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


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """Return the URL of a throw-away PostgreSQL server."""
    with postgresql() as url:
        yield url


@pytest.fixture
def make_stack(template: Template, tmp_path: Path, django_db_blocker) -> Iterator[Callable[..., Stack]]:
    """Return what makes a stack of this test's own; keywords are ``postgresql`` and variables of the environment."""
    with django_db_blocker.unblock(), ExitStack() as entered:
        yield lambda **options: entered.enter_context(template.stack(tmp_path / "home", **options))


@pytest.fixture(scope="session")
def handed_on() -> Iterator[tuple[dict[str, Stack], ExitStack]]:
    """Return the platforms, by database, that tests hand on to each other."""
    with ExitStack() as entered:
        yield {}, entered


@pytest.fixture
def stack_on(
    template: Template, tmp_path_factory, handed_on, django_db_blocker
) -> Iterator[Callable[[str], Stack]]:
    """Return what gives the platform on ``sqlite`` or ``postgresql`` that a test before handed on, without jobs."""
    stacks, until_the_end = handed_on

    def on(database: str) -> Stack:
        if database not in stacks:
            url = until_the_end.enter_context(postgresql()) if database == "postgresql" else ""
            home = tmp_path_factory.mktemp(database) / "home"
            made = template.made(home, postgresql=url, redis_database=1 + len(stacks))
            stacks[database] = until_the_end.enter_context(made)
        entered.enter_context(template.seen(stacks[database]))
        entered.callback(stacks[database].hand_on)
        return stacks[database]

    with django_db_blocker.unblock(), ExitStack() as entered:
        yield on


@pytest.fixture
def stack(stack_on: Callable[[str], Stack]) -> Stack:
    """Return a platform whose only process, if any, is an idle worker of trainings; the test starts those it needs."""
    return stack_on("sqlite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give real processes on a busy machine more time than unit tests get."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(int(300 * PATIENCE)))
